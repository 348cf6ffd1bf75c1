//! The model calls tools.

use ccpool_protocol::event::Event;
use serde_json::{Value, json};

use super::play::{Afterwards, Play};

fn bash(id: &str, command: &str) -> Value {
    json!({"id": id, "name": "Bash", "input": {"command": command, "description": "Try"}})
}

/// The results of a turn: whose, and what.
async fn results(play: &Play, turn: &str) -> Vec<(String, Value, bool)> {
    let transcript = play.transcript().await;
    let results = transcript.of(turn).filter_map(|event| match &event.event {
        Event::ToolResult {
            tool_use_id,
            content,
            is_error,
            ..
        } => Some((tool_use_id.clone(), content.clone(), *is_error)),
        _ => None,
    });
    results.collect()
}

#[tokio::test]
async fn t16e_text_then_a_tool_then_text() {
    let mut play = Play::begin().await;
    play.said("t1", "[[script:tool]]").await;
    insta::assert_snapshot!(play.finish().await, @r#"t1: started text_delta text tool_use(Bash) tool_result text_delta text completed "The tool said: scripted-tool""#);
}

#[tokio::test]
async fn t09l_two_tools_parallel() {
    let mut play = Play::begin().await;
    let both = json!([
        {"toolUse": [bash("toolu_one", "echo one"), bash("toolu_two", "echo two")]},
        {"text": "Both."},
    ]);
    play.acted("t1", both).await;
    let mut results = results(&play, "t1").await;
    results.sort_by(|a, b| a.0.cmp(&b.0));
    let expected = [
        ("toolu_one".to_owned(), json!("one"), false),
        ("toolu_two".to_owned(), json!("two"), false),
    ];
    assert_eq!(results, expected);
    insta::assert_snapshot!(play.finish().await, @r#"t1: started tool_use(Bash)*2 tool_result*2 text_delta text completed "Both.""#);
}

/// Results come as they are ready, so a reader tells them apart by id.
#[tokio::test]
async fn t09l_parallel_results_come_in_the_order_of_completion() {
    let mut play = Play::begin().await;
    let file = play.rig.dir.path().join("work/go");
    let wait = format!(
        "until test -e {}; do sleep 0.05; done; echo slow",
        file.display()
    );
    let read = play.rig.dir.path().join("work/fast.txt");
    std::fs::write(&read, "fast").unwrap();
    let both = json!([
        {"toolUse": [
            bash("toolu_slow", &wait),
            {"id": "toolu_fast", "name": "Read", "input": {"file_path": read}},
        ]},
        {"text": "Both."},
    ]);
    play.act("t1", both).await;
    play.rig.line(r#""tool_use_id":"toolu_fast""#).await;
    std::fs::write(&file, "").unwrap();
    play.rig.ending("t1").await;
    let order: Vec<String> = results(&play, "t1")
        .await
        .into_iter()
        .map(|r| r.0)
        .collect();
    assert_eq!(order, ["toolu_fast", "toolu_slow"]);
    play.finish().await;
}

#[tokio::test]
async fn a_command_that_fails() {
    let mut play = Play::begin().await;
    let scene = json!([{"toolUse": bash("toolu_1", "echo out; echo err >&2; exit 3")}, {"text": "It failed."}]);
    play.acted("t1", scene).await;
    let results = results(&play, "t1").await;
    assert!(
        results[0].1.as_str().unwrap().contains("Exit code 3"),
        "{results:?}"
    );
    insta::assert_snapshot!(play.finish().await, @r#"t1: started tool_use(Bash) tool_result(error) text_delta text completed "It failed.""#);
}

#[tokio::test]
async fn t15_badinput() {
    let mut play = Play::begin().await;
    let scene = json!([
        {"toolUse": {"name": "Bash", "input": {"order": 66}}},
        {"text": "I called it wrongly."},
    ]);
    play.acted("t1", scene).await;
    insta::assert_snapshot!(play.finish().await, @r#"t1: started tool_use(Bash) tool_result(error) text_delta text completed "I called it wrongly.""#);
}

/// Tools that reach other sessions are not there, whatever the model believes.
#[tokio::test]
async fn t42f_list_agents_is_no_tool_here() {
    let mut play = Play::begin().await;
    let scene = json!([{"toolUse": {"name": "ListAgents", "input": {}}}, {"text": "None."}]);
    play.acted("t1", scene).await;
    let request = play.asked_model();
    let tools = &request.tool_names;
    assert!(tools.contains(&"Bash".to_owned()), "{tools:?}");
    assert!(!tools.contains(&"ListAgents".to_owned()), "{tools:?}");
    assert!(!tools.contains(&"SendMessage".to_owned()), "{tools:?}");
    insta::assert_snapshot!(play.finish().await, @r#"t1: started tool_use(ListAgents) tool_result(error) text_delta text completed "None.""#);
}

#[tokio::test]
async fn t16k_a_long_command_is_told_of() {
    let mut play = Play::with(|boot| boot.claude.background_tasks = true).await;
    let scene = json!([{"toolUse": bash("toolu_1", "sleep 4; echo late")}, {"text": "Done."}]);
    play.acted("t1", scene).await;
    insta::assert_snapshot!(play.finish().await, @r#"t1: started tool_use(Bash) status(task) tool_result text_delta text completed "Done.""#);
}

/// Bytes that are no text, and what would drive a terminal.
#[tokio::test]
async fn output_that_is_no_text() {
    let mut play = Play::begin().await;
    let noise = r#"printf '\000\001\377\376\302 \033[2J\033]0;title\007 \342\200\250 \r\n{"type":"result"}\n'; head -c 20000 /dev/urandom; echo; echo END"#;
    let scene = json!([{"toolUse": bash("toolu_1", noise)}, {"text": "Noise."}]);
    play.acted("t1", scene).await;
    let results = results(&play, "t1").await;
    let said = results[0].1.as_str().unwrap();
    assert!(said.contains(r#"{"type":"result"}"#), "{said:?}");
    insta::assert_snapshot!(play.finish().await, @r#"t1: started tool_use(Bash) tool_result text_delta text completed "Noise.""#);
}

/// What a tool has done stands in the line in full, though the model is shown a part.
#[tokio::test]
async fn a_tool_result_of_megabytes_is_whole() {
    let mut play = Play::with(|boot| {
        boot.claude
            .allowed_tools
            .extend(["Read".to_owned(), "Edit".to_owned()]);
    })
    .await;
    let file = play.rig.dir.path().join("work/big.txt");
    let line = "0123456789abcdef".repeat(64);
    let big = format!("first\n{}", format!("{line}\n").repeat(3500));
    std::fs::write(&file, &big).unwrap();
    let scene = json!([
        {"toolUse": {"name": "Read", "input": {"file_path": file, "limit": 1}}},
        {"toolUse": {"name": "Edit", "input": {"file_path": file, "old_string": "first", "new_string": "second"}}},
        {"text": "Edited."},
    ]);
    play.acted("t1", scene).await;
    let whole = play.rig.buffer().await;
    let longest = whole.iter().max_by_key(|e| e.line.get().len()).unwrap();
    let longest: Value = serde_json::from_str(longest.line.get()).unwrap();
    let before = longest["tool_use_result"]["originalFile"].as_str();
    assert!(before == Some(&big), "{} bytes", longest.to_string().len());
    insta::assert_snapshot!(play.finish().await, @r#"t1: started tool_use(Read) tool_result tool_use(Edit) tool_result text_delta text completed "Edited.""#);
}

#[tokio::test]
async fn t15_json_schema() {
    let schema = json!({
        "type": "object",
        "properties": {"name": {"type": "string"}, "n": {"type": "number"}},
        "required": ["name", "n"],
    });
    let arguments = ["--json-schema".to_owned(), schema.to_string()];
    let mut play = Play::with(|boot| boot.claude.extra_args.extend(arguments)).await;
    let out = json!({"name": "heron", "n": 3});
    let scene = json!([{"toolUse": {"name": "StructuredOutput", "input": out}}, {"text": "Done."}]);
    let ending = play.acted("t1", scene).await;
    assert_eq!(ending["structuredOutput"], out, "{ending}");
    let events = play.finish_as(Afterwards::Completes).await;
    insta::assert_snapshot!(events, @r#"t1: started tool_use(StructuredOutput) tool_result completed "{\"n\":3,\"name\":\"heron\"}""#);
}

/// Hooks of the settings run, and tell a reader nothing.
#[tokio::test]
async fn t16f_hook_events() {
    let hook = |command: &str| json!([{"hooks": [{"type": "command", "command": command}]}]);
    let settings = json!({"hooks": {
        "PreToolUse": hook("echo '{}'"),
        "PostToolUse": hook("exit 0"),
        "Stop": hook("exit 0"),
    }});
    let arguments = [
        "--settings".to_owned(),
        settings.to_string(),
        "--include-hook-events".to_owned(),
    ];
    let mut play = Play::with(|boot| boot.claude.extra_args.extend(arguments)).await;
    play.said("t1", "[[script:tool]]").await;
    play.rig.line("hook_response").await;
    insta::assert_snapshot!(play.finish().await, @r#"t1: started text_delta text tool_use(Bash) tool_result text_delta text completed "The tool said: scripted-tool""#);
}
