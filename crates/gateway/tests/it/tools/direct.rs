//! Tools, called by an MCP client that acts as a session.

use reqwest::Method;
use serde_json::{Value, json};

use crate::gateway::{Gateway, answer};

/// A request to `/mcp` with a token; status and JSON.
pub(super) async fn ask(
    gateway: &Gateway,
    token: &str,
    method: &str,
    params: Value,
) -> (u16, Value) {
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    answer(
        gateway
            .request(Method::POST, "/mcp")
            .header("accept", "application/json, text/event-stream")
            .bearer_auth(token)
            .json(&request),
    )
    .await
}

/// What a tool answers a program: the data that stands beside the text for the model.
pub(super) async fn data(gateway: &Gateway, session: &str, tool: &str, input: Value) -> Value {
    let path = format!("/api/docker-cc/sessions/{session}/mcp-token");
    let (status, issued) = gateway.post(&path, &json!({})).await;
    assert_eq!(status, 201, "{issued}");
    let token = issued["token"].as_str().expect("a token");
    let call = json!({"name": tool, "arguments": input});
    let (status, answer) = ask(gateway, token, "tools/call", call).await;
    assert_eq!(status, 200, "{answer}");
    let result = &answer["result"];
    assert_eq!(result["isError"], false, "{answer}");
    result["_meta"]["ccpool/data"].clone()
}
