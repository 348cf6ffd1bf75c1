//! Redis goes away and comes back, on the same socket and empty.

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
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    world.warm(1).await;
    world.claim("s1").await;
    server.kill().await.unwrap();
}
