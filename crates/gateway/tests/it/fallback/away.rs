//! The pool cannot be asked, or has no room.

use serde_json::json;

use super::trio::{MODELS, PROVIDERS, Trio, assert_answered, passed};
use crate::gateway::Setup;
use crate::parts::eventually;

#[tokio::test]
async fn without_redis_the_cli_of_this_host_answers() {
    let trio = Trio::start(&[]).await;
    assert_answered(&trio.say("hello").await, 0, &[]);
    let redis = &trio.gateway.redis;
    redis.freeze(true).await;
    let came = trio.say("hello").await;
    assert_answered(&came, 1, &[(MODELS[0], "unavailable")]);
    redis.freeze(false).await;
    back(&trio).await;
    redis.crash().await;
    let came = trio.say("hello").await;
    assert_answered(&came, 1, &[(MODELS[0], "unavailable")]);
    redis.revive().await;
    back(&trio).await;
    assert_eq!(trio.counts()[2], 0);
    trio.stop().await;
}

/// The pool answers again.
async fn back(trio: &Trio) {
    eventually("the pool answers", async || {
        let came = trio.say("hello").await;
        let by = came.headers.get("x-ccpool-provider");
        by.is_some_and(|by| by == PROVIDERS[0]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_full_pool_sends_on_whoever_comes_too_late() {
    let pool = json!({"minWarm": 1, "maxTotal": 1, "claimTimeoutMs": 100});
    let trio = Trio::with(Setup::default().with("pool", pool), &[]).await;
    trio.gateway.claim("mine").await;
    // That nobody had room says nothing of the provider, however often.
    for _ in 0..4 {
        let came = trio.say("hello").await;
        assert_answered(&came, 1, &[(MODELS[0], "exhausted")]);
    }
    assert_eq!(trio.counts(), [0, 4, 0]);
    assert_eq!(trio.breaker("docker-claude-code").await, 0);
    trio.stop().await;
}

#[tokio::test]
async fn all_of_them_are_away() {
    let mut trio = Trio::start(&[]).await;
    trio.silence_the_others().await;
    trio.gateway.redis.crash().await;
    let came = trio.say("hello").await;
    assert_eq!(came.failure(), (503, "unavailable".to_owned()), "{came:?}");
    assert!(came.retry_after() >= Some(1), "{came:?}");
    let named: Vec<String> = passed(&came).into_iter().map(|(model, _)| model).collect();
    assert_eq!(named, MODELS, "{came:?}");
    trio.gateway.redis.revive().await;
    back(&trio).await;
    trio.stop().await;
}
