//! The spans of a turn, as a collector gets them.

use nix::sys::signal::{Signal, kill};
use reqwest::Method;
use serde_json::{Value, json};

use crate::collector::{Collector, Span};
use crate::gateway::{Gateway, Setup, accepted, answer};
use crate::sse::SseReader;

const SESSION: &str = "agent:main:explicit:traced";
/// A trace that the caller has begun, and the caller's span in it.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";
const STAGES: [&str; 5] = ["queue", "wait", "prepare", "request", "answer"];

async fn traced(collector: &Collector) -> Gateway {
    let telemetry = json!({"otlpEndpoint": collector.url()});
    Gateway::start(Setup::default().with("telemetry", telemetry)).await
}

/// Posts within the caller's trace.
async fn post(gateway: &Gateway, path: &str, body: &Value) -> (u16, Value) {
    let request = gateway.request(Method::POST, path).json(body);
    answer(request.header("traceparent", format!("00-{TRACE}-{CALLER}-01"))).await
}

/// The only span of this name with this parent.
fn one<'a>(spans: &'a [Span], name: &str, parent: &str) -> &'a Span {
    let mut found = spans
        .iter()
        .filter(|span| span.name == name && span.parent == parent);
    let first = found.next();
    assert!(found.next().is_none(), "{name} is there twice: {spans:#?}");
    first.unwrap_or_else(|| panic!("there is no {name} under {parent}: {spans:#?}"))
}

fn names_under<'a>(spans: &'a [Span], parent: &Span) -> Vec<&'a str> {
    let below = spans.iter().filter(|span| span.parent == parent.id);
    below.map(|span| span.name.as_str()).collect()
}

#[tokio::test]
async fn a_turn_is_one_tree_from_the_request_to_its_end() {
    let collector = Collector::start().await;
    let gateway = traced(&collector).await;
    let (status, claimed) = post(
        &gateway,
        "/api/docker-cc/sessions",
        &json!({"session": SESSION}),
    )
    .await;
    assert_eq!(status, 201, "{claimed}");
    let path = format!("/api/docker-cc/sessions/{SESSION}/turns");
    let body = json!({"prompt": "hello", "turn": "t1", "stream": false});
    let (status, answered) = post(&gateway, &path, &body).await;
    assert_eq!(status, 200, "{answered}");
    // Also what no route answers has a span, and a probe has none.
    let strange = gateway.request(Method::GET, "/nowhere").send().await;
    assert_eq!(strange.expect("an answer").status(), 404);
    let probe = gateway.request(Method::GET, "/livez").send().await;
    assert_eq!(probe.expect("an answer").status(), 200);
    // What is left to be sent is sent at the end.
    gateway.stop().await;

    let spans = collector.spans();
    let strange = one(&spans, "GET other", "");
    assert_eq!(strange.attributes["http.response.status_code"], "404");
    let is_probe = |span: &Span| {
        span.attributes
            .get("path")
            .is_some_and(|path| path == "/livez")
    };
    assert!(!spans.iter().any(is_probe), "{spans:#?}");
    let spans: Vec<Span> = spans
        .into_iter()
        .filter(|span| span.trace == TRACE)
        .collect();
    let about = |span: &Span, key: &str| span.attributes.get(key).cloned().unwrap_or_default();
    let of_turn = |span: &Span| {
        assert_eq!(about(span, "session"), SESSION, "{span:?}");
        assert_eq!(about(span, "turn"), "t1", "{span:?}");
    };

    let claim_request = one(&spans, "POST /api/docker-cc/sessions", CALLER);
    assert!(claim_request.is_server && claim_request.service == "ccpool");
    assert_eq!(about(claim_request, "http.response.status_code"), "201");
    assert_eq!(about(claim_request, "session"), SESSION);
    let claim = one(&spans, "claim", &claim_request.id);
    assert_eq!(about(claim, "session"), SESSION);
    assert_eq!(
        about(claim, "container"),
        claimed["container"].as_str().unwrap()
    );

    let request = one(&spans, "POST /api/docker-cc/sessions/{id}/turns", CALLER);
    assert!(request.is_server && !request.is_error);
    of_turn(request);
    let push = one(&spans, "push", &request.id);
    of_turn(push);
    assert_eq!(names_under(&spans, push), [""; 0]);
    let turn = one(&spans, "turn", &request.id);
    of_turn(turn);
    assert_eq!(about(turn, "outcome"), "completed");
    assert!(!turn.is_error);

    // The stages fill the turn, from the push to its end.
    let mut stages = vec![];
    for name in STAGES {
        let stage = one(&spans, name, &turn.id);
        of_turn(stage);
        stages.push(stage);
    }
    assert_eq!(names_under(&spans, turn).len(), STAGES.len());
    assert_eq!((stages[0].from, stages[4].to), (turn.from, turn.to));
    for pair in stages.windows(2) {
        assert_eq!(pair[0].to, pair[1].from, "{pair:?}");
    }
    // Nothing else belongs to the caller's trace.
    assert_eq!(spans.len(), 2 + 1 + 1 + 1 + STAGES.len(), "{spans:#?}");
}

#[tokio::test]
async fn a_turn_that_fails_ends_in_the_stage_where_it_was() {
    let collector = Collector::start().await;
    let gateway = traced(&collector).await;
    gateway.claim(SESSION).await;
    let path = format!("/api/docker-cc/sessions/{SESSION}/turns");
    let body = json!({"prompt": "[[script:invalid-request]]", "turn": "t1", "stream": false});
    let (status, problem) = post(&gateway, &path, &body).await;
    assert_eq!(status, 400, "{problem}");
    gateway.stop().await;

    let spans = collector.spans();
    let request = one(&spans, "POST /api/docker-cc/sessions/{id}/turns", CALLER);
    let turn = one(&spans, "turn", &request.id);
    assert_eq!(turn.attributes["outcome"], "invalid_request");
    assert!(turn.is_error);
    assert_eq!(names_under(&spans, turn), STAGES[..4]);
    assert_eq!(one(&spans, "request", &turn.id).to, turn.to);
}

/// The gateway ends the turn of a container that is gone, and knows from its lines how far it was.
#[tokio::test]
async fn a_turn_whose_container_is_lost_is_told_as_far_as_it_was() {
    let collector = Collector::start().await;
    let gateway = traced(&collector).await;
    let claimed = gateway.claim(SESSION).await;
    let container = claimed["container"].as_str().expect("a container");
    let wrapper = gateway.wrapper_of(container).await;
    let mut stream = gateway.stream(SESSION, "[[script:stall]]").await;
    stream.wait_for("text_delta").await;
    kill(wrapper, Signal::SIGKILL).expect("it runs");
    let failed = stream.wait_for("failed").await;
    assert_eq!(failed.data["kind"], "container_lost");
    gateway.stop().await;

    let spans = collector.spans();
    let turn = spans.iter().find(|span| span.name == "turn");
    let turn = turn.expect("the turn has a span");
    assert_eq!(turn.attributes["outcome"], "container_lost");
    assert!(turn.is_error);
    assert_eq!(names_under(&spans, turn), STAGES);
}

/// Who goes away in mid-turn is told of as far as it was there.
#[tokio::test]
async fn a_turn_whose_reader_goes_away_is_told_as_left() {
    let collector = Collector::start().await;
    let gateway = traced(&collector).await;
    gateway.claim(SESSION).await;
    let path = format!("/api/docker-cc/sessions/{SESSION}/turns");
    let body = json!({"prompt": "[[script:stall]]", "turn": "t1"});
    let request = gateway.request(Method::POST, &path).json(&body);
    let response = request.send().await.expect("an answer");
    let mut stream = SseReader::of(accepted(response).await);
    stream.wait_for("text_delta").await;
    drop(stream);
    crate::parts::eventually("the line that the turn is over", async || {
        gateway.log().contains("outcome=\"left\"").then_some(())
    })
    .await;
    gateway.stop().await;

    let spans = collector.spans();
    let request = spans
        .iter()
        .find(|span| span.name == "POST /api/docker-cc/sessions/{id}/turns")
        .expect("the request has a span");
    assert_eq!(request.parent, "", "a trace of its own");
    let turn = one(&spans, "turn", &request.id);
    assert_eq!(turn.attributes["outcome"], "left");
    assert_eq!(names_under(&spans, turn), STAGES);
}

/// A collector that is away is told once and is in nobody's way.
#[tokio::test]
async fn a_collector_that_is_away_is_in_nobodys_way() {
    let gone = Collector::start().await.url();
    let setup = Setup::default()
        .with("telemetry", json!({"otlpEndpoint": gone}))
        .with_env("OTEL_BSP_SCHEDULE_DELAY", "20");
    let gateway = Gateway::start(setup).await;
    gateway.claim(SESSION).await;
    let (status, answered) = gateway.turn(SESSION, &json!({"prompt": "hello"})).await;
    assert_eq!(status, 200, "{answered}");
    const TOLD: &str = "traces cannot be sent";
    crate::parts::eventually("that traces cannot be sent", async || {
        gateway.log().contains(TOLD).then_some(())
    })
    .await;
    let (status, answered) = gateway.turn(SESSION, &json!({"prompt": "again"})).await;
    assert_eq!(status, 200, "{answered}");
    assert_eq!(gateway.log().matches(TOLD).count(), 1);
    gateway.stop().await;
}
