use ccpool_protocol::state::field;
use serde_json::{Value, json};

use crate::support::{PATIENCE, Rig, assert_gapless, eventually};

#[tokio::test]
async fn two_prompts_by_hand_and_the_second_remembers() {
    let rig = Rig::serving().await;
    rig.push_raw(r#"{"turn":"t1","text":"My favourite colour is teal."}"#)
        .await;
    assert_eq!(rig.ending("t1").await["type"], "completed");
    rig.push_raw(r#"{"turn":"t2","text":"What is my favourite colour?"}"#)
        .await;
    let ending = rig.ending("t2").await;
    assert!(
        ending["text"].as_str().unwrap().contains("teal"),
        "{ending}"
    );

    let buffer = rig.buffer().await;
    assert_gapless(&buffer);
    assert_eq!(buffer[0].seq, 1);
    let first: Value = serde_json::from_str(buffer[0].line.get()).unwrap();
    assert_eq!(first["subtype"], "prompt");
    assert_eq!(rig.list(&rig.session.inflight).await, Vec::<String>::new());
    let result: Value = {
        let mut connection = rig.redis.connect().await;
        let json: String = redis::AsyncCommands::get(&mut connection, &rig.session.result)
            .await
            .unwrap();
        serde_json::from_str(&json).unwrap()
    };
    assert_eq!(
        (&result["type"], &result["turn"]),
        (&json!("completed"), &json!("t2"))
    );
    let expected = [
        (field::STATUS, "assigned"),
        (field::TURN, ""),
        (field::TURNS, "2"),
    ];
    for (name, value) in expected {
        assert_eq!(rig.state(name).await.as_deref(), Some(value), "{name}");
    }
    assert!(
        rig.state(field::COST_USD)
            .await
            .unwrap()
            .parse::<f64>()
            .unwrap()
            > 0.0
    );
    assert!(rig.state(field::MODEL).await.unwrap().contains("haiku"));
}

#[tokio::test]
async fn the_assignment_brings_model_and_system_prompt() {
    let mut rig = Rig::prepare().await;
    rig.launch();
    rig.ready().await;
    rig.assign_with(json!({"model": "opus", "appendSystemPrompt": "Mind the MARKER-77."}))
        .await;
    rig.push(json!({"turn": "t1", "text": "hello"})).await;
    assert_eq!(rig.ending("t1").await["type"], "completed");
    let request = rig
        .model
        .wait_for_request(|request| request.stream, PATIENCE)
        .await
        .unwrap();
    assert!(
        request.model.as_deref().unwrap().contains("opus"),
        "{:?}",
        request.model
    );
    assert!(request.system_text().contains("MARKER-77"));
}

#[tokio::test]
async fn text_that_looks_like_a_command_reaches_the_model() {
    let rig = Rig::serving().await;
    rig.push(json!({"turn": "t1", "text": "/cost @/etc/hostname"}))
        .await;
    assert_eq!(rig.ending("t1").await["type"], "completed");
    let verbatim = |request: &ccpool_scripted_model::RecordedRequest| {
        request.last_user_text.contains("/cost @/etc/hostname")
    };
    rig.model
        .wait_for_request(verbatim, PATIENCE)
        .await
        .unwrap();
    let seen = rig.model.requests().len();
    rig.push(json!({"turn": "t2", "text": "/cost", "command": true}))
        .await;
    assert_eq!(rig.ending("t2").await["type"], "completed");
    assert_eq!(
        rig.model.requests().len(),
        seen,
        "a command does not ask the model"
    );
}

#[tokio::test]
async fn an_interrupt_ends_the_turn_and_the_next_prompt_runs() {
    let rig = Rig::serving().await;
    let slow =
        r#"[[do: {"text":"one two three four five six seven eight nine ten","delayMs":2000}]]"#;
    rig.push(json!({"turn": "t1", "text": slow})).await;
    rig.line("text_delta").await;
    rig.control("interrupt").await;
    let ending = rig.ending("t1").await;
    assert_eq!(
        (&ending["type"], &ending["kind"]),
        (&json!("failed"), &json!("interrupted"))
    );
    assert_eq!(ending["visibleOutput"], true);
    rig.push(json!({"turn": "t2", "text": "hello"})).await;
    assert_eq!(rig.ending("t2").await["type"], "completed");
    // Nothing runs: it is not kept for the next turn.
    rig.control("interrupt").await;
    rig.push(json!({"turn": "t3", "text": "hello"})).await;
    assert_eq!(rig.ending("t3").await["type"], "completed");
}

#[tokio::test]
async fn an_interrupt_right_behind_the_prompt_ends_it_too() {
    let rig = Rig::serving().await;
    let slow = r#"[[do: {"text":"one two three four five","delayMs":2000}]]"#;
    for turn in ["t1", "t2", "t3"] {
        rig.push(json!({"turn": turn, "text": slow})).await;
        eventually("the turn runs", || async {
            rig.state(field::TURN)
                .await
                .filter(|running| running == turn)
        })
        .await;
        rig.control("interrupt").await;
        let ending = rig.ending(turn).await;
        assert_eq!(ending["kind"], "interrupted", "{ending}");
        assert_eq!(ending["visibleOutput"], false, "{ending}");
    }
    rig.push(json!({"turn": "t4", "text": "hello"})).await;
    assert_eq!(rig.ending("t4").await["type"], "completed");
    assert_eq!(rig.state(field::TURNS).await.as_deref(), Some("4"));
}

#[tokio::test]
async fn commands_end_their_turns() {
    let rig = Rig::serving().await;
    rig.push(json!({"turn": "t1", "text": "My favourite colour is teal."}))
        .await;
    rig.push(json!({"turn": "t2", "text": "/clear", "command": true}))
        .await;
    rig.push(json!({"turn": "t3", "text": "What is my favourite colour?"}))
        .await;
    let ending = rig.ending("t3").await;
    assert!(
        !ending["text"].as_str().unwrap().contains("teal"),
        "{ending}"
    );
    assert_eq!(rig.ending("t2").await["type"], "completed");
    let session = ending["session"].as_str();
    assert_eq!(rig.state(field::CLI_SESSION_ID).await.as_deref(), session);
}

#[tokio::test]
async fn an_interrupting_prompt_overtakes_the_queue() {
    let rig = Rig::serving().await;
    let slow =
        r#"[[do: {"text":"one two three four five six seven eight nine ten","delayMs":2000}]]"#;
    rig.push(json!({"turn": "t1", "text": slow})).await;
    rig.line("text_delta").await;
    rig.push(json!({"turn": "t2", "text": "second"})).await;
    rig.push(json!({"turn": "t3", "text": "third", "mode": "interrupt"}))
        .await;
    assert_eq!(rig.ending("t2").await["type"], "completed");
    assert_eq!(rig.ending("t1").await["kind"], "interrupted");
    assert_eq!(rig.ending("t3").await["type"], "completed");
    let mut turns: Vec<String> = Vec::new();
    for envelope in rig.buffer().await {
        if turns.last().map(String::as_str) != Some(envelope.turn.as_str()) {
            turns.push(envelope.turn.to_string());
        }
    }
    assert_eq!(turns, ["t1", "t3", "t2"]);
}

#[tokio::test]
async fn a_steered_prompt_is_taken_into_a_turn_with_a_tool_at_work() {
    let rig = Rig::serving().await;
    let tool =
        r#"[[do: [{"toolUse":{"name":"Bash","input":{"command":"sleep 3"}}},{"text":"done"}]]]"#;
    rig.push(json!({"turn": "t1", "text": tool})).await;
    rig.line("\"tool_use\"").await;
    rig.line("\"stop_reason\":\"tool_use\"").await;
    rig.push(json!({"turn": "t2", "text": "also this", "mode": "steer"}))
        .await;
    let steered = rig.line("\"steered\":true").await;
    assert_eq!(steered.turn.as_str(), "t1");
    assert_eq!(rig.ending("t1").await["type"], "completed");
    assert_eq!(rig.ending("t2").await["type"], "completed");
    let taken_in = |request: &ccpool_scripted_model::RecordedRequest| {
        request.last_user_text.contains("also this")
    };
    rig.model
        .wait_for_request(taken_in, PATIENCE)
        .await
        .unwrap();
    assert_eq!(rig.state(field::TURNS).await.as_deref(), Some("1"));
    assert_eq!(rig.list(&rig.session.inflight).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_steered_prompt_that_comes_too_late_for_the_turn_has_its_own() {
    let rig = Rig::serving().await;
    let slow = r#"[[do: {"text":"one two three","delayMs":500}]]"#;
    rig.push(json!({"turn": "t1", "text": slow})).await;
    rig.line("text_delta").await;
    rig.push(json!({"turn": "t2", "text": "[[do: {\"text\":\"the second\"}]]", "mode": "steer"}))
        .await;
    assert_eq!(rig.ending("t2").await["text"], "the second");
    assert_eq!(rig.ending("t1").await["text"], "one two three");
    assert_eq!(rig.state(field::TURNS).await.as_deref(), Some("2"));
}

#[tokio::test]
async fn a_broken_item_fails_alone() {
    let rig = Rig::serving().await;
    rig.push_raw("hello, not JSON").await;
    rig.push_raw(r#"{"turn":"t1","text":"a","content":[{}]}"#)
        .await;
    rig.push(json!({"turn": "t2", "text": "hello"})).await;
    assert_eq!(rig.ending("t2").await["type"], "completed");
    let ending = rig.ending("t1").await;
    assert_eq!(ending["kind"], "invalid_request");
    let ends = rig.buffer().await;
    let invalid = ends
        .iter()
        .filter(|e| e.line.get().contains("invalid_request"));
    assert_eq!(invalid.count(), 2);
    assert_eq!(rig.list(&rig.session.inflight).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_permission_is_asked_and_answered() {
    let mut rig = Rig::prepare().await;
    rig.boot.claude.allowed_tools = Vec::new();
    rig.launch();
    rig.ready().await;
    rig.assign().await;
    let file = rig.dir.path().join("work/made");
    let tool = json!([
        {"toolUse": {"name": "Bash", "input": {"command": format!("touch {}", file.display())}}},
        {"text": "done"},
    ]);
    rig.push(json!({"turn": "t1", "text": format!("[[do: {tool}]]")}))
        .await;
    let asked = rig.line("can_use_tool").await;
    assert!(!file.exists());
    let asked: Value = serde_json::from_str(asked.line.get()).unwrap();
    let answer = json!({
        "type": "permission",
        "requestId": asked["request_id"],
        "response": {"behavior": "allow"},
    });
    rig.control(&answer.to_string()).await;
    assert_eq!(rig.ending("t1").await["text"], "done");
    assert!(file.exists());
}

#[tokio::test]
async fn a_buffer_keeps_the_newest() {
    let mut rig = Rig::prepare().await;
    rig.boot.output_buffer = 5;
    rig.launch();
    rig.ready().await;
    rig.assign().await;
    rig.push(json!({"turn": "t1", "text": "hello"})).await;
    eventually("the turn ends", || async {
        rig.state(field::TURNS).await.filter(|turns| turns == "1")
    })
    .await;
    let buffer = rig.buffer().await;
    assert_eq!(buffer.len(), 5);
    assert_gapless(&buffer);
}
