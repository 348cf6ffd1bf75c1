//! More than one prompt.

use serde_json::json;

use super::play::Play;
use crate::support::PATIENCE;

/// The CLI would merge them into one turn; each has its own here.
#[tokio::test]
async fn t08h_queue_no_interrupt() {
    let mut play = Play::begin().await;
    play.act("t1", json!({"text": "one two three", "delayMs": 200}))
        .await;
    play.rig.line("text_delta").await;
    play.act("t2", json!({"text": "the second"})).await;
    play.act("t3", json!({"text": "the third"})).await;
    play.rig.ending("t3").await;
    insta::assert_snapshot!(play.finish().await, @r#"
    t1: started text_delta text completed "one two three"
    t2: started text_delta text completed "the second"
    t3: started text_delta text completed "the third"
    "#);
}

#[tokio::test]
async fn many_prompts_at_once_keep_their_order() {
    let mut play = Play::begin().await;
    let turns: Vec<String> = (0..20).map(|number| format!("t{number:02}")).collect();
    for turn in &turns {
        play.act(turn, json!({"text": format!("answer to {turn}")}))
            .await;
    }
    for turn in &turns {
        let ending = play.rig.ending(turn).await;
        assert_eq!(ending["text"], format!("answer to {turn}"));
    }
    let told = play.finish().await;
    let order: Vec<&str> = told
        .lines()
        .filter_map(|line| line.split(':').next())
        .collect();
    assert_eq!(order, turns);
}

/// Said into a turn with a tool at work, a prompt is answered there; who waits for its own turn
/// is told that ending.
#[tokio::test]
async fn t08i_steer_during_tool() {
    let mut play = Play::begin().await;
    let go = play.rig.dir.path().join("work/go");
    let wait = format!(
        "until test -e {}; do sleep 0.05; done; echo waited",
        go.display()
    );
    let tool = json!([
        {"toolUse": {"name": "Bash", "input": {"command": wait}}},
        {"text": "with regard to both"},
    ]);
    play.act("t1", tool).await;
    play.rig.line(r#""stop_reason":"tool_use""#).await;
    play.push(json!({"turn": "t2", "text": "mind the heron", "mode": "steer"}))
        .await;
    play.queued(2).await;
    std::fs::write(&go, "").unwrap();
    play.rig.ending("t2").await;
    let heard = |request: &ccpool_scripted_model::RecordedRequest| {
        request.last_user_text.contains("mind the heron")
    };
    play.rig
        .model
        .wait_for_request(heard, PATIENCE)
        .await
        .unwrap();
    insta::assert_snapshot!(play.finish().await, @r#"
    t1: started tool_use(Bash) tool_result text_delta text completed "with regard to both"
    t2: completed "with regard to both"
    "#);
}

/// While text streams there is nowhere to take it in: it has a turn of its own.
#[tokio::test]
async fn steering_into_text_is_a_turn_of_its_own() {
    let mut play = Play::begin().await;
    play.act("t1", json!({"text": "one two three", "delayMs": 300}))
        .await;
    play.rig.line("text_delta").await;
    let steer = json!({"turn": "t2", "text": "[[script:hello]]", "mode": "steer"});
    play.push(steer).await;
    play.rig.ending("t2").await;
    insta::assert_snapshot!(play.finish().await, @r#"
    t1: started text_delta text completed "one two three"
    t2: started text_delta text completed "Hello from the scripted model."
    "#);
}

/// A turn that is stopped does not take along what was steered into it: it is told that it was
/// withdrawn.
#[tokio::test]
async fn a_steered_prompt_in_a_turn_that_is_interrupted() {
    let mut play = Play::begin().await;
    let tool = json!([
        {"toolUse": {"name": "Bash", "input": {"command": "sleep 60"}}},
        {"text": "never"},
    ]);
    play.act("t1", tool).await;
    play.rig.line(r#""stop_reason":"tool_use""#).await;
    play.push(json!({"turn": "t2", "text": "mind the heron", "mode": "steer"}))
        .await;
    play.queued(2).await;
    play.rig.control("interrupt").await;
    play.rig.ending("t2").await;
    insta::assert_snapshot!(play.finish().await, @"
    t1: started tool_use(Bash) tool_result(error) failed(interrupted, acted)
    t2: failed(interrupted)
    ");
}

/// Items that are no prompts fail in their place, and the others run.
#[tokio::test]
async fn t14g_items_that_are_no_prompts() {
    let mut play = Play::begin().await;
    play.push(json!({"turn": "t1"})).await;
    play.push(json!({"turn": "t2", "text": "a", "content": [{"type": "text", "text": "b"}]}))
        .await;
    play.act("t3", json!({"text": "unharmed"})).await;
    play.push(json!({"turn": "t4", "text": 7})).await;
    play.rig.ending("t4").await;
    insta::assert_snapshot!(play.finish().await, @r#"
    t1: failed(invalid_request)
    t2: failed(invalid_request)
    t3: started text_delta text completed "unharmed"
    t4: failed(invalid_request)
    "#);
}
