//! Somebody stops the turn.

use ccpool_protocol::boot::Boot;
use serde_json::{Value, json};

use super::play::{Afterwards, Play};
use crate::support::PATIENCE;

fn slow() -> Value {
    json!({"text": "one two three four five six seven eight nine ten", "delayMs": 2000})
}

fn hanging(boot: &mut Boot) {
    boot.claude
        .env
        .insert("CLAUDE_CODE_MAX_RETRIES".to_owned(), "0".to_owned());
}

/// What was said before stays said: it is in the conversation too.
#[tokio::test]
async fn t08a_interrupt_midstream() {
    let mut play = Play::begin().await;
    play.act("t1", slow()).await;
    play.rig.line("text_delta").await;
    play.rig.control("interrupt").await;
    let ending = play.rig.ending("t1").await;
    assert_eq!(ending["message"], "the turn was interrupted");
    play.said("t2", "[[script:hello]]").await;
    insta::assert_snapshot!(play.finish().await, @r#"
    t1: started text_delta text failed(interrupted, seen)
    t2: started text_delta text completed "Hello from the scripted model."
    "#);
}

#[tokio::test]
async fn t08a_interrupt_while_it_thinks() {
    let mut play = Play::begin().await;
    let scene = json!({"thinking": "one two three four five six", "text": "said", "delayMs": 2000});
    play.act("t1", scene).await;
    play.rig.line("thinking_delta").await;
    play.rig.control("interrupt").await;
    play.rig.ending("t1").await;
    insta::assert_snapshot!(play.finish().await, @"t1: started thinking retract failed(interrupted)");
}

#[tokio::test]
async fn t08b_interrupt_during_bash() {
    let mut play = Play::begin().await;
    let scene = json!([
        {"toolUse": {"name": "Bash", "input": {"command": "echo begun > begun; sleep 60"}}},
        {"text": "never"},
    ]);
    play.act("t1", scene).await;
    let begun = play.rig.dir.path().join("work/begun");
    crate::support::eventually("the command runs", || async {
        begun.exists().then_some(())
    })
    .await;
    play.rig.control("interrupt").await;
    play.rig.ending("t1").await;
    play.said("t2", "[[script:hello]]").await;
    insta::assert_snapshot!(play.finish().await, @r#"
    t1: started tool_use(Bash) tool_result(error) failed(interrupted, acted)
    t2: started text_delta text completed "Hello from the scripted model."
    "#);
}

#[tokio::test]
async fn t08c_interrupt_hanging_api() {
    let mut play = Play::with(hanging).await;
    play.act("t1", json!({"hang": true})).await;
    let waits = |request: &ccpool_scripted_model::RecordedRequest| request.stream;
    play.rig
        .model
        .wait_for_request(waits, PATIENCE)
        .await
        .unwrap();
    play.rig.control("interrupt").await;
    play.rig.ending("t1").await;
    insta::assert_snapshot!(play.finish().await, @"t1: started failed(interrupted)");
}

#[tokio::test]
async fn an_interrupt_during_a_pause_before_a_repetition() {
    let mut play = Play::begin().await;
    play.act("t1", json!({"error": {"status": 529, "retryAfter": 30}}))
        .await;
    play.rig.line("api_retry").await;
    play.rig.control("interrupt").await;
    play.rig.ending("t1").await;
    insta::assert_snapshot!(play.finish().await, @"t1: started status(retry) failed(interrupted)");
}

#[tokio::test]
async fn t08d_interrupt_idle() {
    let mut play = Play::begin().await;
    play.rig.control("interrupt").await;
    play.said("t1", "[[script:hello]]").await;
    play.rig.control("interrupt").await;
    play.said("t2", "[[script:hello]]").await;
    insta::assert_snapshot!(play.finish().await, @r#"
    t1: started text_delta text completed "Hello from the scripted model."
    t2: started text_delta text completed "Hello from the scripted model."
    "#);
}

#[tokio::test]
async fn t08g_what_waits_runs_after_an_interrupt() {
    let mut play = Play::begin().await;
    play.act("t1", slow()).await;
    play.rig.line("text_delta").await;
    play.act("t2", json!({"text": "the second"})).await;
    play.act("t3", json!({"text": "the third"})).await;
    play.rig.control("interrupt").await;
    play.rig.ending("t3").await;
    insta::assert_snapshot!(play.finish().await, @r#"
    t1: started text_delta text failed(interrupted, seen)
    t2: started text_delta text completed "the second"
    t3: started text_delta text completed "the third"
    "#);
}

#[tokio::test]
async fn t23b_an_interrupting_prompt_goes_first() {
    let mut play = Play::begin().await;
    play.act("t1", slow()).await;
    play.rig.line("text_delta").await;
    play.act("t2", json!({"text": "the second"})).await;
    let urgent =
        json!({"turn": "t3", "mode": "interrupt", "text": r#"[[do: {"text":"the third"}]]"#});
    play.push(urgent).await;
    play.rig.ending("t2").await;
    insta::assert_snapshot!(play.finish().await, @r#"
    t1: started text_delta text failed(interrupted, seen)
    t3: started text_delta text completed "the third"
    t2: started text_delta text completed "the second"
    "#);
}

/// Between turns there is nothing to interrupt, and it is a prompt like any other.
#[tokio::test]
async fn an_interrupting_prompt_between_turns() {
    let mut play = Play::begin().await;
    let urgent = json!({"turn": "t1", "mode": "interrupt", "text": "[[script:hello]]"});
    play.push(urgent).await;
    play.rig.ending("t1").await;
    insta::assert_snapshot!(play.finish().await, @r#"t1: started text_delta text completed "Hello from the scripted model.""#);
}

/// Interrupted, and interrupted again before the first is through: one ending.
#[tokio::test]
async fn two_interrupts_end_one_turn() {
    let mut play = Play::begin().await;
    play.act("t1", slow()).await;
    play.rig.line("text_delta").await;
    play.act("t2", json!({"text": "the second", "delayMs": 20}))
        .await;
    for _ in 0..2 {
        play.rig.control("interrupt").await;
    }
    play.rig.ending("t2").await;
    let transcript = play.transcript().await;
    let ending = transcript.of("t1").last().unwrap();
    assert!(ending.event.is_terminal(), "{ending:?}");
    play.finish().await;
}

/// The end of the session is one for what runs and for what waits.
#[tokio::test]
async fn t08e_a_session_that_is_stopped_midstream() {
    let mut play = Play::begin().await;
    play.act("t1", slow()).await;
    play.rig.line("text_delta").await;
    play.act("t2", json!({"text": "never"})).await;
    play.rig.control("shutdown").await;
    assert!(play.rig.exit().await.success());
    insta::assert_snapshot!(play.finish_as(Afterwards::Ended).await, @"
    t1: started text_delta text failed(interrupted, seen)
    t2: failed(interrupted)
    ");
}
