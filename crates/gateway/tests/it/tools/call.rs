//! A tool, called by the model through the CLI.

use serde_json::{Value, json};

use crate::gateway::Gateway;

/// Lets the model of this session call a tool; gives the `tool_result` event, with `content` and
/// `isError`.
pub(crate) async fn call(gateway: &Gateway, session: &str, tool: &str, input: Value) -> Value {
    let scene = json!({"replies": [
        {"toolUse": {"name": format!("mcp__ccpool__{tool}"), "input": input}},
        {"text": "done"},
    ]});
    let prompt = format!("[[do: {scene}]]");
    let (status, answer) = gateway
        .turn(session, &json!({"prompt": prompt, "events": true}))
        .await;
    assert_eq!(status, 200, "{answer}");
    let events = answer["events"].as_array().expect("events were asked for");
    events
        .iter()
        .find(|event| event["type"] == "tool_result")
        .expect("a result")
        .clone()
}

/// What the model reads of a result.
pub(crate) fn text(result: &Value) -> String {
    match &result["content"] {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => {
            let texts = blocks.iter().filter_map(|block| block["text"].as_str());
            texts.collect::<Vec<_>>().join("\n")
        }
        other => panic!("no content: {other}"),
    }
}
