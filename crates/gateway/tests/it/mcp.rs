//! Tools, called by the real CLI.

use reqwest::Method;
use serde_json::{Value, json};

use crate::gateway::{Gateway, Setup, answer};

/// Lets the model call a tool and repeat what came back.
async fn call(gateway: &Gateway, session: &str, tool: &str, input: Value) -> Value {
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

#[tokio::test]
async fn an_agent_sees_its_own_sessions_only() {
    let setup = Setup::default().with("pool", json!({"minWarm": 2, "maxTotal": 4}));
    let gateway = Gateway::start(setup).await;
    gateway.claim("mine").await;
    gateway.wait_warm(1).await;
    let body = json!({"session": "theirs", "agent": "other"});
    let (status, claimed) = gateway.post("/api/docker-cc/sessions", &body).await;
    assert_eq!(status, 201, "{claimed}");

    let listed = call(&gateway, "mine", "sessions_list", json!({})).await;
    assert_eq!(listed["isError"], false, "{listed}");
    let text = listed["content"].to_string();
    assert!(
        text.contains("mine") && !text.contains("theirs"),
        "{listed}"
    );

    let own = call(&gateway, "mine", "session_status", json!({})).await;
    assert!(own["content"].to_string().contains("busy"), "{own}");

    for (tool, input) in [
        ("session_status", json!({"session": "theirs"})),
        ("sessions_list", json!({"agent": "other"})),
        ("session_status", json!({"session": "no such"})),
    ] {
        let refused = call(&gateway, "mine", tool, input).await;
        assert_eq!(refused["isError"], true, "{refused}");
        assert!(
            !refused["content"].to_string().contains("assigned"),
            "{refused}"
        );
    }
    gateway.stop().await;
}

#[tokio::test]
async fn strangers_get_nothing() {
    let gateway = Gateway::start_cold(Setup::default()).await;
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let post = || {
        let accept = "application/json, text/event-stream";
        gateway
            .request(Method::POST, "/mcp")
            .header("accept", accept)
            .json(&list)
    };
    assert_eq!(answer(post()).await.0, 401);
    let forged = format!("c-0123456789ab.{}", "0".repeat(64));
    assert_eq!(answer(post().bearer_auth(forged)).await.0, 401);
    gateway.stop().await;
}
