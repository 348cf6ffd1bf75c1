//! Answers that nobody waits for any more.

use std::time::Duration;

use ccpool::provider::{Conversation, Message, Reply, Spoken};
use ccpool_protocol::FailureKind;
use ccpool_protocol::event::Event;
use ccpool_scripted_model::Outcome;
use futures::StreamExt;
use nix::sys::signal::{Signal, kill};
use serde_json::json;

use super::failures::until_spoken;
use super::rig::{Answer, Rig, eventually, scene};

fn slow() -> String {
    scene(&json!({"text": vec!["word"; 200].join(" "), "delayMs": 100}))
}

#[tokio::test]
async fn a_dropped_answer_is_interrupted_and_its_process_goes_on() {
    let rig = Rig::new().await;
    let mut conversation = Conversation::default();
    let first = rig
        .say(&mut conversation, "My favourite colour is teal.")
        .await;
    conversation.messages.push(Message::user(slow()));
    let mut reply = rig.reply(&conversation).await.unwrap();
    until_spoken(&mut reply.events).await;
    drop(reply);
    interrupted(&rig).await;
    // Whoever has the same words of it goes on in the same process; who knows another, in another.
    conversation
        .messages
        .push(Message::assistant("something else"));
    let next = rig
        .say(&mut conversation, "What is my favourite colour?")
        .await;
    next.completed();
    assert_ne!(next.session, first.session);
    rig.finish().await;
}

#[tokio::test]
async fn what_was_said_before_the_interrupt_is_remembered() {
    let rig = Rig::with(|config| config.claude_cli.max_processes = 1).await;
    let mut conversation = Conversation::default();
    // After these words nothing comes any more, so it is known what was said.
    let prompt = scene(&json!({"text": "one two three", "stallAfter": 2}));
    conversation.messages.push(Message::user(prompt));
    let mut reply = rig.reply(&conversation).await.unwrap();
    let session = reply.session.clone().expect("a session").to_string();
    let mut spoken = Spoken::default();
    while spoken.text() != "one two " {
        let event = reply.events.next().await.expect("more words").event;
        assert!(!matches!(event, Event::Failed(_)), "{event:?}");
        spoken.hear(&event);
    }
    drop(reply);
    let process = rig.process();
    interrupted(&rig).await;
    conversation.messages.push(Message::assistant("one two"));
    conversation.messages.push(Message::user("Go on."));
    let next = Answer::of(room(&rig, &conversation).await).await;
    assert_eq!(next.completed(), "You said: Go on.");
    assert_eq!(next.session, session);
    assert_eq!(rig.process(), process);
    rig.finish().await;
}

#[tokio::test]
async fn an_answer_that_nobody_begins_to_read_is_interrupted_too() {
    let rig = Rig::with(|config| config.claude_cli.max_processes = 1).await;
    let conversation = |text: String| Conversation {
        messages: vec![Message::user(text)],
        ..Conversation::default()
    };
    drop(rig.reply(&conversation(slow())).await.unwrap());
    let next = room(&rig, &conversation("Hello.".to_owned())).await;
    assert_eq!(Answer::of(next).await.completed(), "You said: Hello.");
    rig.finish().await;
}

#[tokio::test]
async fn a_process_that_cannot_be_interrupted_is_killed() {
    let rig = Rig::new().await;
    let conversation = Conversation {
        messages: vec![Message::user(slow())],
        ..Conversation::default()
    };
    let mut reply = rig.reply(&conversation).await.unwrap();
    until_spoken(&mut reply.events).await;
    kill(rig.process(), Signal::SIGSTOP).unwrap();
    drop(reply);
    rig.deserted().await;
    rig.finish().await;
}

#[tokio::test]
async fn a_slow_reader_gets_everything() {
    let rig = Rig::with(|config| config.timeouts.stall = Duration::from_millis(1500)).await;
    let text = vec!["word"; 3000].join(" ");
    let prompt = scene(&json!({"text": text, "chunk": 2}));
    let conversation = Conversation {
        messages: vec![Message::user(prompt)],
        ..Conversation::default()
    };
    let mut reply = rig.reply(&conversation).await.unwrap();
    until_spoken(&mut reply.events).await;
    // Time itself is what is tried: nobody reads for longer than a silence may last.
    tokio::time::sleep(Duration::from_millis(2000)).await;
    let answer = Answer::of(reply).await;
    assert_eq!(answer.completed(), text);
    rig.finish().await;
}

#[tokio::test]
async fn a_shutdown_ends_what_runs() {
    let rig = Rig::new().await;
    let mut idle = Conversation::default();
    rig.say(&mut idle, "Hello.").await.completed();
    let conversation = Conversation {
        messages: vec![Message::user(slow())],
        ..Conversation::default()
    };
    let mut reply = rig.reply(&conversation).await.unwrap();
    until_spoken(&mut reply.events).await;
    assert_eq!(rig.processes().len(), 2);
    rig.provider.shutdown(super::rig::PATIENCE).await;
    let answer = Answer::of(reply).await;
    assert_eq!(answer.failed().kind, FailureKind::Interrupted, "{answer:?}");
    let refused = rig.reply(&conversation).await.unwrap_err();
    assert_eq!(refused.kind, FailureKind::Unavailable, "{refused}");
    rig.finish().await;
}

/// The answer, once the only process is not at work any more.
async fn room(rig: &Rig, conversation: &Conversation) -> Reply {
    eventually("there is room", async || {
        match rig.reply(conversation).await {
            Ok(reply) => Some(reply),
            Err(refused) => {
                assert_eq!(refused.kind, FailureKind::Exhausted, "{refused}");
                None
            }
        }
    })
    .await
}

/// Waits until the model has lost its client.
async fn interrupted(rig: &Rig) {
    eventually("the request is given up", async || {
        (rig.asked().outcome() == Some(Outcome::ClientGone)).then_some(())
    })
    .await;
}
