//! A session from its claim to its end.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::gateway::{Gateway, Setup, accepted, answer};
use crate::parts::PATIENCE;
use crate::sse::{Message, SseReader};

const SESSION: &str = "agent:main:explicit:t1";

fn text_of(messages: &[Message]) -> String {
    let deltas = messages
        .iter()
        .filter(|message| message.event == "text_delta");
    deltas
        .filter_map(|message| message.data["text"].as_str())
        .collect()
}

#[tokio::test]
async fn from_claim_to_end() {
    let gateway = Gateway::start(Setup::default()).await;
    let claimed = gateway.claim(SESSION).await;
    assert_eq!(claimed["session"], SESSION);
    assert_eq!(claimed["created"], true);
    assert!(
        claimed["claimMs"].as_f64().is_some_and(|ms| ms > 0.0),
        "{claimed}"
    );
    let turns = claimed["links"]["turns"].as_str().expect("a link");

    // The first turn, streamed.
    let body = json!({"prompt": "my word is heliotrope [[do: {\"text\":\"Noted, heliotrope.\"}]]"});
    let response = gateway
        .request(Method::POST, turns)
        .json(&body)
        .send()
        .await
        .expect("an answer");
    let stream = SseReader::of(accepted(response).await);
    let turn = stream.turn.clone();
    let messages = stream.rest().await;
    assert_eq!(messages.first().map(|m| m.event.as_str()), Some("started"));
    assert_eq!(text_of(&messages), "Noted, heliotrope.");
    let last = messages.last().expect("a terminal event");
    assert_eq!(
        (last.event.as_str(), &last.data["text"]),
        ("completed", &json!("Noted, heliotrope."))
    );
    let terminals = messages
        .iter()
        .filter(|m| m.event == "completed" || m.event == "failed");
    assert_eq!(terminals.count(), 1);
    assert!(
        messages.iter().all(|m| m.data["turn"] == turn.as_str()),
        "{messages:#?}"
    );
    assert!(messages.iter().all(|m| m.data["type"] == m.event.as_str()));

    // The second turn has the first in its context.
    let (status, second) = gateway
        .turn(SESSION, &json!({"prompt": "again", "events": true}))
        .await;
    assert_eq!(status, 200, "{second}");
    assert_eq!(second["result"]["type"], "completed");
    let events = second["events"].as_array().expect("events were asked for");
    assert_eq!(events.last(), Some(&second["result"]));
    let request = gateway
        .model
        .wait_for_request(|request| request.last_user_text.contains("again"), PATIENCE)
        .await
        .expect("the model was asked");
    assert!(
        request
            .texts_of_role("user")
            .iter()
            .any(|text| text.contains("heliotrope"))
    );
    assert!(
        request
            .texts_of_role("assistant")
            .iter()
            .any(|text| text.contains("Noted"))
    );

    // From any event on, exactly what came after it.
    for (at, message) in messages.iter().enumerate() {
        let path = format!("/api/docker-cc/sessions/{SESSION}/events?turn={turn}");
        let request = gateway
            .request(Method::GET, &path)
            .header("last-event-id", &message.id);
        if at + 1 == messages.len() {
            continue;
        }
        let after = SseReader::of(accepted(request.send().await.expect("an answer")).await);
        assert_eq!(
            after.rest().await,
            messages[at + 1..],
            "after {}",
            message.id
        );
    }

    // Claiming again finds the session as it is.
    let (status, again) = gateway
        .post("/api/docker-cc/sessions", &json!({"session": SESSION}))
        .await;
    assert_eq!((status, &again["created"]), (200, &json!(false)));
    assert_eq!(again["container"], claimed["container"]);
    let info = gateway
        .get(&format!("/api/docker-cc/sessions/{SESSION}"))
        .await;
    assert_eq!(
        (&info["status"], &info["turns"]),
        (&json!("assigned"), &json!(2))
    );

    // The end: the container is gone when the answer comes.
    let path = format!("/api/docker-cc/sessions/{SESSION}");
    let (status, _) = answer(gateway.request(Method::DELETE, &path)).await;
    assert_eq!(status, 204);
    let pool = gateway.get("/api/docker-cc/pool").await;
    let left = pool["containers"].as_array().expect("a list");
    assert!(
        left.iter()
            .all(|container| container["container"] != claimed["container"]),
        "{pool}"
    );
    let (status, problem) = gateway
        .turn(SESSION, &json!({"prompt": "anyone there?"}))
        .await;
    assert_eq!(
        (status, &problem["type"]),
        (404, &json!("urn:ccpool:problem:unknown-session"))
    );
    gateway.stop().await;
}

#[tokio::test]
async fn an_interrupt_ends_the_turn_and_the_session_goes_on() {
    let gateway = Gateway::start(Setup::default()).await;
    gateway.claim(SESSION).await;
    let mut stream = gateway.stream(SESSION, "[[script:slow]]").await;
    stream.wait_for("text_delta").await;
    let path = format!("/api/docker-cc/sessions/{SESSION}/interrupt");
    let (status, told) = gateway.post(&path, &json!({})).await;
    assert_eq!((status, &told["session"]), (200, &json!(SESSION)));
    let failed = stream.wait_for("failed").await;
    assert_eq!(failed.data["kind"], "interrupted");
    assert_eq!(failed.data["visibleOutput"], true);
    assert_eq!(stream.next().await, None);
    let (status, next) = gateway
        .turn(SESSION, &json!({"prompt": "[[script:hello]]"}))
        .await;
    assert_eq!(
        (status, &next["result"]["text"]),
        (200, &json!("Hello from the scripted model."))
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_client_that_leaves_does_not_end_its_turn() {
    let gateway = Gateway::start(Setup::default()).await;
    gateway.claim(SESSION).await;
    let mut stream = gateway.stream(SESSION, "[[script:slow]]").await;
    let seen = stream.wait_for("text_delta").await;
    let turn = stream.turn.clone();
    drop(stream);
    let path = format!(
        "/api/docker-cc/sessions/{SESSION}/events?turn={turn}&lastEventId={}",
        seen.id
    );
    let response = gateway
        .request(Method::GET, &path)
        .send()
        .await
        .expect("an answer");
    let rest = SseReader::of(accepted(response).await).rest().await;
    assert_eq!(
        rest.last().map(|m| m.event.as_str()),
        Some("completed"),
        "{rest:#?}"
    );
    let first = seen.data["text"].as_str().expect("text").to_owned();
    let whole = rest
        .last()
        .map(|m| m.data["text"].clone())
        .unwrap_or_default();
    assert_eq!(json!(first + &text_of(&rest)), whole);
    gateway.stop().await;
}

#[tokio::test]
async fn a_repeated_key_is_one_turn() {
    let gateway = Gateway::start(Setup::default()).await;
    gateway.claim(SESSION).await;
    let path = format!("/api/docker-cc/sessions/{SESSION}/turns");
    let send = || {
        let body = json!({"prompt": "only once", "stream": false});
        gateway
            .request(Method::POST, &path)
            .header("idempotency-key", "k1")
            .json(&body)
    };
    let (first, second) = tokio::join!(answer(send()), answer(send()));
    assert_eq!((first.0, second.0), (200, 200));
    assert_eq!(first.1["result"], second.1["result"]);
    let repeated: BTreeSet<bool> = [&first.1, &second.1]
        .into_iter()
        .filter_map(|a| a["repeated"].as_bool())
        .collect();
    assert_eq!(repeated, BTreeSet::from([false, true]));
    let asked = gateway.model.requests();
    let asked = asked
        .iter()
        .filter(|request| request.last_user_text.contains("only once"));
    assert_eq!(asked.count(), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn a_failed_turn_has_its_status() {
    let gateway = Gateway::start(Setup::default()).await;
    gateway.claim(SESSION).await;
    for (scene, status, kind) in [
        ("[[script:invalid-request]]", 400, "invalid_request"),
        ("[[script:bad-key]]", 401, "auth"),
    ] {
        let (found, problem) = gateway.turn(SESSION, &json!({"prompt": scene})).await;
        assert_eq!(
            (found, &problem["kind"]),
            (status, &json!(kind)),
            "{problem}"
        );
        assert_eq!(problem["visibleOutput"], false);
        assert!(problem["turn"].is_string());
    }
    gateway.stop().await;
}

#[tokio::test]
async fn stopping_ends_open_streams() {
    let gateway = Gateway::start(Setup::default()).await;
    gateway.claim(SESSION).await;
    let path = format!("/api/docker-cc/sessions/{SESSION}/events");
    let response = gateway
        .request(Method::GET, &path)
        .send()
        .await
        .expect("an answer");
    let idle = SseReader::of(accepted(response).await);
    let ((), rest) = tokio::join!(gateway.stop(), idle.rest());
    assert_eq!(rest, []);
}

/// The shapes in the description are what the gateway sends.
#[tokio::test]
async fn answers_are_as_described() {
    let gateway = Gateway::start(Setup::default()).await;
    let api = gateway.get("/openapi.json").await;
    let claimed = gateway.claim(SESSION).await;
    let (_, turn) = gateway
        .turn(SESSION, &json!({"prompt": "hi", "events": true}))
        .await;
    let pool = gateway.get("/api/docker-cc/pool").await;
    let health = gateway.get("/api/docker-cc/health").await;
    let same = |schema: &str, value: &Value| {
        let schema_keys = keys(&api["components"]["schemas"][schema]["properties"]);
        let sent = keys(value);
        assert!(!schema_keys.is_empty() && !sent.is_empty(), "{schema}");
        let undescribed: Vec<_> = sent.difference(&schema_keys).collect();
        assert!(
            undescribed.is_empty(),
            "{schema}: {undescribed:?} are not described"
        );
        let required = &api["components"]["schemas"][schema]["required"];
        for key in required
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
        {
            assert!(
                sent.contains(key),
                "{schema}: {key} is described and not sent"
            );
        }
    };
    same("Claimed", &claimed);
    same("Links", &claimed["links"]);
    same(
        "SessionInfo",
        &gateway
            .get(&format!("/api/docker-cc/sessions/{SESSION}"))
            .await,
    );
    same("SessionList", &gateway.get("/api/docker-cc/sessions").await);
    same("PoolSnapshot", &pool);
    same("Counts", &pool["counts"]);
    same("Limits", &pool["limits"]);
    same("GatewayInfo", &pool["gateways"][0]);
    same("ContainerInfo", &pool["containers"][0]);
    same("Health", &health);
    same("Check", &health["redis"]);
    same("TurnAnswer", &turn);
    for event in turn["events"].as_array().expect("events") {
        same("ReplyEvent", event);
    }
    same("Usage", &turn["result"]["usage"]);
    gateway.stop().await;
}

fn keys(value: &Value) -> BTreeSet<String> {
    value
        .as_object()
        .into_iter()
        .flat_map(|map| map.keys().cloned())
        .collect()
}
