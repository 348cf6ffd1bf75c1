//! Requests that outlive whoever was to answer them: a client, a gateway.

use serde_json::json;

use crate::asking::{Session, ending, pending, respond, resume, setup, touch, turn};
use crate::gateway::Gateway;
use crate::network::Network;

#[tokio::test]
async fn a_client_that_was_lost_finds_the_request_again() {
    let gateway = Gateway::start(setup(&json!({}))).await;
    let session = Session::claim(&gateway, "s1").await;
    let mut stream = session.say(&touch("made")).await;
    let call = stream.wait_for("tool_use").await;
    drop(stream);
    // It was cut off before the request, which is told when it is back.
    let mut again = resume(&gateway, "s1", &call).await;
    let asked = again.wait_for("permission_request").await;
    drop(again);
    // And after it: nothing is told twice, and the list still has it.
    let back = resume(&gateway, "s1", &asked).await;
    let pending = session.pending().await;
    assert_eq!(pending.len(), 1, "{pending:?}");
    assert_eq!(pending[0]["requestId"], asked.data["requestId"]);
    session
        .answer(&asked.data, json!({"behavior": "allow"}))
        .await;
    let (end, resolved) = ending(back).await;
    assert_eq!(end["type"], "completed", "{end}");
    assert_eq!(resolved, [json!(["allowed", "caller"])]);
    assert!(session.file("made").exists());
    gateway.stop().await;
}

/// The gateway that sent the prompt is killed, and comes back; another one has the container.
#[tokio::test]
async fn a_gateway_that_was_killed_can_answer_when_it_is_back() {
    let first = Gateway::start(setup(&json!({}))).await;
    let mut second = first.beside().await;
    let session = Session::claim(&first, "s1").await;
    let mut stream = second.stream("s1", &touch("made")).await;
    let asked = stream.wait_for("permission_request").await;
    second.crash().await;
    drop(stream);
    assert_eq!(session.pending().await.len(), 1);
    second.restart().await;
    let listed = pending(&second, "s1").await;
    assert_eq!(listed.len(), 1, "{listed:?}");
    let back = resume(&second, "s1", &asked).await;
    let yes = json!({"behavior": "allow"});
    let (status, told) = respond(&second, "s1", &listed[0], &yes).await;
    assert_eq!(
        (status, &told["outcome"]),
        (200, &json!("allowed")),
        "{told}"
    );
    let (end, _) = ending(back).await;
    assert_eq!(end["type"], "completed", "{end}");
    assert!(session.file("made").exists());
    second.terminate().await;
    first.stop().await;
}

/// The only gateway is killed; the container, and what it asks, outlive it.
#[tokio::test]
async fn a_request_outlives_the_only_gateway_in_docker() {
    let network = Network::create("asking").await;
    let setup = network.setup(&json!({"minWarm": 1, "maxTotal": 2}));
    let setup = setup.with("permissions", json!({}));
    let mut gateway = Gateway::start(setup).await;
    gateway.claim("s1").await;
    let mut stream = gateway.stream("s1", &touch("made")).await;
    let asked = stream.wait_for("permission_request").await;
    gateway.crash().await;
    drop(stream);
    gateway.restart().await;
    let listed = pending(&gateway, "s1").await;
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(listed[0]["turn"], turn(&asked));
    let back = resume(&gateway, "s1", &asked).await;
    let other = json!({"behavior": "allow", "input": {"command": "touch other; ls"}});
    let (status, told) = respond(&gateway, "s1", &listed[0], &other).await;
    assert_eq!(status, 200, "{told}");
    let (end, resolved) = ending(back).await;
    assert_eq!(end["text"], "The tool said: other", "{end}");
    assert_eq!(resolved, [json!(["allowed", "caller"])]);
    gateway.stop().await;
    network.remove().await;
}
