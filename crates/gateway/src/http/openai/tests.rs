//! The routes on a provider that does what a test says.

mod told;

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use ccpool::provider::{Message, Passed, Refused};
use ccpool_protocol::FailureKind;
use futures::{FutureExt, StreamExt};
use serde_json::{Value, json};

use self::told::{App, Does, Seen, hi, post};
use crate::http::body::LARGEST;

fn words(text: &str) -> Value {
    json!({"type": "text_delta", "messageId": "m1", "block": 0, "text": text})
}

fn completed() -> Value {
    json!({"type": "completed", "text": "hello", "usage": {}, "costUsd": 0.0, "durationMs": 1,
        "session": "", "stopReason": "end_turn"})
}

fn failed(kind: FailureKind, visible: bool) -> Value {
    json!({"type": "failed", "kind": kind, "message": "why", "visibleOutput": visible,
        "toolEffects": false})
}

/// The status of each kind, and whether it says when to try again.
const TABLE: [(FailureKind, u16, bool); 12] = [
    (FailureKind::Exhausted, 503, true),
    (FailureKind::Unavailable, 503, true),
    (FailureKind::Auth, 401, false),
    (FailureKind::RateLimited, 429, true),
    (FailureKind::Overloaded, 503, true),
    (FailureKind::InvalidRequest, 400, false),
    (FailureKind::MaxTurns, 422, false),
    (FailureKind::Interrupted, 422, false),
    (FailureKind::Stalled, 503, true),
    (FailureKind::ContainerLost, 503, true),
    (FailureKind::Timeout, 504, false),
    (FailureKind::Internal, 500, false),
];

#[tokio::test]
async fn each_failure_before_the_first_words_has_its_status() {
    for (kind, status, waits) in TABLE {
        let thought = json!({"type": "thinking_delta", "messageId": "m", "block": 0, "text": "x"});
        for does in [
            Does::Refuse(Refused::new(kind, "why")),
            Does::Tell(vec![failed(kind, false)]),
            Does::Tell(vec![thought, failed(kind, false)]),
        ] {
            for stream in [true, false] {
                let seen = App::new(does.clone()).post(&hi(stream)).await;
                let error = seen.error();
                assert_eq!(seen.status, status, "{kind}, {does:?}");
                assert_eq!(error["code"], kind.as_str());
                assert_eq!(error["message"], "why");
                assert_eq!(seen.headers.contains_key("retry-after"), waits, "{kind}");
                assert_eq!(seen.headers["content-type"], "application/json");
                assert!(seen.headers.contains_key("x-request-id"));
            }
        }
    }
}

#[tokio::test]
async fn each_failure_after_the_first_words_is_said_in_the_stream() {
    for (kind, status, _) in TABLE {
        let does = Does::Tell(vec![words("half"), failed(kind, true)]);
        let seen = App::new(does.clone()).post(&hi(true)).await;
        assert_eq!(seen.status, 200);
        let chunks = seen.chunks();
        let last = chunks.last().unwrap();
        assert_eq!(last["error"]["code"], kind.as_str());
        assert_eq!(chunks[1]["choices"][0]["delta"]["content"], "half");
        for chunk in &chunks[..chunks.len() - 1] {
            assert_eq!(chunk["choices"][0]["finish_reason"], Value::Null);
        }
        assert!(!seen.text.contains("[DONE]"), "{}", seen.text);
        // Whoever waits for the whole has seen nothing of it.
        assert_eq!(App::new(does).post(&hi(false)).await.status, status);
    }
}

#[tokio::test]
async fn an_answer_in_one_piece_and_in_many() {
    let does = Does::Tell(vec![words("hel"), words("lo"), completed()]);
    let app = App::new(does);
    let seen = app.post(&hi(false)).await;
    assert_eq!(seen.status, 200);
    let choice = &seen.json()["choices"][0];
    assert_eq!(choice["message"]["content"], "hello");
    assert_eq!(choice["finish_reason"], "stop");
    assert_eq!(seen.json()["model"], "docker-claude-code/opus");
    for (name, value) in [
        ("x-ccpool-provider", "docker-claude-code"),
        ("x-ccpool-session", "s1"),
        ("x-ccpool-turn", "t1"),
    ] {
        assert_eq!(seen.headers[name], value);
    }
    let seen = app.post(&hi(true)).await;
    assert!(seen.text.ends_with("data: [DONE]\n\n"));
    let said: String = seen
        .chunks()
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(said, "hello");
    let asked = app.told.asked.lock().unwrap();
    assert_eq!(asked[0].messages, [Message::user("hi")]);
    assert_eq!(asked[0], asked[1]);
}

#[tokio::test]
async fn those_who_did_not_answer_are_named() {
    let refused = Refused {
        passed: vec![Passed {
            provider: "claude-cli/opus".to_owned(),
            kind: FailureKind::Auth,
            message: "not logged in".to_owned(),
        }],
        ..Refused::new(FailureKind::Unavailable, "no Redis")
    };
    let seen = App::new(Does::Refuse(refused)).post(&hi(true)).await;
    assert_eq!(
        seen.headers["x-ccpool-passed"],
        "claude-cli/opus: auth (not logged in)"
    );
}

#[tokio::test]
async fn what_never_reaches_a_route_has_the_same_shape() {
    let app = App::with(Does::Tell(vec![]), &[], Some("secret"));
    let seen = app.post(&hi(false)).await;
    assert_eq!(seen.status, 401);
    assert_eq!(seen.error()["code"], "invalid_api_key");
    assert_eq!(seen.error()["type"], "authentication_error");
    assert_eq!(seen.headers["www-authenticate"], "Bearer");

    let app = App::new(Does::Tell(vec![]));
    let seen = app.get("/v1/nowhere").await;
    assert_eq!(
        (seen.status, &seen.error()["code"]),
        (404, &json!("unknown_route"))
    );
    let seen = app.get("/v1/chat/completions").await;
    assert_eq!(
        (seen.status, &seen.error()["code"]),
        (405, &json!("wrong_method"))
    );
    assert_eq!(seen.headers["allow"], "POST");
    // Other routes keep theirs.
    let seen = app.get("/nowhere").await;
    assert_eq!(seen.headers["content-type"], "application/problem+json");
    assert!(!seen.headers.contains_key("x-request-id"));
}

#[tokio::test]
async fn bodies_that_cannot_be_read_have_the_same_shape() {
    let app = App::new(Does::Tell(vec![]));
    let ask = async |media_type: &str, body: Vec<u8>| {
        let mut request = post(&json!({}));
        let media_type = media_type.parse().unwrap();
        request.headers_mut().insert("content-type", media_type);
        *request.body_mut() = Body::from(body);
        let seen = Seen::of(app.ask(request).await).await;
        (
            seen.status,
            seen.error()["code"].as_str().unwrap().to_owned(),
        )
    };
    let is = |status: u16, code: &str| (status, code.to_owned());
    let invalid = is(400, "invalid_request");
    assert_eq!(
        ask("application/json", b"{\"model\":".to_vec()).await,
        invalid
    );
    assert_eq!(ask("application/json", b"[]".to_vec()).await, invalid);
    assert_eq!(ask("application/json", Vec::new()).await, invalid);
    assert_eq!(
        ask("application/json", b"{\"a\":\"\xff\"}".to_vec()).await,
        invalid
    );
    let unsupported = is(415, "unsupported_media_type");
    assert_eq!(ask("text/plain", b"{}".to_vec()).await, unsupported);
    let large = ask("application/json", vec![b' '; LARGEST + 1]).await;
    assert_eq!(large, is(413, "body_too_large"));
    assert!(app.told.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_refused_request_says_where() {
    let app = App::new(Does::Tell(vec![]));
    let seen = app.post(&json!({"messages": [{"role": "user"}]})).await;
    assert_eq!(seen.status, 400);
    assert_eq!(seen.error()["param"], "messages[0].content");
    assert!(app.told.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn requests_are_known_by_the_id_they_bring() {
    let app = App::new(Does::Tell(vec![completed()]));
    let with = async |id: &'static str| {
        let mut request = post(&hi(false));
        request
            .headers_mut()
            .insert("x-request-id", id.parse().unwrap());
        let response = app.ask(request).await;
        response.headers()["x-request-id"]
            .to_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(with("mine-1").await, "mine-1");
    assert!(with("").await.starts_with("req_"));
}

#[tokio::test]
async fn models_are_listed_with_and_without_their_provider() {
    let chain = [
        "docker-claude-code/opus",
        "claude-cli/opus",
        "anthropic/claude-x",
    ];
    let app = App::with(Does::Tell(vec![]), &chain, None);
    let list = app.get("/v1/models").await.json();
    assert_eq!(list["object"], "list");
    let models = list["data"].as_array().unwrap();
    let ids: Vec<&str> = models
        .iter()
        .map(|model| model["id"].as_str().unwrap())
        .collect();
    let [docker, cli, anthropic] = chain;
    assert_eq!(ids, [docker, cli, anthropic, "opus", "claude-x"]);
    assert_eq!(
        models[3],
        json!({"id": "opus", "object": "model", "created": 0, "owned_by": "docker-claude-code"})
    );
    for path in ["claude-cli/opus", "claude-cli%2Fopus"] {
        let seen = app.get(&format!("/v1/models/{path}")).await;
        assert_eq!(
            (seen.status, &seen.json()["owned_by"]),
            (200, &json!("claude-cli"))
        );
    }
    assert_eq!(
        app.get("/v1/models/claude-x").await.json()["owned_by"],
        "anthropic"
    );
    let seen = app.get("/v1/models/gpt-4o").await;
    assert_eq!(
        (seen.status, &seen.error()["code"]),
        (404, &json!("model_not_found"))
    );
    // A provider that names its models without itself.
    let own = App::new(Does::Tell(vec![])).get("/v1/models").await.json();
    assert_eq!(own["data"][0]["id"], "docker-claude-code/opus");
    assert_eq!(own["data"][2]["id"], "opus");
}

#[tokio::test]
async fn models_of_nobody_are_not_asked_for() {
    let app = App::with(Does::Tell(vec![completed()]), &["claude-cli/opus"], None);
    let ask = async |model: &str| {
        let mut body = hi(false);
        body["model"] = json!(model);
        app.post(&body).await
    };
    let seen = ask("openai/gpt-4o").await;
    assert_eq!(
        (seen.status, &seen.error()["code"]),
        (404, &json!("model_not_found"))
    );
    assert_eq!(seen.error()["param"], "model");
    assert!(app.told.asked.lock().unwrap().is_empty());
    for model in [
        "docker-claude-code/claude-x",
        "claude-cli/haiku",
        "claude-x",
    ] {
        assert_eq!(ask(model).await.status, 200, "{model}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_answer() {
    let app = App::new(Does::Hang(vec![words("a")]));
    let is_dropped = || app.told.is_dropped.load(Ordering::Relaxed);
    let response = app.ask(post(&hi(true))).await;
    let mut body = response.into_body().into_data_stream();
    let first = body.next().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&first).contains("\"content\":\"a\""));
    assert!(!is_dropped());
    drop(body);
    assert!(is_dropped());

    // Before the head, and without a stream, the request itself is given up.
    for (does, stream) in [
        (Does::Hang(vec![]), true),
        (Does::Hang(vec![words("a")]), false),
    ] {
        let app = App::new(does);
        let mut request = Box::pin(app.ask(post(&hi(stream))));
        while app.told.asked.lock().unwrap().is_empty() {
            assert!((&mut request).now_or_never().is_none());
            tokio::task::yield_now().await;
        }
        drop(request);
        assert!(app.told.is_dropped.load(Ordering::Relaxed));
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_does_not_wait_for_ever_for_somebody_who_answers() {
    let late = |does: Does| Does::Late(Duration::from_secs(40), Box::new(does));
    let seen = App::new(late(Does::Tell(vec![words("hello"), completed()])))
        .post(&hi(true))
        .await;
    assert_eq!(seen.status, 200);
    assert!(!seen.headers.contains_key("x-ccpool-provider"));
    let chunks = seen.chunks();
    let deltas: Vec<&Value> = chunks.iter().map(|c| &c["choices"][0]["delta"]).collect();
    assert_eq!(deltas[0]["role"], "assistant");
    // After 15 seconds the head, after 30 a sign of life, after 40 the answer.
    assert_eq!(deltas[1..3], [&json!({}), &json!({"content": "hello"})]);
    assert_eq!(chunks[0]["model"], "opus");
    assert!(seen.text.ends_with("data: [DONE]\n\n"));

    let refused = late(Does::Refuse(Refused::new(FailureKind::Exhausted, "why")));
    let seen = App::new(refused.clone()).post(&hi(true)).await;
    assert_eq!(seen.status, 200);
    let chunks = seen.chunks();
    assert_eq!(chunks.last().unwrap()["error"]["code"], "exhausted");
    assert!(!seen.text.contains("[DONE]"), "{}", seen.text);
    // In one piece there is time.
    assert_eq!(App::new(refused).post(&hi(false)).await.status, 503);
}

#[tokio::test]
async fn a_gateway_that_stops_breaks_answers_off() {
    for (does, stream) in [
        (Does::Hang(vec![]), true),
        (Does::Hang(vec![words("a")]), false),
    ] {
        let app = App::new(does);
        app.stop.cancel();
        let seen = app.post(&hi(stream)).await;
        assert_eq!(
            (seen.status, &seen.error()["code"]),
            (503, &json!("unavailable"))
        );
    }
    let app = App::new(Does::Hang(vec![words("a")]));
    let response = app.ask(post(&hi(true))).await;
    app.stop.cancel();
    let seen = Seen::of(response).await;
    let chunks = seen.chunks();
    assert_eq!(chunks.last().unwrap()["error"]["code"], "unavailable");
    assert!(!seen.text.contains("[DONE]"));
}
