use ccpool_protocol::record::report;
use ccpool_protocol::state::field;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{Rig, assert_gapless, eventually};

const SLOW: &str =
    r#"[[do: {"text":"one two three four five six seven eight nine ten","delayMs":150}]]"#;

/// What was streamed, put together.
async fn streamed(rig: &Rig, turn: &str) -> String {
    let buffer = rig.buffer().await;
    let lines = buffer
        .iter()
        .filter(|envelope| envelope.turn.as_str() == turn);
    let lines = lines.map(|e| serde_json::from_str::<Value>(e.line.get()).unwrap());
    let texts = lines.filter_map(|line| line["event"]["delta"]["text"].as_str().map(str::to_owned));
    texts.collect()
}

#[tokio::test]
async fn redis_goes_and_comes_back_with_its_data() {
    let mut rig = Rig::serving().await;
    rig.push(json!({"turn": "t1", "text": SLOW})).await;
    rig.line("text_delta").await;
    rig.redis.down().await;
    let ended = |requests: &[std::sync::Arc<ccpool_scripted_model::RecordedRequest>]| {
        requests.iter().any(|request| request.outcome().is_some())
    };
    eventually("the model has said everything", || async {
        ended(&rig.model.requests()).then_some(())
    })
    .await;
    rig.redis.up().await;
    let ending = rig.ending("t1").await;
    assert_eq!(
        ending["text"],
        "one two three four five six seven eight nine ten"
    );
    assert_gapless(&rig.buffer().await);
    assert_eq!(rig.endings("t1").await.len(), 1);
    assert_eq!(streamed(&rig, "t1").await, ending["text"].as_str().unwrap());
    eventually("the item has left inflight", || async {
        rig.list(&rig.session.inflight)
            .await
            .is_empty()
            .then_some(())
    })
    .await;

    // Everything works again: prompts, control messages, the heartbeat.
    rig.push(json!({"turn": "t2", "text": SLOW})).await;
    rig.line("\"message_start\"").await;
    eventually("the second turn runs", || async {
        rig.state(field::TURN).await.filter(|turn| turn == "t2")
    })
    .await;
    rig.control("interrupt").await;
    assert_eq!(rig.ending("t2").await["kind"], "interrupted");
}

#[tokio::test]
async fn redis_comes_back_empty() {
    let mut rig = Rig::serving().await;
    rig.push(json!({"turn": "t1", "text": SLOW})).await;
    rig.line("text_delta").await;
    rig.redis.down().await;
    rig.redis.wipe();
    rig.redis.up().await;
    let ending = rig.ending("t1").await;
    assert_eq!(ending["type"], "completed");
    let buffer = rig.buffer().await;
    assert_gapless(&buffer);
    assert!(buffer[0].seq > 1, "what Redis had lost is not sent again");
    eventually("it registers again", || rig.report(report::READY_AT)).await;
    assert!(rig.report(report::REGISTERED_AT).await.is_some());
    rig.push(json!({"turn": "t2", "text": "hello"})).await;
    assert_eq!(rig.ending("t2").await["type"], "completed");
}

/// Nothing has told the wrapper yet that Redis has lost everything.
#[tokio::test]
async fn one_that_ends_says_once_more_how_its_session_stands() {
    let mut rig = Rig::prepare().await;
    rig.boot.heartbeat_ms = 60_000;
    rig.boot.stop_ms = 30_000;
    rig.launch();
    rig.ready().await;
    rig.assign().await;
    rig.push(json!({"turn": "t1", "text": "hello"})).await;
    rig.ending("t1").await;
    rig.redis.down().await;
    rig.redis.wipe();
    Rig::signal(rig.pid(), Signal::SIGTERM);
    let claude = rig.claude_pid();
    eventually("claude has gone", || async {
        let gone = !std::path::Path::new(&format!("/proc/{claude}")).exists();
        gone.then_some(())
    })
    .await;
    rig.redis.up().await;
    assert_eq!(rig.exit().await.code(), Some(0));
    let mut connection = rig.redis.connect().await;
    assert_eq!(rig.state(field::TURN).await.as_deref(), Some(""));
    assert_eq!(rig.state(field::UNSURE).await.as_deref(), Some(""));
    let result: String = redis::AsyncCommands::get(&mut connection, &rig.session.result)
        .await
        .unwrap();
    assert!(result.contains(r#""type":"completed""#), "{result}");
}

#[tokio::test]
async fn prompts_pushed_after_an_idle_outage_are_taken() {
    let mut rig = Rig::serving().await;
    rig.push(json!({"turn": "t1", "text": "hello"})).await;
    rig.ending("t1").await;
    rig.redis.down().await;
    rig.redis.up().await;
    rig.push(json!({"turn": "t2", "text": "hello"})).await;
    assert_eq!(rig.ending("t2").await["type"], "completed");
}

#[tokio::test]
async fn a_redis_that_answers_late_applies_each_batch_once() {
    let mut rig = Rig::prepare().await;
    // So that what goes unanswered is a batch and no heartbeat.
    rig.boot.heartbeat_ms = 60_000;
    rig.launch();
    rig.ready().await;
    rig.assign().await;
    rig.push(json!({"turn": "t1", "text": SLOW})).await;
    rig.line("text_delta").await;
    let redis = rig.redis.pid();
    Rig::signal(redis, Signal::SIGSTOP);
    eventually("the wrapper gives up on the answer", || async {
        rig.log().contains("publisher: Redis failed").then_some(())
    })
    .await;
    Rig::signal(redis, Signal::SIGCONT);
    let ending = rig.ending("t1").await;
    assert!(rig.log().contains("had been applied"), "{}", rig.log());
    assert_eq!(rig.endings("t1").await.len(), 1);
    assert_gapless(&rig.buffer().await);
    assert_eq!(streamed(&rig, "t1").await, ending["text"].as_str().unwrap());
    rig.redis.down().await;
}

#[tokio::test]
async fn a_prompt_that_was_moved_while_the_answer_got_lost_is_run() {
    let rig = Rig::serving().await;
    rig.push(json!({"turn": "t1", "text": "hello"})).await;
    rig.ending("t1").await;
    let mut connection = rig.redis.connect().await;
    let item = json!({"turn": "t2", "text": "hello"}).to_string();
    let lost: (i64, i64) = redis::pipe()
        .atomic()
        .cmd("RPUSH")
        .arg(&rig.session.inflight)
        .arg(item)
        .cmd("CLIENT")
        .arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"])
        .query_async(&mut connection)
        .await
        .unwrap();
    assert!(lost.1 >= 2, "publisher and intake were cut off: {lost:?}");
    assert_eq!(rig.ending("t2").await["type"], "completed");
    assert_eq!(rig.endings("t1").await.len(), 1);
    assert_eq!(rig.endings("t2").await.len(), 1);
}
