//! The answer breaks off.

use ccpool_protocol::boot::Boot;
use ccpool_protocol::event::Event;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::play::Play;
use crate::support::Rig;

fn setting(name: &'static str, value: &'static str) -> impl FnOnce(&mut Boot) {
    move |boot| {
        boot.claude.env.insert(name.to_owned(), value.to_owned());
    }
}

fn broken_then(whole: &str) -> Value {
    let broken = json!({"text": "This breaks in the middle", "delayMs": 50, "disconnectAfter": 3});
    json!({"attempts": [broken, {"text": whole}]})
}

/// The connection is closed before there was any response.
#[tokio::test]
async fn a_connection_that_is_dropped() {
    let mut play = Play::begin().await;
    play.acted(
        "t1",
        json!({"attempts": [{"drop": true}, {"text": "Whole."}]}),
    )
    .await;
    insta::assert_snapshot!(play.finish().await, @r#"t1: started status(retry) text_delta text completed "Whole.""#);
}

/// What was said does not count; what is said anew does.
#[tokio::test]
async fn t49a_drop_once_after_content() {
    let mut play = Play::begin().await;
    play.acted("t1", broken_then("Whole after a broken connection."))
        .await;
    insta::assert_snapshot!(play.finish().await, @r#"t1: started text_delta retract status(retry) text_delta text completed "Whole after a broken connection.""#);
}

#[tokio::test]
async fn t49b_drop_always_after_content() {
    let mut play = Play::with(setting("CLAUDE_CODE_MAX_RETRIES", "1")).await;
    let broken = json!({"text": "This breaks in the middle", "delayMs": 50, "disconnectAfter": 3});
    play.acted("t1", broken).await;
    insta::assert_snapshot!(play.finish().await, @"t1: started text_delta retract status(retry) text_delta retract failed(unavailable, seen)");
}

#[tokio::test]
async fn t49c_drop_once_before_content() {
    let mut play = Play::begin().await;
    let broken = json!({"text": "never", "delayMs": 50, "disconnectAfter": 0});
    play.acted("t1", json!({"attempts": [broken, {"text": "Whole."}]}))
        .await;
    insta::assert_snapshot!(play.finish().await, @r#"t1: started status(retry) text_delta text completed "Whole.""#);
}

/// An error event in the stream: the request is repeated without streaming, and the text comes in
/// one piece.
#[tokio::test]
async fn t49d_sse_overloaded_once_after_content() {
    let mut play = Play::begin().await;
    play.said("t1", "[[script:error-event-once]]").await;
    insta::assert_snapshot!(play.finish().await, @r#"t1: started text_delta retract text_delta text completed "Whole after a failed stream.""#);
}

#[tokio::test]
async fn t49e_sse_overloaded_always() {
    let mut play = Play::begin().await;
    let scene =
        json!({"text": "a b c d", "delayMs": 50, "errorAfter": {"chunks": 3, "status": 529}});
    play.acted("t1", scene).await;
    insta::assert_snapshot!(play.finish().await, @"t1: started text_delta retract status(retry) failed(overloaded, seen, retry)");
}

#[tokio::test]
async fn t13p_sse_overloaded_once_before_deltas() {
    let mut play = Play::begin().await;
    let broken =
        json!({"text": "never", "delayMs": 50, "errorAfter": {"chunks": 0, "status": 529}});
    play.acted("t1", json!({"attempts": [broken, {"text": "Whole."}]}))
        .await;
    insta::assert_snapshot!(play.finish().await, @r#"t1: started text_delta text completed "Whole.""#);
}

#[tokio::test]
async fn t49f_drop_once_after_content_no_fallback() {
    let mut play = Play::with(setting("CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK", "1")).await;
    play.acted("t1", broken_then("Whole.")).await;
    insta::assert_snapshot!(play.finish().await, @r#"t1: started text_delta retract status(retry) text_delta text completed "Whole.""#);
}

/// A block that was complete stands; only what came after it is withdrawn.
#[tokio::test]
async fn t49g_drop_once_after_a_complete_block() {
    let mut play = Play::begin().await;
    let broken = json!({
        "blocks": [{"text": "A whole block."}, {"text": "and a cut one"}],
        "delayMs": 50,
        "disconnectAfter": 5,
    });
    play.acted("t1", json!([broken, {"text": "The rest."}]))
        .await;
    let events = play.transcript().await;
    let retracted: Vec<u64> = events
        .of("t1")
        .filter_map(|event| match event.event {
            Event::Retract { from_block, .. } => Some(from_block),
            _ => None,
        })
        .collect();
    assert_eq!(retracted, [1]);
    insta::assert_snapshot!(play.finish().await, @r#"t1: started text_delta text text_delta retract text_delta text completed "The rest.""#);
}

/// A tool call that is cut is no call.
#[tokio::test]
async fn t49g_drop_once_in_tool_block() {
    let mut play = Play::begin().await;
    let call = json!({"name": "Bash", "input": {"command": "touch made", "description": "a long one, so that it comes in more than one piece"}});
    let broken = json!({
        "blocks": [{"text": "Let me."}, {"toolUse": call}],
        "delayMs": 50,
        "disconnectAfter": 3,
    });
    play.acted("t1", json!([broken, {"text": "The rest."}]))
        .await;
    assert!(!play.rig.dir.path().join("work/made").exists());
    insta::assert_snapshot!(play.finish().await, @r#"t1: started text_delta text text_delta text completed "The rest.""#);
}

#[tokio::test]
async fn t14f_hang_api_timeout() {
    let mut play = Play::with(|boot| {
        setting("API_TIMEOUT_MS", "700")(boot);
        setting("CLAUDE_CODE_MAX_RETRIES", "1")(boot);
    })
    .await;
    play.acted("t1", json!({"hang": true})).await;
    insta::assert_snapshot!(play.finish().await, @"t1: started status(retry) failed(unavailable)");
}

/// ccpool's own limit of silence ends it, and what was said stays said.
#[tokio::test]
async fn t15a_a_stalled_stream() {
    let mut play = Play::with(|boot| boot.stall_ms = 1000).await;
    play.acted("t1", json!({"text": "one two three four", "stallAfter": 2}))
        .await;
    insta::assert_snapshot!(play.finish().await, @"t1: started text_delta text failed(stalled, seen)");
}

#[tokio::test]
async fn a_model_that_never_begins_stalls() {
    let mut play = Play::with(|boot| boot.stall_ms = 1000).await;
    play.acted("t1", json!({"hang": true})).await;
    insta::assert_snapshot!(play.finish().await, @"t1: started failed(stalled)");
}

#[tokio::test]
async fn a_turn_that_takes_too_long() {
    let mut play = Play::with(|boot| boot.turn_ms = Some(1000)).await;
    let words = "word ".repeat(200);
    play.acted("t1", json!({"text": words, "delayMs": 100}))
        .await;
    insta::assert_snapshot!(play.finish().await, @"t1: started text_delta text failed(timeout, seen)");
}

#[tokio::test]
async fn a_tool_that_takes_too_long() {
    let mut play = Play::with(|boot| boot.turn_ms = Some(1000)).await;
    let call = json!({"name": "Bash", "input": {"command": "sleep 60"}});
    play.acted("t1", json!([{"toolUse": call}, {"text": "never"}]))
        .await;
    insta::assert_snapshot!(play.finish().await, @"t1: started tool_use(Bash) tool_result(error) failed(timeout, acted)");
}

/// `claude` is killed: the turn is lost, the conversation is not.
#[tokio::test]
async fn t20t_killed_midstream() {
    let mut play = Play::begin().await;
    play.said("t1", "My favourite colour is teal.").await;
    let slow = json!({"text": "one two three four five six", "delayMs": 2000});
    play.act("t2", slow).await;
    play.rig.line(r#""text":"one"#).await;
    play.say("t3", "What is my favourite colour?").await;
    Rig::signal(play.rig.claude_pid(), Signal::SIGKILL);
    let ending = play.rig.ending("t3").await;
    assert!(
        ending["text"].as_str().unwrap().contains("teal"),
        "{ending}"
    );
    insta::assert_snapshot!(play.finish().await, @r#"
    t1: started text_delta text completed "Got it: your favourite colour is teal. I will remember it."
    t2: started text_delta retract failed(container_lost, seen) status(notice)
    t3: started text_delta text completed "Your favourite colour is teal."
    "#);
}

#[tokio::test]
async fn t20v_killed_in_tool() {
    let mut play = Play::begin().await;
    let call = json!({"name": "Bash", "input": {"command": "sleep 60"}});
    play.act("t1", json!([{"toolUse": call}, {"text": "never"}]))
        .await;
    play.rig.line(r#""stop_reason":"tool_use""#).await;
    Rig::signal(play.rig.claude_pid(), Signal::SIGKILL);
    play.rig.ending("t1").await;
    insta::assert_snapshot!(play.finish().await, @"t1: started tool_use(Bash) failed(container_lost, acted) status(notice)");
}
