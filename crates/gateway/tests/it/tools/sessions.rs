//! Tools that deal with sessions, and who may call at all.

use reqwest::Method;
use serde_json::json;

use super::{call, text};
use crate::gateway::{Gateway, Setup, answer};

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
    let shown = text(&listed);
    assert!(
        shown.contains("mine") && !shown.contains("theirs"),
        "{listed}"
    );

    let own = call(&gateway, "mine", "session_status", json!({})).await;
    let newest = "has completed: ";
    assert!(text(&own).contains(newest), "{own}");
    assert!(text(&own).contains("busy"), "{own}");

    for (tool, input) in [
        ("session_status", json!({"session": "theirs"})),
        ("sessions_list", json!({"agent": "other"})),
        ("session_status", json!({"session": "no such"})),
    ] {
        let refused = call(&gateway, "mine", tool, input).await;
        assert_eq!(refused["isError"], true, "{refused}");
        assert!(!text(&refused).contains("assigned"), "{refused}");
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
