//! Redis is killed and comes back empty, or does not answer, while the gateway and its containers live.

use reqwest::Method;
use serde_json::{Value, json};

use crate::gateway::{Gateway, Setup, accepted};
use crate::parts::eventually;
use crate::sse::{Message, SseReader};

const WORDS: &str = "one two three four five six seven eight nine ten";

async fn up_to_words(stream: &mut SseReader) -> Vec<Message> {
    let mut read = Vec::new();
    while !read.iter().any(|m: &Message| m.event == "text_delta") {
        read.push(stream.next().await.expect("it goes on"));
    }
    read
}

fn endings(messages: &[Message]) -> Vec<&Value> {
    let ends = |m: &&Message| m.event == "completed" || m.event == "failed";
    messages.iter().filter(ends).map(|m| &m.data).collect()
}

#[tokio::test]
async fn a_turn_goes_on_over_a_redis_that_comes_back_empty() {
    let setup = Setup::default().with("timeouts", json!({"healthIntervalMs": 500}));
    let gateway = Gateway::start(setup).await;
    let claimed = gateway.claim("s1").await;
    gateway.wait_warm(1).await;
    let scene = json!({"text": WORDS, "delayMs": 400});
    let mut stream = gateway.stream("s1", &format!("[[do: {scene}]]")).await;
    let mut read = up_to_words(&mut stream).await;
    // One that waits in Redis alone goes with it, and whoever reads it is told.
    let path = "/api/docker-cc/sessions/s1/turns";
    let waiting = json!({"prompt": "this one waits"});
    let waiting = gateway.request(Method::POST, path).json(&waiting);
    let waiting = accepted(waiting.send().await.expect("an answer")).await;
    let waiting = SseReader::of(waiting);
    gateway
        .wait_for_pool(|pool| pool["counts"]["busy"] == 1)
        .await;

    gateway.redis.crash().await;
    let told = eventually("it is told", async || {
        let health = gateway.request(Method::GET, "/api/docker-cc/health");
        let health: Value = health.send().await.ok()?.json().await.ok()?;
        (health["redis"]["ok"] == false).then_some(health)
    })
    .await;
    assert_eq!(told["status"], "unavailable", "{told}");
    gateway.refused_claim().await;
    let metrics = gateway.request(Method::GET, "/metrics").send().await;
    let metrics = metrics.expect("an answer").text().await.expect("text");
    let counted = "ccpool_claims_total{outcome=\"unavailable\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
    gateway.redis.revive().await;

    read.extend(stream.rest().await);
    let ended = endings(&read);
    assert_eq!(ended.len(), 1, "{read:#?}");
    assert_eq!(
        (&ended[0]["type"], &ended[0]["text"]),
        (&json!("completed"), &json!(WORDS))
    );
    let waiting = waiting.rest().await;
    let ended = endings(&waiting);
    assert_eq!(ended.len(), 1, "{waiting:#?}");

    // The same container serves the session, and the spare is warm again: none was started anew.
    gateway.wait_warm(1).await;
    let pool = gateway.get("/api/docker-cc/pool").await;
    assert_eq!(pool["counts"]["total"], 2, "{pool:#}");
    let (status, again) = gateway
        .post("/api/docker-cc/sessions", &json!({"session": "s1"}))
        .await;
    assert_eq!(
        (status, &again["container"]),
        (200, &claimed["container"]),
        "{again}"
    );
    let (status, next) = gateway.turn("s1", &json!({"prompt": "hello"})).await;
    assert_eq!(status, 200, "{next}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_redis_that_does_not_answer_is_told_and_gone_on_with() {
    let gateway = Gateway::start(Setup::default()).await;
    gateway.claim("s1").await;
    gateway.wait_warm(1).await;
    let scene = json!({"text": WORDS, "delayMs": 200});
    let mut stream = gateway.stream("s1", &format!("[[do: {scene}]]")).await;
    let mut read = up_to_words(&mut stream).await;
    gateway.redis.freeze(true).await;
    gateway.refused_claim().await;
    gateway.redis.freeze(false).await;
    read.extend(stream.rest().await);
    let ended = endings(&read);
    assert_eq!(ended.len(), 1, "{read:#?}");
    assert_eq!(ended[0]["text"], WORDS);
    eventually("claims are served again", async || {
        let (status, _) = gateway
            .post("/api/docker-cc/sessions", &json!({"session": "s2"}))
            .await;
        matches!(status, 200 | 201).then_some(())
    })
    .await;
    gateway.stop().await;
}
