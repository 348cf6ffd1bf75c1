//! What hangs is ended, and what is gone is brought back.

use ccpool_protocol::boot::Boot;
use ccpool_protocol::record::report;
use ccpool_protocol::state::field;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{PATIENCE, Rig, assert_gapless, closed_mcp, eventually};

const SLOW: &str =
    r#"[[do: {"text":"one two three four five six seven eight nine ten","delayMs":2000}]]"#;

async fn serving(change: impl FnOnce(&mut Boot)) -> Rig {
    let mut rig = Rig::prepare().await;
    change(&mut rig.boot);
    rig.launch();
    rig.ready().await;
    rig.assign().await;
    rig
}

/// The wrapper's lines that tell of a restart.
async fn respawns(rig: &Rig) -> Vec<Value> {
    let buffer = rig.buffer().await;
    let lines = buffer
        .iter()
        .map(|envelope| serde_json::from_str::<Value>(envelope.line.get()).unwrap());
    lines
        .filter(|line| line["subtype"] == "respawned")
        .collect()
}

async fn respawned(rig: &Rig, times: usize) -> Vec<Value> {
    eventually("claude is back", || async {
        let lines = respawns(rig).await;
        (lines.len() == times).then_some(lines)
    })
    .await
}

fn bash(command: &str) -> String {
    let scene = json!([
        {"toolUse": {"name": "Bash", "input": {"command": command}}},
        {"text": "done"},
    ]);
    format!("[[do: {scene}]]")
}

async fn tells_the_colour(rig: &Rig, turn: &str) {
    rig.push(json!({"turn": turn, "text": "My favourite colour is teal."}))
        .await;
    assert_eq!(rig.ending(turn).await["type"], "completed");
}

async fn knows_the_colour(rig: &Rig, turn: &str) {
    let ending = rig.ending(turn).await;
    let text = ending["text"].as_str().unwrap_or_default();
    assert!(text.contains("teal"), "{ending}");
}

const COLOUR: &str = "What is my favourite colour?";

#[tokio::test]
async fn a_stalled_stream_ends_the_turn_and_nothing_else() {
    let rig = serving(|boot| boot.stall_ms = 1000).await;
    let claude = rig.claude_pid();
    tells_the_colour(&rig, "t1").await;
    let stall = r#"[[do: {"text":"one two three four","stallAfter":2}]]"#;
    rig.push(json!({"turn": "t2", "text": stall})).await;
    rig.push(json!({"turn": "t3", "text": COLOUR})).await;
    let ending = rig.ending("t2").await;
    assert_eq!(
        (&ending["type"], &ending["kind"], &ending["visibleOutput"]),
        (&json!("failed"), &json!("stalled"), &json!(true)),
        "{ending}"
    );
    assert!(ending["timings"]["resultMs"].as_u64().unwrap() >= 1000);
    knows_the_colour(&rig, "t3").await;
    assert_eq!(rig.endings("t2").await.len(), 1);
    assert_eq!(rig.claude_pid(), claude);
    assert_eq!(rig.state(field::RESPAWNS).await, None);
}

#[tokio::test]
async fn a_turn_that_never_gets_an_answer_is_stalled() {
    let rig = serving(|boot| boot.stall_ms = 1000).await;
    rig.push(json!({"turn": "t1", "text": r#"[[do: {"hang":true}]]"#}))
        .await;
    let ending = rig.ending("t1").await;
    assert_eq!(
        (&ending["kind"], &ending["visibleOutput"]),
        (&json!("stalled"), &json!(false)),
        "{ending}"
    );
    rig.push(json!({"turn": "t2", "text": "hello"})).await;
    assert_eq!(rig.ending("t2").await["type"], "completed");
}

#[tokio::test]
async fn a_person_who_is_asked_may_take_their_time() {
    let rig = serving(|boot| {
        boot.stall_ms = 1000;
        boot.claude.allowed_tools = Vec::new();
    })
    .await;
    rig.push(json!({"turn": "t1", "text": bash("touch made")}))
        .await;
    let asked = rig.line("can_use_tool").await;
    // Three times what would be a stall, by the wrapper's own clock.
    eventually("time passes", || async {
        let beat = rig
            .state(field::LAST_HEARTBEAT)
            .await?
            .parse::<u64>()
            .ok()?;
        (beat > asked.at + 3000).then_some(())
    })
    .await;
    assert!(rig.endings("t1").await.is_empty());
    let asked: Value = serde_json::from_str(asked.line.get()).unwrap();
    let answer = json!({
        "type": "permission",
        "requestId": asked["request_id"],
        "response": {"behavior": "allow"},
    });
    rig.control(&answer.to_string()).await;
    assert_eq!(rig.ending("t1").await["text"], "done");
}

#[tokio::test]
async fn a_tool_at_work_is_no_silence() {
    let rig = serving(|boot| boot.stall_ms = 1000).await;
    rig.push(json!({"turn": "t1", "text": bash("sleep 3")}))
        .await;
    assert_eq!(rig.ending("t1").await["text"], "done");
    // With the result the clock runs again.
    let scene = json!([
        {"toolUse": {"name": "Bash", "input": {"command": "true"}}},
        {"hang": true},
    ]);
    rig.push(json!({"turn": "t2", "text": format!("[[do: {scene}]]")}))
        .await;
    let ending = rig.ending("t2").await;
    assert_eq!(
        (&ending["kind"], &ending["toolEffects"]),
        (&json!("stalled"), &json!(true)),
        "{ending}"
    );
}

#[tokio::test]
async fn a_turn_over_its_limit_ends_even_with_a_tool_at_work() {
    let rig = serving(|boot| boot.turn_ms = Some(2500)).await;
    rig.push(json!({"turn": "t1", "text": SLOW})).await;
    let ending = rig.ending("t1").await;
    assert_eq!(
        (&ending["kind"], &ending["visibleOutput"]),
        (&json!("timeout"), &json!(true)),
        "{ending}"
    );
    rig.push(json!({"turn": "t2", "text": bash("sleep 60")}))
        .await;
    let ending = rig.ending("t2").await;
    assert_eq!(
        (&ending["kind"], &ending["toolEffects"]),
        (&json!("timeout"), &json!(true)),
        "{ending}"
    );
    rig.push(json!({"turn": "t3", "text": "hello"})).await;
    assert_eq!(rig.ending("t3").await["type"], "completed");
}

#[tokio::test]
async fn a_claude_that_hangs_is_replaced_and_the_conversation_goes_on() {
    let mut rig = Rig::prepare().await;
    rig.boot.stop_ms = 1000;
    rig.launch();
    rig.ready().await;
    rig.assign_with(json!({"model": "opus", "appendSystemPrompt": "Mind the MARKER-77."}))
        .await;
    tells_the_colour(&rig, "t1").await;
    let first = rig.claude_pid();
    let conversation = rig.state(field::CLI_SESSION_ID).await;
    rig.push(json!({"turn": "t2", "text": SLOW})).await;
    rig.line("\"text\":\"one").await;
    rig.push(json!({"turn": "t3", "text": COLOUR})).await;
    Rig::signal(first, Signal::SIGSTOP);
    rig.control("interrupt").await;
    let ending = rig.ending("t2").await;
    assert_eq!(
        (&ending["kind"], &ending["visibleOutput"]),
        (&json!("container_lost"), &json!(true)),
        "{ending}"
    );
    assert!(ending["message"].as_str().unwrap().contains("unanswered"));
    let line = respawned(&rig, 1).await.remove(0);
    assert_eq!(line["resumed"], true);
    knows_the_colour(&rig, "t3").await;
    assert_ne!(rig.claude_pid(), first);
    assert_eq!(rig.endings("t2").await.len(), 1);
    assert_eq!(rig.state(field::RESPAWNS).await.as_deref(), Some("1"));
    assert_eq!(rig.state(field::CLI_SESSION_ID).await, conversation);
    assert_gapless(&rig.buffer().await);
    let is_question = |request: &ccpool_scripted_model::RecordedRequest| {
        request.stream && request.last_user_text.contains(COLOUR)
    };
    let asked = rig.model.wait_for_request(is_question, PATIENCE).await;
    let asked = asked.unwrap();
    assert!(asked.model.as_deref().unwrap().contains("opus"));
    assert!(asked.system_text().contains("MARKER-77"));
}

#[tokio::test]
async fn claude_is_killed_during_a_turn() {
    let rig = serving(|_| {}).await;
    tells_the_colour(&rig, "t1").await;
    rig.push(json!({"turn": "t2", "text": SLOW})).await;
    rig.line("\"text\":\"one").await;
    rig.push(json!({"turn": "t3", "text": COLOUR})).await;
    eventually("the next prompt waits in the wrapper", || async {
        let inflight = rig.list(&rig.session.inflight).await;
        (inflight.len() == 2).then_some(())
    })
    .await;
    Rig::signal(rig.claude_pid(), Signal::SIGKILL);
    knows_the_colour(&rig, "t3").await;
    let endings = rig.endings("t2").await;
    assert_eq!(endings.len(), 1);
    assert_eq!(
        (&endings[0]["kind"], &endings[0]["visibleOutput"]),
        (&json!("container_lost"), &json!(true))
    );
    assert_eq!(rig.endings("t3").await.len(), 1);
    let line = respawned(&rig, 1).await.remove(0);
    let reason = line["reason"].as_str().unwrap();
    assert!(reason.starts_with("claude was ended by signal 9"), "{line}");
    eventually("nothing is in flight", || async {
        rig.list(&rig.session.inflight)
            .await
            .is_empty()
            .then_some(())
    })
    .await;
    assert_eq!(rig.report(report::FAILURE).await, None);
}

#[tokio::test]
async fn a_tool_does_not_outlive_the_claude_that_called_it() {
    let rig = serving(|boot| {
        boot.claude.uid = nix::unistd::geteuid().is_root().then_some(1001);
    })
    .await;
    rig.push(json!({"turn": "t1", "text": bash("echo $$ > pid; sleep 300")}))
        .await;
    let file = rig.dir.path().join("work/pid");
    let tool = eventually("the tool is at work", || async {
        let text = std::fs::read_to_string(&file).ok()?;
        text.trim().parse::<i32>().ok()
    })
    .await;
    assert!(std::path::Path::new(&format!("/proc/{tool}")).exists());
    Rig::signal(rig.claude_pid(), Signal::SIGKILL);
    let ending = rig.ending("t1").await;
    assert_eq!(
        (&ending["kind"], &ending["toolEffects"]),
        (&json!("container_lost"), &json!(true)),
        "{ending}"
    );
    respawned(&rig, 1).await;
    let status = std::fs::read_to_string(format!("/proc/{tool}/status")).unwrap_or_default();
    assert!(
        status.is_empty() || status.contains("State:\tZ"),
        "{status}"
    );
    rig.push(json!({"turn": "t2", "text": "hello"})).await;
    assert_eq!(rig.ending("t2").await["type"], "completed");
}

#[tokio::test]
async fn claude_ends_between_turns() {
    let rig = serving(|boot| {
        boot.claude.uid = nix::unistd::geteuid().is_root().then_some(1001);
        boot.claude.mcp = Some(closed_mcp());
    })
    .await;
    let first = rig.claude_pid();
    eventually("the session is served", || async {
        rig.state(field::CLI_SESSION_ID).await
    })
    .await;
    // Before the first prompt there is nothing that could be resumed, nor a turn to tell it in.
    Rig::signal(first, Signal::SIGTERM);
    eventually("it is counted", || async {
        rig.state(field::RESPAWNS)
            .await
            .filter(|count| count == "1")
    })
    .await;
    tells_the_colour(&rig, "t1").await;
    let second = rig.claude_pid();
    Rig::signal(second, Signal::SIGTERM);
    let line = respawned(&rig, 1).await.remove(0);
    assert_eq!(line["resumed"], true);
    assert_ne!(rig.claude_pid(), second);
    rig.push(json!({"turn": "t2", "text": COLOUR})).await;
    knows_the_colour(&rig, "t2").await;
}

#[tokio::test]
async fn the_fourth_end_within_ten_minutes_is_the_last() {
    let mut rig = serving(|_| {}).await;
    tells_the_colour(&rig, "t1").await;
    for times in 1..=3 {
        Rig::signal(rig.claude_pid(), Signal::SIGKILL);
        respawned(&rig, times).await;
    }
    rig.push(json!({"turn": "t2", "text": SLOW})).await;
    rig.push(json!({"turn": "t3", "text": "waits"})).await;
    rig.line("\"text\":\"one").await;
    Rig::signal(rig.claude_pid(), Signal::SIGKILL);
    assert_eq!(rig.exit().await.code(), Some(1));
    for (turn, visible) in [("t2", true), ("t3", false)] {
        let endings = rig.endings(turn).await;
        assert_eq!(endings.len(), 1, "{turn}");
        assert_eq!(
            (&endings[0]["kind"], &endings[0]["visibleOutput"]),
            (&json!("container_lost"), &json!(visible))
        );
    }
    assert_eq!(rig.list(&rig.session.inflight).await, Vec::<String>::new());
    let failure = rig.report(report::FAILURE).await.unwrap();
    assert!(
        failure.starts_with("claude was ended by signal 9") && failure.contains("3 times"),
        "{failure}"
    );
}

#[tokio::test]
async fn claude_ends_while_it_is_warm() {
    let mut rig = Rig::prepare().await;
    rig.launch();
    rig.ready().await;
    Rig::signal(rig.claude_pid(), Signal::SIGKILL);
    assert_eq!(rig.exit().await.code(), Some(1));
    let failure = rig.report(report::FAILURE).await.unwrap();
    assert!(failure.contains("signal 9"), "{failure}");
}
