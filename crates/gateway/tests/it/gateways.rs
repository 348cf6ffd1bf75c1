//! Two gateways on one Redis, as processes.

use reqwest::Method;
use serde_json::{Value, json};

use crate::gateway::{Gateway, Setup, accepted, answer};
use crate::ledger::{Ledger, only_ending};
use crate::network::Network;
use crate::parts::eventually;
use crate::sse::{Message, SseReader};

fn leader(pool: &Value) -> Option<&Value> {
    pool["gateways"]
        .as_array()?
        .iter()
        .find(|g| g["leads"] == true)
}

/// The whole of a session is reachable through either, and the limits are changed for both.
#[tokio::test]
async fn sessions_and_limits_are_those_of_both() {
    let first = Gateway::start(Setup::default()).await;
    let second = first.beside().await;
    second.claim("s1").await;
    let (status, turn) = first.turn("s1", &json!({"prompt": "hello"})).await;
    assert_eq!(status, 200, "{turn}");
    let mut stream = second.stream("s1", "hello again").await;
    while let Some(message) = stream.next().await {
        assert_ne!(message.event, "failed", "{message:?}");
    }

    let cli = |words: &'static [&'static str]| {
        let mut command = second.dir.ccpool();
        command.args(["--config"]).arg(second.dir.config());
        command.env("CCPOOL_HTTP__LISTEN", second.address());
        command
            .args(words)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        async move {
            let output = command.output().await.expect("ccpool runs");
            let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
            (
                output.status.code(),
                text(output.stdout),
                text(output.stderr),
            )
        }
    };
    let (code, out, err) = cli(&["pool", "resize", "--min-warm", "2"]).await;
    assert_eq!(
        (code, out.as_str()),
        (Some(0), "minWarm 2, maxTotal 4, maxPerAgent 3\n"),
        "{err}"
    );
    first.wait_warm(2).await;
    let (code, _, err) = cli(&["pool", "resize", "--min-warm", "5"]).await;
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("minWarm is at most maxTotal"), "{err}");
    let (code, _, err) = cli(&["pool", "resize"]).await;
    assert_eq!(code, Some(2), "{err}");

    let path = "/api/docker-cc/pool";
    let body = json!({"minWarm": null, "maxPerAgent": 1});
    let (status, limits) = answer(first.request(Method::PATCH, path).json(&body)).await;
    assert_eq!((status, &limits["minWarm"]), (200, &json!(1)), "{limits}");
    let body = json!({"session": "s2"});
    let config = json!({"minwarm": 1});
    let (status, problem) = answer(first.request(Method::PATCH, path).json(&config)).await;
    assert_eq!(status, 400, "{problem}");
    // The other one is told a moment later.
    second
        .wait_for_pool(|pool| pool["limits"]["maxPerAgent"] == 1)
        .await;
    let claim = second.post("/api/docker-cc/sessions", &body);
    let reset = async {
        // The claim waits at the new limit, and is served when that is lifted.
        first.wait_for_pool(|pool| pool["waiting"] == 1).await;
        let (code, out, err) = cli(&["pool", "resize", "--reset"]).await;
        assert_eq!(
            (code, out.as_str()),
            (Some(0), "minWarm 1, maxTotal 4, maxPerAgent 3\n"),
            "{err}"
        );
    };
    let ((status, claimed), ()) = tokio::join!(claim, reset);
    assert_eq!(status, 201, "{claimed}");
    second.stop().await;
    first.stop().await;
}

/// On the process runtime every gateway has containers of its own, which end with it.
#[tokio::test]
async fn containers_of_a_killed_gateway_are_told_as_lost_by_the_other() {
    let mut first = Gateway::start(Setup::default()).await;
    let second = first.beside().await;
    first.claim("s1").await;
    let scene = json!({"text": "one two three", "stallAfter": 1});
    let mut stream = second.stream("s1", &format!("[[do: {scene}]]")).await;
    let mut read = Vec::new();
    while !read.iter().any(|m: &Message| m.event == "text_delta") {
        read.push(stream.next().await.expect("it goes on"));
    }
    let turn = stream.turn.clone();
    first.crash().await;
    read.extend(stream.rest().await);
    let lists = Ledger::of(&second, "s1").await.lists().await;
    let shown = lists.shown(&turn);
    let ending = only_ending(&read, &shown);
    assert_eq!(ending["kind"], "container_lost", "{ending}");
    let pool = second
        .wait_for_pool(|pool| {
            leader(pool).is_some_and(|gateway| gateway["me"] == true)
                && pool["counts"]["warm"] == 1
                && pool["counts"]["total"] == 1
        })
        .await;
    assert_eq!(
        pool["gateways"].as_array().map(Vec::len),
        Some(1),
        "{pool:#}"
    );
    second.claim("s1").await;
    second.stop().await;
}

/// In Docker they outlive it: the turn goes on, its reader at the other gateway.
#[tokio::test]
async fn a_turn_goes_on_at_the_other_gateway_in_docker() {
    let network = Network::create("gateways").await;
    let mut first = Gateway::start(network.setup(&json!({"minWarm": 1, "maxTotal": 3}))).await;
    let second = first.beside().await;
    let claimed = first.claim("s1").await;
    let scene = json!({"text": "one two three four five six", "delayMs": 400});
    let mut stream = first.stream("s1", &format!("[[do: {scene}]]")).await;
    let mut read = Vec::new();
    while !read.iter().any(|m: &Message| m.event == "text_delta") {
        read.push(stream.next().await.expect("it goes on"));
    }
    let turn = stream.turn.clone();
    first.crash().await;
    drop(stream);
    let last = read.last().expect("an event").id.clone();
    let path = format!("/api/docker-cc/sessions/s1/events?turn={turn}");
    let resumed = second
        .request(Method::GET, &path)
        .header("last-event-id", last);
    let resumed = accepted(resumed.send().await.expect("an answer")).await;
    read.extend(SseReader::of(resumed).rest().await);
    let lists = Ledger::of(&second, "s1").await.lists().await;
    let shown = lists.shown(&turn);
    let ending = only_ending(&read, &shown);
    assert_eq!(ending["text"], "one two three four five six", "{ending}");
    lists.assert_gapless();

    // It is the other one's now, and the pool is kept by it.
    eventually("it leads", async || {
        let pool = second.get("/api/docker-cc/pool").await;
        let containers = pool["containers"].as_array()?;
        let serving = containers.iter().find(|c| c["session"] == "s1")?;
        let leader = leader(&pool)?;
        (leader["me"] == true && serving["owner"] == leader["gateway"]).then_some(())
    })
    .await;
    let info = second.get("/api/docker-cc/sessions/s1").await;
    assert_eq!(info["container"], claimed["container"], "{info}");
    let (status, next) = second.turn("s1", &json!({"prompt": "hello"})).await;
    assert_eq!(status, 200, "{next}");
    second.wait_warm(1).await;
    second.stop().await;
    network.remove().await;
}
