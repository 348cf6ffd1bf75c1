//! What goes wrong has a kind.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use ccpool::provider::{Conversation, Message};
use ccpool_protocol::FailureKind;
use ccpool_protocol::event::{Event, ReplyEvent};
use futures::StreamExt;
use nix::sys::signal::{Signal, kill};
use serde_json::json;

use super::rig::{Answer, Rig, scene, set};

#[tokio::test]
async fn what_the_models_service_says_is_told_by_its_kind() {
    let rig = Rig::new().await;
    for (status, kind) in [
        (401, FailureKind::Auth),
        (403, FailureKind::Auth),
        (429, FailureKind::RateLimited),
        (529, FailureKind::Overloaded),
        (500, FailureKind::Unavailable),
        (400, FailureKind::InvalidRequest),
    ] {
        let prompt = scene(&json!({"error": status}));
        let answer = rig.say(&mut Conversation::default(), &prompt).await;
        let failed = answer.failed();
        assert_eq!(failed.kind, kind, "{status}: {failed:?}");
        assert!(!failed.visible_output && !failed.tool_effects, "{failed:?}");
        assert_eq!(answer.text, "");
    }
    rig.deserted().await;
    rig.finish().await;
}

#[tokio::test]
async fn without_a_login_it_is_auth() {
    let rig = Rig::with(|config| set(config, "ANTHROPIC_API_KEY", "")).await;
    let answer = rig.say(&mut Conversation::default(), "Hello.").await;
    assert_eq!(answer.failed().kind, FailureKind::Auth, "{answer:?}");
    assert_eq!(rig.model.requests().len(), 0);
    rig.finish().await;
}

#[tokio::test]
async fn a_service_that_is_not_there_is_unavailable() {
    // Nobody listens on this port.
    let rig = Rig::with(|config| set(config, "ANTHROPIC_BASE_URL", "http://127.0.0.1:1")).await;
    let answer = rig.say(&mut Conversation::default(), "Hello.").await;
    let failed = answer.failed();
    assert_eq!(failed.kind, FailureKind::Unavailable, "{failed:?}");
    rig.finish().await;
}

#[tokio::test]
async fn a_program_that_never_answers_is_unavailable() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("claude");
    std::fs::write(&program, "#!/bin/sh\nexec sleep 300\n").unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let rig = Rig::with(|config| {
        config.claude_cli.path.clone_from(&program);
        config.timeouts.startup = Duration::from_millis(300);
    })
    .await;
    let answer = rig.say(&mut Conversation::default(), "Hello.").await;
    let failed = answer.failed();
    assert_eq!(failed.kind, FailureKind::Unavailable, "{failed:?}");
    assert!(failed.message.contains("300 ms of its start"), "{failed:?}");
    rig.deserted().await;
    rig.finish().await;
}

#[tokio::test]
async fn a_stream_that_falls_silent_has_stalled() {
    let rig = Rig::with(|config| config.timeouts.stall = Duration::from_secs(1)).await;
    let prompt = scene(&json!({"text": "one two three four", "stallAfter": 2}));
    let answer = rig.say(&mut Conversation::default(), &prompt).await;
    let failed = answer.failed();
    assert_eq!(failed.kind, FailureKind::Stalled, "{failed:?}");
    assert!(failed.visible_output && !failed.tool_effects, "{failed:?}");
    rig.deserted().await;
    rig.finish().await;
}

#[tokio::test]
async fn a_process_that_does_nothing_any_more_is_killed() {
    let rig = Rig::with(|config| config.timeouts.stall = Duration::from_secs(1)).await;
    let prompt = scene(&json!({"text": "one two three four", "stallAfter": 2}));
    let conversation = Conversation {
        messages: vec![Message::user(prompt)],
        ..Conversation::default()
    };
    let mut reply = rig.reply(&conversation).await.unwrap();
    until_spoken(&mut reply.events).await;
    kill(rig.process(), Signal::SIGSTOP).unwrap();
    let answer = Answer::of(reply).await;
    assert_eq!(answer.failed().kind, FailureKind::Stalled, "{answer:?}");
    rig.deserted().await;
    rig.finish().await;
}

#[tokio::test]
async fn a_turn_has_its_time() {
    let rig = Rig::with(|config| config.timeouts.turn = Some(Duration::from_secs(2))).await;
    let long = vec!["word"; 1000].join(" ");
    let prompt = scene(&json!({"text": long, "delayMs": 100}));
    let answer = rig.say(&mut Conversation::default(), &prompt).await;
    assert_eq!(answer.failed().kind, FailureKind::Timeout, "{answer:?}");
    rig.finish().await;
}

#[tokio::test]
async fn a_process_that_is_killed_is_lost_and_the_conversation_is_not() {
    let rig = Rig::new().await;
    let mut conversation = Conversation::default();
    rig.say(&mut conversation, "My favourite colour is teal.")
        .await;
    let process = rig.process();
    let slow = scene(&json!({"text": "one two three four five six", "delayMs": 300}));
    let mut interrupted = conversation.clone();
    interrupted.messages.push(Message::user(slow));
    let mut reply = rig.reply(&interrupted).await.unwrap();
    until_spoken(&mut reply.events).await;
    kill(process, Signal::SIGKILL).unwrap();
    let answer = Answer::of(reply).await;
    let failed = answer.failed();
    assert_eq!(failed.kind, FailureKind::ContainerLost, "{failed:?}");
    assert!(failed.message.contains("signal 9"), "{failed:?}");
    assert!(failed.visible_output && !failed.tool_effects, "{failed:?}");
    rig.deserted().await;
    let next = rig
        .say(&mut conversation, "What is my favourite colour?")
        .await;
    next.completed();
    assert!(rig.told().contains("colour is teal"));
    rig.finish().await;
}

#[tokio::test]
async fn one_that_is_killed_between_turns_is_not_missed() {
    let rig = Rig::new().await;
    let mut conversation = Conversation::default();
    let first = rig.say(&mut conversation, "Hello.").await;
    // The provider may or may not know of it when the next prompt comes.
    kill(rig.process(), Signal::SIGKILL).unwrap();
    let next = rig.say(&mut conversation, "Go on.").await;
    assert_eq!(next.completed(), "You said: Go on.");
    assert_ne!(next.session, first.session);
    rig.finish().await;
}

#[tokio::test]
async fn arguments_that_the_cli_does_not_know_are_told() {
    let rig = Rig::with(|config| {
        config.claude_cli.extra_args = vec!["--no-such-argument".to_owned()];
    })
    .await;
    let answer = rig.say(&mut Conversation::default(), "Hello.").await;
    let failed = answer.failed();
    assert_eq!(failed.kind, FailureKind::ContainerLost, "{failed:?}");
    assert!(failed.message.contains("--no-such-argument"), "{failed:?}");
    rig.finish().await;
}

/// Until the model has said something.
pub(super) async fn until_spoken(events: &mut (impl StreamExt<Item = ReplyEvent> + Unpin)) {
    while let Some(ReplyEvent { event, .. }) = events.next().await {
        match event {
            Event::TextDelta { .. } => return,
            event => assert!(!event.is_terminal(), "{event:?}"),
        }
    }
    panic!("the answer ended without a word");
}
