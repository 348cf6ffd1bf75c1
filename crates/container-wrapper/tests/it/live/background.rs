//! Subagents, and turns that nobody asked for.

use ccpool_protocol::boot::Boot;
use ccpool_protocol::event::Event;
use ccpool_scripted_model::Scene;
use serde_json::{Value, json};

use super::play::Play;

fn in_background(boot: &mut Boot) {
    boot.claude.background_tasks = true;
}

/// A subagent that runs a command and reports.
fn delegation() -> Value {
    let inner = json!([
        {"toolUse": {"id": "toolu_inner", "name": "Bash", "input": {"command": "echo from the subagent"}}},
        {"text": "The subagent's report."},
    ]);
    json!([
        {"text": "Delegating.", "toolUse": {"id": "toolu_agent", "name": "Agent", "input": {
            "description": "small job",
            "prompt": format!("[[do: {inner}]]"),
            "subagent_type": "general-purpose",
        }}},
        {"text": "It is done."},
    ])
}

/// Whose call the events of a turn belong to: name of the event, and its parent.
async fn parents(play: &Play, turn: &str) -> Vec<(String, Option<String>)> {
    let transcript = play.transcript().await;
    let events = transcript.of(turn).filter_map(|event| match &event.event {
        Event::ToolUse {
            tool_use_id,
            parent_tool_use_id,
            ..
        }
        | Event::ToolResult {
            tool_use_id,
            parent_tool_use_id,
            ..
        } => Some((tool_use_id.clone(), parent_tool_use_id.clone())),
        _ => None,
    });
    events.collect()
}

#[tokio::test]
async fn t45a_a_subagent_works_within_the_turn() {
    let mut play = Play::begin().await;
    play.acted("t1", delegation()).await;
    let inner = || ("toolu_inner".to_owned(), Some("toolu_agent".to_owned()));
    let outer = || ("toolu_agent".to_owned(), None);
    let expected = [outer(), inner(), inner(), outer()];
    assert_eq!(parents(&play, "t1").await, expected);
    insta::assert_snapshot!(play.finish().await, @r#"t1: started text_delta text tool_use(Agent) status(task) tool_use(Bash) tool_result status(task) tool_result text_delta text completed "It is done.""#);
}

/// Its prompt is answered before the subagent is; what it reports is a turn that nobody asked for,
/// and nobody's answer.
#[tokio::test]
async fn t16a_a_subagent_in_the_background() {
    let mut play = Play::with(in_background).await;
    // The subagent reports when the turn is over and the answer to its report is at hand.
    let mut scene = delegation();
    let wait = "until test -e go; do sleep 0.05; done; echo from the subagent";
    let inner = json!([
        {"toolUse": {"id": "toolu_inner", "name": "Bash", "input": {"command": wait}}},
        {"text": "The subagent's report."},
    ]);
    scene[0]["toolUse"]["input"]["prompt"] = json!(format!("[[do: {inner}]]"));
    let ending = play.acted("t1", scene).await;
    assert_eq!(ending["text"], "It is done.");
    let called = r#""id":"toolu_inner""#;
    play.rig.line(called).await;
    play.rig
        .model
        .push(self::scene(r#"{"text":"The subagent's report."}"#));
    play.rig
        .model
        .push(self::scene(r#"{"text":"The subagent has reported."}"#));
    go(&play);
    let turn = play.unasked(1).await;
    assert_ne!(turn, "t1");
    insta::assert_snapshot!(play.finish_in_front().await, @r#"
    t1: started text_delta text tool_use(Agent) tool_result text_delta text completed "It is done."
    unasked: started text_delta text completed[task-notification] "The subagent has reported."
    "#);
}

/// A command that runs on after its turn, until the file `go` is there.
fn errand() -> Value {
    let command = "until test -e go; do sleep 0.05; done; echo back";
    json!([
        {"toolUse": {"name": "Bash", "input": {"command": command, "run_in_background": true}}},
        {"text": "It runs."},
    ])
}

fn go(play: &Play) {
    std::fs::write(play.rig.dir.path().join("work/go"), "").unwrap();
}

fn scene(json: &str) -> Scene {
    Scene::parse(json).unwrap()
}

#[tokio::test]
async fn t15_bash_bg() {
    let mut play = Play::with(in_background).await;
    play.acted("t1", errand()).await;
    play.rig
        .model
        .push(scene(r#"{"text":"The errand is done."}"#));
    go(&play);
    play.unasked(1).await;
    insta::assert_snapshot!(play.finish_in_front().await, @r#"
    t1: started tool_use(Bash) tool_result text_delta text completed "It runs."
    unasked: started text_delta text completed[task-notification] "The errand is done."
    "#);
}

/// It waits until the CLI is through with its own turn, and gets its own answer.
#[tokio::test]
async fn a_prompt_during_an_unasked_turn() {
    let mut play = Play::with(in_background).await;
    play.acted("t1", errand()).await;
    play.rig
        .model
        .push(scene(r#"{"text":"one two three","delayMs":300}"#));
    go(&play);
    play.rig.line(r#""text":"one"#).await;
    let ending = play.said("t2", "[[script:hello]]").await;
    assert_eq!(ending["text"], "Hello from the scripted model.");
    insta::assert_snapshot!(play.finish_in_front().await, @r#"
    t1: started tool_use(Bash) tool_result text_delta text completed "It runs."
    unasked: started text_delta text completed[task-notification] "one two three"
    t2: started text_delta text completed "Hello from the scripted model."
    "#);
}

/// Whichever is first: nobody gets the other's answer.
#[tokio::test]
async fn a_prompt_in_a_race_with_an_unasked_turn() {
    let mut play = Play::with(in_background).await;
    for round in 1..=4 {
        let _ = std::fs::remove_file(play.rig.dir.path().join("work/go"));
        play.acted(&format!("errand{round}"), errand()).await;
        let turn = format!("t{round}");
        let own = format!("This is {turn}.");
        go(&play);
        let ending = play.acted(&turn, json!({"text": own, "delayMs": 20})).await;
        assert_eq!(ending["text"], own);
        play.unasked(round).await;
    }
    play.finish().await;
}

#[tokio::test]
async fn an_interrupt_of_an_unasked_turn() {
    let mut play = Play::with(in_background).await;
    play.acted("t1", errand()).await;
    play.rig
        .model
        .push(scene(r#"{"text":"one two three","delayMs":2000}"#));
    go(&play);
    play.rig.line(r#""text":"one"#).await;
    play.rig.control("interrupt").await;
    play.unasked(1).await;
    insta::assert_snapshot!(play.finish_in_front().await, @r#"
    t1: started tool_use(Bash) tool_result text_delta text completed "It runs."
    unasked: started text_delta text failed(interrupted, seen)[task-notification]
    "#);
}

/// A subagent that goes on after the turn may still have to ask.
#[tokio::test]
async fn a_question_of_a_subagent_in_the_background() {
    let mut play = Play::with(|boot| {
        in_background(boot);
        boot.claude.allowed_tools.clear();
    })
    .await;
    let inner = json!([
        {"toolUse": {"name": "Bash", "input": {"command": "touch made"}}},
        {"text": "The subagent's report."},
    ]);
    let call = json!({"name": "Agent", "input": {
        "description": "small job",
        "prompt": format!("[[do: {inner}]]"),
        "subagent_type": "general-purpose",
    }});
    play.acted("t1", json!([{"toolUse": call}, {"text": "It runs."}]))
        .await;
    let asked = play.asked(1).await;
    play.permit(&asked, json!({"behavior": "allow"})).await;
    play.unasked(1).await;
    assert!(play.rig.dir.path().join("work/made").exists());
    play.finish().await;
}
