//! A prompt that is sent again with the same `Idempotency-Key` is the same turn. Across a restart
//! of the gateway: see `restart.rs`.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::gateway::{Gateway, Setup, accepted, answer};
use crate::sse::SseReader;

fn send(gateway: &Gateway, session: &str, key: &str, body: &Value) -> RequestBuilder {
    let path = format!("/api/docker-cc/sessions/{session}/turns");
    gateway
        .request(Method::POST, &path)
        .header("idempotency-key", key)
        .json(body)
}

async fn reader(request: RequestBuilder) -> SseReader {
    SseReader::of(accepted(request.send().await.expect("an answer")).await)
}

#[tokio::test]
async fn a_prompt_that_is_repeated_is_the_same_turn() {
    let setup = Setup::default().with("pool", json!({"minWarm": 2, "maxTotal": 4}));
    let gateway = Gateway::start(setup).await;
    gateway.claim("s1").await;
    gateway.claim("s2").await;
    let scene = json!({"text": "one two three four five six", "delayMs": 150});
    let body = json!({"prompt": format!("only once [[do: {scene}]]")});

    // While it runs.
    let mut first = reader(send(&gateway, "s1", "k1", &body)).await;
    let turn = first.turn.clone();
    let mut read = Vec::new();
    while read.len() < 3 {
        read.push(first.next().await.expect("it goes on"));
    }
    let during = reader(send(&gateway, "s1", "k1", &body)).await;
    assert_eq!(during.turn, turn);
    let (rest, during) = tokio::join!(first.rest(), during.rest());
    read.extend(rest);
    assert_eq!(during, read);
    assert_eq!(read.last().map(|m| &*m.event), Some("completed"));

    // When it is over, and also when it is not the newest any more.
    for round in 0..2 {
        let after = reader(send(&gateway, "s1", "k1", &body)).await;
        assert_eq!(after.turn, turn);
        assert_eq!(after.rest().await, read);
        let quiet = json!({"prompt": "whatever this says", "stream": false});
        let (status, same) = answer(send(&gateway, "s1", "k1", &quiet)).await;
        assert_eq!((status, &same["repeated"]), (200, &json!(true)), "{same}");
        assert_eq!(Some(&same["result"]), read.last().map(|m| &m.data));
        let (status, next) = gateway.turn("s1", &json!({"prompt": "hello"})).await;
        assert_eq!(status, 200, "{round}: {next}");
    }

    // One that failed is not tried again either.
    let failing = json!({"prompt": "fails once [[script:invalid-request]]", "stream": false});
    let (status, failed) = answer(send(&gateway, "s1", "k2", &failing)).await;
    assert_eq!(status, 400, "{failed}");
    let (status, again) = answer(send(&gateway, "s1", "k2", &failing)).await;
    assert_eq!((status, &again), (400, &failed));

    // Also when the session has ended.
    let path = "/api/docker-cc/sessions/s1";
    let ended = gateway.request(Method::DELETE, path).send().await;
    assert!(ended.expect("an answer").status().is_success());
    let after = reader(send(&gateway, "s1", "k1", &body)).await;
    assert_eq!(after.rest().await, read);

    // The key is the session's own.
    let other = json!({"prompt": "only once", "stream": false});
    let (status, other) = answer(send(&gateway, "s2", "k1", &other)).await;
    assert_eq!(
        (status, &other["repeated"]),
        (200, &json!(false)),
        "{other}"
    );

    let info = gateway.get("/api/docker-cc/sessions/s1").await;
    assert_eq!(info["turns"], json!(4), "{info}");
    let asked = gateway.model.requests();
    for (words, times) in [("only once", 2), ("whatever", 0)] {
        let asked = asked
            .iter()
            .filter(|request| request.stream && request.last_user_text.contains(words));
        assert_eq!(asked.count(), times, "{words}");
    }
    gateway.stop().await;
}
