//! Answers that do not come to a good end.

use std::time::Duration;

use ccpool::provider::{Message, Provider, Reply};
use ccpool::{ClaimRequest, Event, FailureKind, SessionId};
use futures::StreamExt;

use super::stage::{Stage, Talk, count, told};
use crate::support::{PATIENCE, eventually};

const SLOW: &str = r#"[[do: {"text":"one two three four five six seven eight","delayMs":300}]]"#;

async fn first_words(reply: &mut Reply) {
    let words = async {
        while let Some(event) = reply.events.next().await {
            if matches!(event.event, Event::TextDelta { .. }) {
                return;
            }
        }
        panic!("nothing was said");
    };
    tokio::time::timeout(PATIENCE, words).await.unwrap();
}

/// A reply that was begun to be read, and its session.
async fn begun(stage: &Stage, talk: &mut Talk, prompt: &str) -> (Reply, SessionId) {
    talk.0.messages.push(Message::user(prompt));
    let mut reply = stage.reply(talk).await.unwrap();
    first_words(&mut reply).await;
    let session = reply.session.clone().unwrap();
    (reply, session)
}

#[tokio::test]
async fn a_reply_that_is_dropped_is_interrupted_and_its_session_ends() {
    let stage = Stage::new().await;
    let mut talk = Talk::of("a");
    let (reply, session) = begun(&stage, &mut talk, SLOW).await;
    drop(reply);
    stage.ended(&session).await;
    let ending = stage.pool.newest_ending(&session).await.unwrap().unwrap();
    let Event::Failed(failed) = ending.event else {
        panic!("{ending:?}");
    };
    assert_eq!(failed.kind, FailureKind::Interrupted);
    assert!(failed.visible_output);
    stage.stop().await;
}

#[tokio::test]
async fn a_named_one_that_is_dropped_goes_on_elsewhere() {
    let stage = Stage::new().await;
    let mut talk = Talk::named("a", "chat");
    let (reply, session) = begun(&stage, &mut talk, SLOW).await;
    drop(reply);
    eventually("the turn ends", async || {
        let info = stage.pool.session(&session).await.unwrap();
        (info.turns == 1 && info.turn.is_none()).then_some(())
    })
    .await;
    let ending = stage.pool.newest_ending(&session).await.unwrap().unwrap();
    assert!(
        matches!(&ending.event, Event::Failed(failed) if failed.kind == FailureKind::Interrupted),
        "{ending:?}"
    );
    // What the client keeps of the answer nobody knows.
    talk.0.messages.push(Message::assistant("one two"));
    let told = stage.say(&mut talk, "and then?").await;
    assert_eq!(told.session.as_str(), "chat.2");
    assert_eq!(count(&stage.asked("and then?"), "<conversation>"), 1);
    stage.ended(&session).await;
    stage.stop().await;
}

#[tokio::test]
async fn a_reply_that_is_dropped_before_it_is_read_leaves_nothing_behind() {
    let stage = Stage::new().await;
    let mut talk = Talk::of("a");
    talk.0.messages.push(Message::user(SLOW));
    let reply = stage.reply(&talk).await.unwrap();
    let session = reply.session.clone().unwrap();
    drop(reply);
    stage.ended(&session).await;
    stage.stop().await;
}

#[tokio::test]
async fn a_failure_ends_the_session_and_the_conversation_goes_on_in_another() {
    let stage = Stage::new().await;
    let mut talk = Talk::of("a");
    let first = stage.say(&mut talk, "hello").await;
    talk.0
        .messages
        .push(Message::user("[[script:invalid-request]]"));
    let failed = told(stage.reply(&talk).await.unwrap()).await;
    assert_eq!(failed.session, first.session);
    assert!(
        matches!(&failed.ending, Event::Failed(failed) if failed.kind == FailureKind::InvalidRequest),
        "{failed:?}"
    );
    stage.ended(&first.session).await;
    talk.0.messages.pop();
    let again = stage.say(&mut talk, "again").await;
    assert_ne!(again.session, first.session);
    let asked = stage.asked("again");
    assert_eq!(
        (count(&asked, "\nhello\n"), count(&asked, "invalid-request")),
        (1, 0)
    );
    stage.stop().await;
}

#[tokio::test]
async fn a_named_one_that_failed_goes_on_under_the_next_number() {
    let stage = Stage::new().await;
    let mut talk = Talk::named("a", "chat");
    stage.say(&mut talk, "hello").await;
    talk.0
        .messages
        .push(Message::user("[[script:invalid-request]]"));
    let failed = told(stage.reply(&talk).await.unwrap()).await;
    assert!(matches!(failed.ending, Event::Failed(_)), "{failed:?}");
    talk.0.messages.pop();
    let again = stage.say(&mut talk, "again").await;
    assert_eq!(again.session.as_str(), "chat.2");
    stage.ended(&failed.session).await;
    assert_eq!(stage.live().await, ["chat.2"]);
    stage.stop().await;
}

#[tokio::test]
async fn what_nobody_can_answer_is_refused_and_changes_nothing() {
    let stage = Stage::new().await;
    let mut talk = Talk::of("a");
    let first = stage.say(&mut talk, "hello").await;
    let refused = async |talk: &Talk| stage.reply(talk).await.unwrap_err().kind;
    assert_eq!(refused(&talk).await, FailureKind::InvalidRequest);
    let mut empty = talk.clone();
    empty.0.messages.push(Message::user(" \n"));
    assert_eq!(refused(&empty).await, FailureKind::InvalidRequest);
    let mut other = talk.clone();
    other.0.messages.push(Message::user("hello"));
    other.0.model = Some("anthropic/opus".to_owned());
    assert_eq!(refused(&other).await, FailureKind::InvalidRequest);
    assert_eq!(refused(&Talk::of("a")).await, FailureKind::InvalidRequest);
    let second = stage.say(&mut talk, "again").await;
    assert_eq!(second.session, first.session);
    stage.stop().await;
}

#[tokio::test]
async fn a_pool_without_room_refuses_as_exhausted() {
    let stage = Stage::with(|config| {
        config.pool.max_total = 1;
        config.pool.claim_timeout = Duration::from_millis(100);
    })
    .await;
    stage.pool.wait_warm(1, PATIENCE).await.unwrap();
    // A session that nobody's conversation rests in gives no way.
    let held = stage.pool.claim(ClaimRequest::default()).await.unwrap();
    let mut other = Talk::of("b");
    other.0.messages.push(Message::user("hello"));
    let refused = stage.reply(&other).await.unwrap_err();
    assert_eq!(refused.kind, FailureKind::Exhausted);
    assert!(refused.retry_after.is_some());
    assert!(refused.to_string().contains("within 100 ms"), "{refused}");
    assert_eq!(stage.live().await, [held.session.to_string()]);
    stage.stop().await;
}

#[tokio::test]
async fn without_redis_it_is_unavailable() {
    let stage = Stage::new().await;
    let mut talk = Talk::of("a");
    stage.say(&mut talk, "hello").await;
    let Stage {
        pool,
        provider,
        model,
        redis,
        ..
    } = stage;
    redis.stop().await;
    talk.0.messages.push(Message::user("again"));
    let refused = provider.reply(talk.0.clone()).await.unwrap_err();
    assert_eq!(refused.kind, FailureKind::Unavailable);
    assert!(refused.retry_after.is_some());
    let refused = provider.reply(Talk::of("b").0).await.unwrap_err();
    assert_eq!(refused.kind, FailureKind::InvalidRequest);
    assert_eq!(
        provider.health().await.status,
        ccpool::HealthStatus::Unavailable
    );
    pool.shutdown(Duration::from_secs(1)).await;
    model.shutdown().await;
}
