//! Tools while the gateway is restarted under a container that lives on.

use serde_json::json;

use super::{call, text};
use crate::gateway::Gateway;
use crate::network::Network;

#[tokio::test]
async fn a_call_in_flight_fails_clearly_and_the_next_one_works_in_docker() {
    let network = Network::create("tools").await;
    let pool = json!({"minWarm": 2, "maxTotal": 4});
    let mut gateway = Gateway::start(network.setup(&pool)).await;
    gateway.claim("mine").await;
    gateway.wait_warm(1).await;
    gateway.claim("other").await;
    let before = text(&call(&gateway, "mine", "sessions_list", json!({})).await);
    assert!(before.contains("other"), "{before}");

    // It waits for an answer that does not come when the gateway dies.
    let letter = json!({"session": "other", "prompt": "[[script:stall]]"});
    let scene = json!({"replies": [
        {"toolUse": {"name": "mcp__ccpool__sessions_send", "input": letter}},
        {"text": "the tool has failed, and the turn goes on"},
    ]});
    let body = json!({"prompt": format!("[[do: {scene}]]"), "turn": "t1"});
    let mut stream = gateway
        .stream("mine", body["prompt"].as_str().expect("text"))
        .await;
    stream.wait_for("tool_use").await;
    gateway
        .wait_for_pool(|pool| pool["counts"]["busy"] == 2)
        .await;
    let turn = stream.turn.clone();
    gateway.crash().await;
    drop(stream);
    gateway.restart().await;

    let path = format!("/api/docker-cc/sessions/mine/events?turn={turn}");
    let response = gateway
        .request(reqwest::Method::GET, &path)
        .header("last-event-id", "0")
        .send()
        .await
        .expect("an answer");
    let mut again = crate::sse::SseReader::of(crate::gateway::accepted(response).await);
    let failed = again.wait_for("tool_result").await.data;
    assert_eq!(failed["isError"], true, "{failed}");
    assert!(!text(&failed).is_empty(), "{failed}");
    let completed = again.wait_for("completed").await.data;
    let goes_on = "the tool has failed, and the turn goes on";
    assert_eq!(completed["text"], goes_on, "{completed}");

    // The same container, and its tools are there again.
    let after = text(&call(&gateway, "mine", "sessions_list", json!({})).await);
    assert!(after.contains("other"), "{after}");
    gateway.stop().await;
    network.remove().await;
}
