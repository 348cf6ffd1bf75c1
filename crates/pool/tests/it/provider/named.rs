//! Conversations that their callers have a name for.

use ccpool::provider::Message;
use ccpool::{ClaimRequest, SessionId};

use super::stage::{Stage, Talk, count};

const FRAME: &str = "<conversation>";

fn id(name: &str) -> SessionId {
    SessionId::new(name).unwrap()
}

#[tokio::test]
async fn it_is_the_sessions_name_and_goes_on() {
    let stage = Stage::new().await;
    let mut talk = Talk::named("a", "chat:1");
    let first = stage.say(&mut talk, "My favourite colour is teal.").await;
    assert_eq!(first.session, id("chat:1"));
    let second = stage.say(&mut talk, "What is my favourite colour?").await;
    assert_eq!(second.session, first.session);
    let asked = stage.asked("What is my favourite colour?");
    assert_eq!(count(&asked, "My favourite colour is teal."), 1);
    assert_eq!(count(&asked, FRAME), 0);
    stage.stop().await;
}

#[tokio::test]
async fn model_and_system_prompt_change_in_the_same_container() {
    let stage = Stage::new().await;
    let mut talk = Talk::named("a", "chat");
    talk.0.system = Some("It is Monday.".to_owned());
    stage.say(&mut talk, "first").await;
    talk.0.model = Some("docker-claude-code/haiku".to_owned());
    talk.0.system = Some("It is Tuesday.".to_owned());
    let second = stage.say(&mut talk, "second").await;
    assert_eq!(second.session, id("chat"));
    let (before, after) = (stage.asked("first"), stage.asked("second"));
    assert!(
        before
            .model
            .as_ref()
            .is_some_and(|model| !model.contains("haiku"))
    );
    assert!(
        after
            .model
            .as_ref()
            .is_some_and(|model| model.contains("haiku"))
    );
    assert_eq!(count(&after, "It is Tuesday."), 1);
    assert_eq!(count(&after, "replaces the system prompt"), 1);
    assert_eq!(count(&after, FRAME), 0);
    // Told once; and the model stays until another one is asked for.
    stage.say(&mut talk, "third").await;
    let third = stage.asked("third");
    assert_eq!(count(&third, "It is Tuesday."), 1);
    assert_eq!(third.model, after.model);
    talk.0.model = None;
    talk.0.system = None;
    stage.say(&mut talk, "fourth").await;
    let fourth = stage.asked("fourth");
    assert_eq!(fourth.model, before.model);
    assert_eq!(count(&fourth, "holds no longer"), 1);
    assert_eq!(stage.pool.session(&id("chat")).await.unwrap().turns, 4);
    stage.stop().await;
}

#[tokio::test]
async fn a_changed_history_goes_on_under_the_next_number() {
    let stage = Stage::new().await;
    let mut talk = Talk::named("a", "chat");
    stage.say(&mut talk, "My favourite colour is teal.").await;
    stage.say(&mut talk, "Thank you.").await;
    // As a client that has compacted it.
    talk.0.messages = vec![
        Message::user("So far: my favourite colour is ochre."),
        Message::assistant("Noted."),
    ];
    let third = stage.say(&mut talk, "Really?").await;
    assert_eq!(third.session, id("chat.2"));
    let asked = stage.asked("Really?");
    assert_eq!((count(&asked, "ochre"), count(&asked, "teal")), (1, 0));
    assert_eq!(count(&asked, FRAME), 1);
    stage.ended(&id("chat")).await;
    let fourth = stage.say(&mut talk, "On.").await;
    assert_eq!(fourth.session, id("chat.2"));
    // Begun anew, with nothing before it.
    talk.0.messages.clear();
    let fifth = stage.say(&mut talk, "Another thing.").await;
    assert_eq!(fifth.session, id("chat.3"));
    assert_eq!(count(&stage.asked("Another thing."), FRAME), 0);
    stage.ended(&id("chat.2")).await;
    assert_eq!(stage.live().await, ["chat.3"]);
    stage.stop().await;
}

#[tokio::test]
async fn what_others_have_claimed_is_left_alone() {
    let stage = Stage::new().await;
    let theirs = ClaimRequest {
        session: Some(id("chat")),
        ..ClaimRequest::default()
    };
    stage.pool.claim(theirs).await.unwrap();
    let mut talk = Talk::named("a", "chat");
    let first = stage.say(&mut talk, "hello").await;
    assert_eq!(first.session, id("chat.2"));
    let mut other = Talk::named("b", "chat");
    other.0.messages.clone_from(&talk.0.messages);
    let second = stage.say(&mut other, "hello again").await;
    assert_eq!(second.session, id("chat.3"));
    let third = stage.say(&mut talk, "and again").await;
    assert_eq!(third.session, id("chat.2"));
    assert_eq!(stage.pool.session(&id("chat")).await.unwrap().turns, 0);
    stage.stop().await;
}

#[tokio::test]
async fn another_session_of_the_same_name_is_not_taken_for_it() {
    let stage = Stage::new().await;
    let mut talk = Talk::named("a", "chat");
    stage.say(&mut talk, "hello").await;
    stage.pool.end(&id("chat")).await.unwrap();
    let theirs = ClaimRequest {
        session: Some(id("chat")),
        ..ClaimRequest::default()
    };
    stage.pool.claim(theirs).await.unwrap();
    let second = stage.say(&mut talk, "again").await;
    assert_eq!(second.session, id("chat.2"));
    let asked = stage.asked("again");
    assert_eq!((count(&asked, "\nhello\n"), count(&asked, FRAME)), (1, 1));
    let theirs = stage.pool.session(&id("chat")).await.unwrap();
    // As many as the first one of this name has left behind.
    assert_eq!((theirs.turns, theirs.turn), (1, None));
    stage.stop().await;
}

#[tokio::test]
async fn a_name_that_no_session_can_have_still_names_the_conversation() {
    let stage = Stage::new().await;
    let mut talk = Talk::named("a", "a name with spaces / and more");
    let first = stage.say(&mut talk, "hello").await;
    let second = stage.say(&mut talk, "again").await;
    assert_eq!(second.session, first.session);
    assert!(first.session.as_str().starts_with("s-"), "{first:?}");
    stage.stop().await;
}

/// As Open WebUI, which asks for titles under the name of their chat.
#[tokio::test]
async fn a_shared_name_is_kept_by_the_history_that_has_it() {
    let stage = Stage::new().await;
    let shared = |name: &str| {
        let mut talk = Talk::named("a", name);
        talk.0.shares_name = true;
        talk
    };
    let (mut chat, mut title) = (shared("chat"), shared("chat"));
    let first = stage.say(&mut chat, "My favourite colour is teal.").await;
    assert_eq!(first.session, id("chat"));
    let other = stage.say(&mut title, "Name this chat.").await;
    assert_ne!(other.session, first.session);
    assert!(other.session.as_str().starts_with("s-"), "{other:?}");
    // Both go on, each by its own history; the chat with another system prompt too.
    chat.0.system = Some("It is Tuesday.".to_owned());
    let second = stage.say(&mut chat, "Which one?").await;
    assert_eq!(second.session, first.session);
    assert_eq!(count(&stage.asked("Which one?"), FRAME), 0);
    let again = stage.say(&mut title, "Shorter.").await;
    assert_eq!(again.session, other.session);
    // A history that was changed is another conversation, and the first one stays.
    let mut edited = chat.clone();
    edited.0.messages[0] = Message::user("My favourite colour is ochre.");
    let third = stage.say(&mut edited, "Really?").await;
    assert!(third.session.as_str().starts_with("s-"), "{third:?}");
    assert_eq!(stage.say(&mut chat, "On.").await.session, first.session);
    assert_eq!(stage.say(&mut edited, "Yes?").await.session, third.session);
    // When its session has ended, the name is free again.
    stage.pool.end(&first.session).await.unwrap();
    stage.ended(&first.session).await;
    assert_eq!(stage.say(&mut chat, "Still?").await.session, id("chat"));
    stage.stop().await;
}

#[tokio::test]
async fn whoever_asks_while_a_shared_name_answers_gets_another_session() {
    let stage = Stage::new().await;
    let mut chat = Talk::named("a", "chat");
    chat.0.shares_name = true;
    let mut title = chat.clone();
    chat.0.messages.push(Message::user("[[script:hang]] chat"));
    let reply = stage.reply(&chat).await.unwrap();
    assert_eq!(reply.session, Some(id("chat")));
    let other = stage.say(&mut title, "Name this chat.").await;
    assert_ne!(other.session, id("chat"));
    // Whoever leaves leaves no session behind.
    drop(reply);
    stage.ended(&id("chat")).await;
    chat.0.messages.pop();
    let again = stage.say(&mut chat, "hello").await;
    assert_eq!(again.session, id("chat"));
    stage.stop().await;
}
