//! What clients are told when there is no answer, or no whole one.

use nix::sys::signal::{Signal, kill};
use reqwest::Method;
use serde_json::json;

use super::chat::{Came, Chunks, Piece, chunks_of, post, streamed, user};
use crate::gateway::{Gateway, Setup};
use crate::parts::eventually;

/// The CLI passes on what the model's service says at once.
fn without_retries() -> Setup {
    let env = json!({"CLAUDE_CODE_MAX_RETRIES": "0"});
    Setup::default().with("claude", json!({"env": env}))
}

#[tokio::test]
async fn what_the_model_refuses_has_its_status() {
    for (error, status, code, waits) in [
        (json!(401), 401, "auth", false),
        (json!(400), 400, "invalid_request", false),
        (
            json!({"status": 429, "retryAfter": 3}),
            429,
            "rate_limited",
            true,
        ),
        (json!(529), 503, "overloaded", true),
        (json!(500), 503, "unavailable", true),
    ] {
        // Another one each time: a service that says when to come back is not asked before.
        let gateway = Gateway::start_cold(without_retries()).await;
        let prompt = format!("[[do: {}]]", json!({"error": error}));
        for body in [user(&prompt), streamed(user(&prompt))] {
            let came = Came::of(post(&gateway, &body)).await;
            assert_eq!(came.failure(), (status, code.to_owned()), "{came:?}");
            assert_eq!(came.retry_after().is_some(), waits, "{came:?}");
            assert_eq!(came.header("content-type"), "application/json");
            // Nobody answers; it is said who was asked, where another one could have been.
            let passed = came.headers.get("x-ccpool-passed");
            let passed = passed.map(|passed| passed.to_str().expect("ASCII"));
            let asked = format!("docker-claude-code/sonnet: {code} (");
            let is_told = passed.is_some_and(|passed| passed.starts_with(&asked));
            assert_eq!(is_told, status != 400, "{came:?}");
        }
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_container_that_is_killed_before_and_after_the_first_words() {
    let gateway = Gateway::start(Setup::default()).await;
    let kill_it = async |session: &str| {
        let path = format!("/api/docker-cc/sessions/{session}");
        let info = gateway.get(&path).await;
        let wrapper = gateway
            .wrapper_of(info["container"].as_str().expect("one"))
            .await;
        kill(wrapper, Signal::SIGKILL).expect("it runs");
    };
    // After: the client is told within the stream, and nothing looks like a good end.
    let scene = json!({"text": "one two three four", "stallAfter": 2});
    let body = streamed(user(&format!("[[do: {scene}]]")));
    let mut stream = Chunks::of(post(&gateway, &body)).await;
    stream.until("two").await;
    let session = stream.response["x-ccpool-session"]
        .to_str()
        .expect("ASCII")
        .to_owned();
    kill_it(&session).await;
    let rest = stream.rest().await;
    let chunks = chunks_of(&rest);
    let last = chunks.last().expect("an end");
    assert_eq!(last["error"]["code"], "container_lost", "{rest:?}");
    assert!(!rest.contains(&Piece::Done));
    assert!(
        chunks
            .iter()
            .all(|chunk| chunk["choices"][0]["finish_reason"].is_null()),
        "{rest:?}"
    );

    // Before: the client is told by a status.
    gateway.wait_warm(1).await;
    let body = streamed(user("[[script:hang]] before"));
    let (came, ()) = tokio::join!(Came::of(post(&gateway, &body)), async {
        let asked = gateway.model.wait_for_request(
            |request| request.last_user_text.contains("before"),
            crate::parts::PATIENCE,
        );
        asked.await.expect("the model is asked");
        let sessions = gateway.get("/api/docker-cc/sessions").await;
        let listed = sessions["sessions"].as_array().expect("a list");
        let mut names = listed.iter().filter_map(|info| info["session"].as_str());
        let name = names.find(|name| *name != session);
        kill_it(name.expect("another session")).await;
    });
    assert_eq!(
        came.failure(),
        (503, "container_lost".to_owned()),
        "{came:?}"
    );
    assert!(came.retry_after().is_some());
    gateway.stop().await;
}

#[tokio::test]
async fn a_full_pool_is_somebody_elses_turn() {
    let pool = json!({"minWarm": 1, "maxTotal": 1, "claimTimeoutMs": 0});
    let gateway = Gateway::start(Setup::default().with("pool", pool)).await;
    gateway.claim("mine").await;
    for body in [user("hi"), streamed(user("hi"))] {
        let came = Came::of(post(&gateway, &body)).await;
        assert_eq!(came.failure(), (503, "exhausted".to_owned()), "{came:?}");
        assert!(came.retry_after() >= Some(1), "{came:?}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn without_redis_there_is_a_status_too() {
    let gateway = Gateway::start(Setup::default()).await;
    gateway.redis.crash().await;
    let came = Came::of(post(&gateway, &user("hi"))).await;
    assert_eq!(came.failure(), (503, "unavailable".to_owned()), "{came:?}");
    assert!(came.retry_after() >= Some(1), "{came:?}");
    gateway.redis.revive().await;
    // It is well again before it stops.
    eventually("an answer", async || {
        let came = Came::of(post(&gateway, &user("hi"))).await;
        (came.status == 200).then_some(())
    })
    .await;
    gateway.stop().await;
}

#[tokio::test]
async fn strangers_are_refused_in_the_same_shape() {
    let setup = Setup::default().with("http", json!({"token": "fake-token"}));
    let gateway = Gateway::start_cold(setup).await;
    let wrong = post(&gateway, &user("hi")).bearer_auth("fake-wrong");
    for request in [post(&gateway, &user("hi")), wrong] {
        let came = Came::of(request).await;
        assert_eq!(
            came.failure(),
            (401, "invalid_api_key".to_owned()),
            "{came:?}"
        );
    }
    let came = Came::of(post(&gateway, &user("hi")).bearer_auth("fake-token")).await;
    assert_eq!(came.status, 200, "{came:?}");
    let nowhere = gateway.request(Method::GET, "/v1/embeddings");
    let came = Came::of(nowhere.bearer_auth("fake-token")).await;
    assert_eq!(came.failure(), (404, "unknown_route".to_owned()));
    gateway.stop().await;
}
