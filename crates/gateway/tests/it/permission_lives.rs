//! Requests that outlive whoever was to answer them: a client, a gateway.

use nix::sys::signal::{Signal, kill};
use reqwest::Method;
use serde_json::{Value, json};

use crate::asking::{Session, ending, pending, respond, resume, setup, touch, turn};
use crate::gateway::Gateway;
use crate::network::Network;
use crate::parts::eventually;

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

/// Whoever asks and dies asks no more, and the session goes on.
#[tokio::test]
async fn a_claude_that_was_killed_asks_no_more() {
    let gateway = Gateway::start(setup(&json!({}))).await;
    let session = Session::claim(&gateway, "s1").await;
    let (stream, asked) = session.asked(&touch("made")).await;
    let wrapper = gateway.wrapper_of(session.container()).await;
    let [claude] = crate::proc::children(wrapper)[..] else {
        panic!("a wrapper has one child")
    };
    kill(claude, Signal::SIGKILL).expect("it can be killed");
    let (end, resolved) = ending(stream).await;
    assert_eq!(end["kind"], "container_lost", "{end}");
    assert_eq!(resolved, [json!(["withdrawn", "claude"])]);
    assert!(session.pending().await.is_empty());
    let yes = json!({"behavior": "allow"});
    let (status, problem) = respond(&gateway, "s1", &asked, &yes).await;
    assert_eq!(status, 409, "{problem}");
    let (stream, asked) = session.asked(&touch("again")).await;
    session.answer(&asked, yes).await;
    let (end, _) = ending(stream).await;
    assert_eq!(end["type"], "completed", "{end}");
    assert!(session.file("again").exists());
    gateway.stop().await;
}

/// A Redis that comes back empty is told again what waits.
#[tokio::test]
async fn a_request_outlives_the_data_of_redis() {
    let setup = setup(&json!({})).with("timeouts", json!({"healthIntervalMs": 500}));
    let gateway = Gateway::start(setup).await;
    let session = Session::claim(&gateway, "s1").await;
    let (_, asked) = session.asked(&touch("made")).await;
    gateway.redis.crash().await;
    gateway.redis.revive().await;
    let listed = eventually("the request is listed again", async || {
        let path = "/api/docker-cc/sessions/s1/permissions";
        let response = gateway.request(Method::GET, path).send().await.ok()?;
        let listed: Value = response.json().await.ok()?;
        listed["permissions"].get(0).cloned()
    })
    .await;
    assert_eq!(listed["requestId"], asked["requestId"]);
    let (status, told) = eventually("the wrapper listens again", async || {
        let yes = json!({"behavior": "allow"});
        let answer = respond(&gateway, "s1", &listed, &yes).await;
        (answer.0 != 503).then_some(answer)
    })
    .await;
    assert!(status == 200 || status == 409, "{told}");
    eventually("it was made", async || {
        session.file("made").exists().then_some(())
    })
    .await;
    gateway.stop().await;
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
    let other = json!({"behavior": "allow", "input": {"command": "touch other; ls other"}});
    let (status, told) = respond(&gateway, "s1", &listed[0], &other).await;
    assert_eq!(status, 200, "{told}");
    let (end, resolved) = ending(back).await;
    assert_eq!(end["text"], "The tool said: other", "{end}");
    assert_eq!(resolved, [json!(["allowed", "caller"])]);
    gateway.stop().await;
    network.remove().await;
}
