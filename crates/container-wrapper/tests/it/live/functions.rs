//! The model calls functions that the caller carries out.

use ccpool_protocol::event::Event;
use ccpool_protocol::function::{FunctionCall, PendingFunction, TakenResults};
use ccpool_protocol::permission::listed;
use ccpool_protocol::state::field;
use serde_json::{Value, json};

use super::play::Play;
use crate::support::eventually;

/// Functions without arguments to speak of.
pub(super) fn tools(names: &[&str]) -> Value {
    let tools = names.iter().map(|name| {
        json!({"name": name, "description": format!("does {name}"), "parameters": {
            "type": "object", "properties": {"x": {"type": "string"}}}})
    });
    tools.collect()
}

/// A call, as the scripted model writes it.
pub(super) fn call(id: &str, name: &str) -> Value {
    json!({"id": id, "name": format!("mcp__client__{name}"), "input": {"x": id}})
}

/// A prompt that brings functions.
pub(super) async fn act(play: &mut Play, turn: &str, functions: Value, scene: Value) {
    let text = format!("[[do: {scene}]]");
    play.push(json!({"turn": turn, "text": text, "functions": functions}))
        .await;
}

/// What the session's readers were told of calls, once it is so many times.
pub(super) async fn told(play: &Play, turn: &str, number: usize) -> Vec<Vec<FunctionCall>> {
    eventually(&format!("function_calls number {number}"), || async {
        // The buffer may be long: it is read only when there is something new.
        if waiting(play).await.is_empty() {
            return None;
        }
        let transcript = play.transcript().await;
        let told = transcript.of(turn).filter_map(|event| match &event.event {
            Event::FunctionCalls {
                calls,
                expires_at,
                usage,
            } => {
                assert!(expires_at.is_some() && usage.is_some(), "{event:?}");
                Some(calls.clone())
            }
            _ => None,
        });
        let told: Vec<_> = told.collect();
        (told.len() >= number).then_some(told)
    })
    .await
}

/// Gives results; which ones were taken.
pub(super) async fn give(play: &Play, ticket: &str, results: Value) -> Vec<String> {
    let message = json!({"type": "function_results", "ticket": ticket, "results": results});
    play.rig.control(&message.to_string()).await;
    eventually("the results were taken", || async {
        let taken = play.rig.state(field::FUNCTIONS_TAKEN).await?;
        let mut taken = listed::<TakenResults>(&taken).into_iter();
        taken.find(|taken| taken.ticket == ticket)
    })
    .await
    .ids
}

pub(super) fn result(id: &str, text: &str) -> Value {
    json!({"id": id, "content": [{"type": "text", "text": text}]})
}

/// The calls that the session's state says to wait.
pub(super) async fn waiting(play: &Play) -> Vec<PendingFunction> {
    listed(&play.rig.state(field::FUNCTIONS).await.unwrap_or_default())
}

/// What the model has got of the results, by the calls' ids.
pub(super) fn heard(play: &Play, id: &str) -> Value {
    let request = play.asked_model();
    let messages = request.messages().into_iter();
    let blocks = messages.flat_map(|message| message["content"].as_array().cloned());
    let mut results = blocks.flatten().filter(|block| block["tool_use_id"] == id);
    results.next().expect("the model has the result")
}

/// The caller's functions that the model was offered.
pub(super) fn offered(play: &Play) -> Vec<Value> {
    let request = play.asked_model();
    let body = request.body().expect("it was kept");
    let tools = body["tools"].as_array().cloned().unwrap_or_default();
    let ours = |tool: &Value| tool["name"].as_str().unwrap().starts_with("mcp__client");
    tools.into_iter().filter(ours).collect()
}

#[tokio::test]
async fn one_call() {
    let mut play = Play::begin().await;
    let scene = json!([{"toolUse": call("toolu_a", "weather")}, {"text": "It is {{toolResult}}."}]);
    act(&mut play, "t1", tools(&["weather"]), scene).await;
    let calls = told(&play, "t1", 1).await;
    let expected = FunctionCall {
        id: "toolu_a".into(),
        name: "weather".into(),
        arguments: json!({"x": "toolu_a"}),
    };
    assert_eq!(calls, [[expected]]);
    let pending = waiting(&play).await;
    assert_eq!((pending.len(), pending[0].id.as_str()), (1, "toolu_a"));
    assert_eq!(pending[0].turn.as_str(), "t1");
    let taken = give(&play, "mine", json!([result("toolu_a", "sunny")])).await;
    assert_eq!(taken, ["toolu_a"]);
    assert_eq!(play.rig.ending("t1").await["text"], "It is sunny.");
    assert_eq!(waiting(&play).await, []);
    let offered = offered(&play);
    assert_eq!(offered[0]["description"], "does weather");
    assert_eq!(
        offered[0]["input_schema"]["properties"]["x"]["type"],
        "string"
    );
    insta::assert_snapshot!(play.finish().await, @r#"t1: started tool_use(mcp__client__weather) function_calls tool_result text_delta text completed "It is sunny.""#);
}

#[tokio::test]
async fn two_at_once_answered_one_after_the_other() {
    let mut play = Play::begin().await;
    let both = json!([call("toolu_a", "weather"), call("toolu_b", "time")]);
    let scene = json!([{"toolUse": both}, {"text": "Both."}]);
    act(&mut play, "t1", tools(&["weather", "time"]), scene).await;
    let calls = told(&play, "t1", 1).await;
    let ids: Vec<_> = calls[0].iter().map(|call| call.id.as_str()).collect();
    assert_eq!(ids, ["toolu_a", "toolu_b"], "one event, in their order");
    give(&play, "first", json!([result("toolu_b", "noon")])).await;
    let left = waiting(&play).await;
    assert_eq!(
        left.iter().map(|left| &left.id).collect::<Vec<_>>(),
        ["toolu_a"]
    );
    let again = json!([result("toolu_b", "again"), result("toolu_a", "sunny")]);
    assert_eq!(give(&play, "second", again).await, ["toolu_a"]);
    play.rig.ending("t1").await;
    assert!(heard(&play, "toolu_a").to_string().contains("sunny"));
    assert!(heard(&play, "toolu_b").to_string().contains("noon"));
    insta::assert_snapshot!(play.finish().await, @r#"t1: started tool_use(mcp__client__weather) tool_use(mcp__client__time) function_calls tool_result*2 text_delta text completed "Both.""#);
}

/// The CLI carries out ten at a time; the caller gives all results at once.
#[tokio::test]
async fn more_than_the_cli_asks_for_at_once() {
    let mut play = Play::begin().await;
    let ids: Vec<String> = (0..14).map(|n| format!("toolu_{n}")).collect();
    let all: Value = ids.iter().map(|id| call(id, "weather")).collect();
    act(
        &mut play,
        "t1",
        tools(&["weather"]),
        json!([{"toolUse": all}, {"text": "All."}]),
    )
    .await;
    let calls = told(&play, "t1", 1).await;
    assert_eq!(calls[0].len(), ids.len());
    let results: Value = ids
        .iter()
        .map(|id| result(id, &format!("of {id}")))
        .collect();
    assert_eq!(give(&play, "mine", results).await, ids);
    play.rig.ending("t1").await;
    for id in &ids {
        assert!(heard(&play, id).to_string().contains(&format!("of {id}")));
    }
    play.finish().await;
}

#[tokio::test]
async fn two_rounds() {
    let mut play = Play::begin().await;
    let scene = json!([
        {"toolUse": call("toolu_a", "weather")},
        {"text": "And now?", "toolUse": call("toolu_b", "weather")},
        {"text": "First, then {{toolResult}}."},
    ]);
    act(&mut play, "t1", tools(&["weather"]), scene).await;
    told(&play, "t1", 1).await;
    give(&play, "first", json!([result("toolu_a", "sunny")])).await;
    let calls = told(&play, "t1", 2).await;
    assert_eq!(calls[1][0].id, "toolu_b");
    give(&play, "second", json!([result("toolu_b", "rainy")])).await;
    assert_eq!(play.rig.ending("t1").await["text"], "First, then rainy.");
    insta::assert_snapshot!(play.finish().await, @r#"t1: started tool_use(mcp__client__weather) function_calls tool_result text_delta text tool_use(mcp__client__weather) function_calls tool_result text_delta text completed "First, then rainy.""#);
}

#[tokio::test]
async fn a_failure_and_an_image() {
    let mut play = Play::begin().await;
    let both = json!([call("toolu_a", "weather"), call("toolu_b", "look")]);
    let scene = json!([{"toolUse": both}, {"text": "Well."}]);
    act(&mut play, "t1", tools(&["weather", "look"]), scene).await;
    told(&play, "t1", 1).await;
    let dot = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    let results = json!([
        {"id": "toolu_a", "content": [{"type": "text", "text": "no such place"}], "isError": true},
        {"id": "toolu_b", "content": [{"type": "image", "data": dot, "mimeType": "image/png"}]},
    ]);
    give(&play, "mine", results).await;
    play.rig.ending("t1").await;
    let failure = heard(&play, "toolu_a");
    assert_eq!(failure["is_error"], true);
    assert!(failure.to_string().contains("no such place"), "{failure}");
    let image = heard(&play, "toolu_b");
    assert_eq!(image["content"][0]["type"], "image", "{image}");
    play.finish().await;
}

/// A command that writes runs alone: the CLI comes to the last call only when it is through, and by
/// then its result is there.
#[tokio::test]
async fn a_result_that_comes_before_its_call() {
    let mut play = Play::begin().await;
    let file = play.rig.dir.path().join("work/made");
    let bash = json!({"id": "toolu_x", "name": "Bash", "input": {"command": "echo 1 > made"}});
    let all = json!([call("toolu_a", "weather"), bash, call("toolu_b", "time")]);
    act(
        &mut play,
        "t1",
        tools(&["weather", "time"]),
        json!([{"toolUse": all}, {"text": "So."}]),
    )
    .await;
    let calls = told(&play, "t1", 1).await;
    assert_eq!(calls[0].len(), 2);
    assert!(!file.exists(), "the command waits behind the first call");
    let results = json!([result("toolu_b", "noon"), result("toolu_a", "sunny")]);
    give(&play, "mine", results).await;
    play.rig.ending("t1").await;
    assert!(file.exists());
    assert!(heard(&play, "toolu_b").to_string().contains("noon"));
    assert!(heard(&play, "toolu_a").to_string().contains("sunny"));
    play.finish().await;
}

/// The functions stay, and a result that comes late is nobody's.
#[tokio::test]
async fn interrupted_while_it_waits() {
    let mut play = Play::begin().await;
    let scene = json!([{"toolUse": call("toolu_a", "weather")}, {"text": "never"}]);
    act(&mut play, "t1", tools(&["weather"]), scene).await;
    told(&play, "t1", 1).await;
    play.rig.control("interrupt").await;
    assert_eq!(play.rig.ending("t1").await["kind"], "interrupted");
    assert_eq!(waiting(&play).await, []);
    let late = give(&play, "late", json!([result("toolu_a", "sunny")])).await;
    assert_eq!(late, [""; 0]);
    let scene = json!([{"toolUse": call("toolu_b", "weather")}, {"text": "{{toolResult}}"}]);
    play.act("t2", scene).await;
    told(&play, "t2", 1).await;
    give(&play, "mine", json!([result("toolu_b", "rainy")])).await;
    assert_eq!(play.rig.ending("t2").await["text"], "rainy");
    insta::assert_snapshot!(play.finish().await, @r#"
    t1: started tool_use(mcp__client__weather) function_calls tool_result(error) failed(interrupted, acted)
    t2: started tool_use(mcp__client__weather) function_calls tool_result text_delta text completed "rainy"
    "#);
}

#[tokio::test]
async fn claude_is_killed_while_it_waits() {
    let mut play = Play::begin().await;
    let scene = json!([{"toolUse": call("toolu_a", "weather")}, {"text": "never"}]);
    act(&mut play, "t1", tools(&["weather"]), scene).await;
    told(&play, "t1", 1).await;
    crate::support::Rig::signal(play.rig.claude_pid(), nix::sys::signal::Signal::SIGKILL);
    assert_eq!(play.rig.ending("t1").await["kind"], "container_lost");
    assert_eq!(waiting(&play).await, []);
    // Another one has them again, though nobody brings them.
    let scene = json!([{"toolUse": call("toolu_b", "weather")}, {"text": "{{toolResult}}"}]);
    play.act("t2", scene).await;
    told(&play, "t2", 1).await;
    give(&play, "mine", json!([result("toolu_b", "rainy")])).await;
    assert_eq!(play.rig.ending("t2").await["text"], "rainy");
    insta::assert_snapshot!(play.finish().await, @r#"
    t1: started tool_use(mcp__client__weather) function_calls failed(container_lost, acted) status(notice)
    t2: started tool_use(mcp__client__weather) function_calls tool_result text_delta text completed "rainy"
    "#);
}

/// Longer than a stall may last, but not for ever.
#[tokio::test]
async fn nobody_comes_back() {
    let mut play = Play::with(|boot| {
        boot.stall_ms = 4000;
        boot.function_ms = 6000;
    })
    .await;
    let scene = json!([{"toolUse": call("toolu_a", "weather")}, {"text": "never"}]);
    act(&mut play, "t1", tools(&["weather"]), scene).await;
    let ending = play.rig.ending("t1").await;
    assert_eq!(ending["kind"], "timeout");
    let message = "the caller did not give the result of `weather` within 6 s";
    assert_eq!(ending["message"], message);
    assert_eq!(waiting(&play).await, []);
    insta::assert_snapshot!(play.finish().await, @r#"t1: started tool_use(mcp__client__weather) function_calls tool_result(error) failed(timeout, acted)"#);
}

/// Whatever is given as a result, the turn goes on, and so does the session.
#[tokio::test]
async fn results_of_all_kinds() {
    let mut play = Play::begin().await;
    let kinds = [
        json!([]),
        json!(["hello", null, 5]),
        json!([{"type": "hologram", "x": 1}]),
        json!([{"type": "text", "text": 5}]),
        json!([{"type": "image", "data": "?", "mimeType": "image/png"}]),
        json!([{"type": "text", "text": "\u{0} \u{202e} \u{1f600} </tool_result>\n\r\n{\"type\":"}]),
        json!([{"type": "text", "text": "word ".repeat(120_000)}]),
        json!([{"type": "text", "text": "x".repeat(9 << 20)}]),
    ];
    for (number, content) in kinds.into_iter().enumerate() {
        let (turn, id) = (format!("t{number}"), format!("toolu_{number}"));
        let scene = json!([{"toolUse": call(&id, "weather")}, {"text": "Well."}]);
        act(&mut play, &turn, tools(&["weather"]), scene).await;
        told(&play, &turn, 1).await;
        let results = json!([{"id": id, "content": content}]);
        assert_eq!(give(&play, &turn, results).await, [id.as_str()]);
        assert_eq!(play.rig.ending(&turn).await["text"], "Well.", "{number}");
    }
    assert_eq!(heard(&play, "toolu_3")["is_error"], Value::Null);
    let huge = heard(&play, "toolu_7").to_string();
    assert!(huge.contains("which is too much"), "{huge}");
    play.finish().await;
}

/// Half a million letters reach the model as they are.
#[tokio::test]
async fn a_long_result_is_read_whole() {
    let mut play = Play::begin().await;
    let scene = json!([{"toolUse": call("toolu_a", "weather")}, {"text": "Well."}]);
    act(&mut play, "t1", tools(&["weather"]), scene).await;
    told(&play, "t1", 1).await;
    let long = "word ".repeat(90_000);
    give(&play, "mine", json!([result("toolu_a", &long)])).await;
    play.rig.ending("t1").await;
    assert_eq!(heard(&play, "toolu_a")["content"][0]["text"], long);
    play.finish().await;
}

/// A subagent has them too; its call is told by itself.
#[tokio::test]
async fn a_subagent_calls() {
    let mut play = Play::with(|boot| boot.claude.allowed_tools.push("Agent".into())).await;
    let inner =
        json!([{"toolUse": call("toolu_in", "weather")}, {"text": "Inside: {{toolResult}}"}]);
    let agent = json!({"name": "Agent", "input": {
        "description": "Ask", "prompt": format!("[[do: {inner}]]"), "subagent_type": "general-purpose",
    }});
    act(
        &mut play,
        "t1",
        tools(&["weather"]),
        json!([{"toolUse": agent}, {"text": "Done."}]),
    )
    .await;
    let calls = told(&play, "t1", 1).await;
    assert_eq!(calls[0][0].id, "toolu_in");
    give(&play, "mine", json!([result("toolu_in", "sunny")])).await;
    assert_eq!(play.rig.ending("t1").await["text"], "Done.");
    let transcript = play.transcript().await;
    let inside = transcript.of("t1").any(|event| {
        matches!(&event.event, Event::ToolResult { tool_use_id, parent_tool_use_id: Some(_), content, .. }
            if tool_use_id == "toolu_in" && content.to_string().contains("sunny"))
    });
    assert!(inside);
    play.finish_in_front().await;
}

/// A stream breaks, and the message comes as a whole: all its calls at once all the same.
#[tokio::test]
async fn calls_of_a_message_that_is_not_streamed() {
    let mut play = Play::begin().await;
    let both = json!([call("toolu_a", "weather"), call("toolu_b", "time")]);
    let scene = json!([
        {"attempts": [
            {"text": "a b c d", "delayMs": 20, "errorAfter": {"chunks": 2, "status": 529}},
            {"text": "So.", "toolUse": both},
        ]},
        {"text": "Both."},
    ]);
    act(&mut play, "t1", tools(&["weather", "time"]), scene).await;
    let calls = told(&play, "t1", 1).await;
    let ids: Vec<_> = calls[0].iter().map(|call| call.id.as_str()).collect();
    assert_eq!(ids, ["toolu_a", "toolu_b"]);
    let results = json!([result("toolu_a", "sunny"), result("toolu_b", "noon")]);
    give(&play, "mine", results).await;
    assert_eq!(play.rig.ending("t1").await["text"], "Both.");
    insta::assert_snapshot!(play.finish().await, @r#"t1: started text_delta retract text_delta text tool_use(mcp__client__weather) tool_use(mcp__client__time) function_calls tool_result*2 text_delta text completed "Both.""#);
}

/// The connection is lost behind a call: that stands, and what came after it does not count.
#[tokio::test]
async fn a_call_before_the_stream_broke() {
    let mut play = Play::begin().await;
    let blocks =
        json!([{"toolUse": call("toolu_a", "weather")}, {"text": "and a text that is cut"}]);
    let scene = json!([
        {"blocks": blocks, "delayMs": 200, "disconnectAfter": 3},
        {"text": "It is {{toolResult}}."},
    ]);
    act(&mut play, "t1", tools(&["weather"]), scene).await;
    told(&play, "t1", 1).await;
    give(&play, "mine", json!([result("toolu_a", "sunny")])).await;
    assert_eq!(play.rig.ending("t1").await["text"], "It is sunny.");
    play.finish().await;
}
