//! Redis goes away and comes back, on the same socket and empty; the runtime goes away.

use std::time::Duration;

use ccpool::{ClaimRequest, FailureKind, HealthStatus};

use crate::support::{PATIENCE, World, config};

#[tokio::test]
async fn redis_away_is_unavailable_and_back_is_well_again() {
    let mut world = World::new(config(1, 2)).await;
    world.warm(1).await;
    redis::cmd("SHUTDOWN")
        .arg("NOSAVE")
        .exec_async(&mut world.connection)
        .await
        .unwrap_err();

    let error = world.pool.claim(ClaimRequest::default()).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Unavailable);
    assert!(error.mend().unwrap().contains("Redis"), "{error}");
    let health = world.pool.health().await;
    assert_eq!(
        (health.status, health.can_claim),
        (HealthStatus::Unavailable, false)
    );
    assert!(
        health.reasons[0].starts_with("Redis cannot be reached"),
        "{:?}",
        health.reasons
    );

    let mut server = world.restart_redis().await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while world.pool.snapshot().await.is_err() {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    world.warm(1).await;
    world.claim("s1").await;
    server.kill().await.unwrap();
}

#[tokio::test]
async fn without_the_runtime_nobody_waits_for_what_cannot_come() {
    let mut config = config(0, 1);
    // Neither is waited for.
    config.pool.claim_timeout = Duration::from_secs(3600);
    config.timeouts.health_interval = Duration::from_secs(3600);
    let world = World::new(config).await;
    world.runtime.fail(Some("it was stopped"));
    let before = world.runtime.listed();
    let claim = world.pool.claim(ClaimRequest::default());
    let error = tokio::time::timeout(PATIENCE, claim).await.unwrap();
    let error = error.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Unavailable);
    assert!(error.to_string().contains("it was stopped"), "{error}");
    // One look at the runtime that began after the claim, beside one that may have been under way.
    let looks = world.runtime.listed() - before;
    assert!((1..=2).contains(&looks), "{looks} looks");
}
