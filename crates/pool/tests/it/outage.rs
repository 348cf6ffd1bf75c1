//! Redis goes away and comes back, on the same socket and empty.

use std::process::Stdio;

use ccpool::{ClaimRequest, FailureKind, HealthStatus};
use tokio::process::Command;

use crate::support::{PATIENCE, World, config};

#[tokio::test]
async fn redis_away_is_unavailable_and_back_is_well_again() {
    let mut world = World::new(config(1, 2)).await;
    world.warm(1).await;
    let socket = world.redis.socket().to_owned();
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

    let mut server = Command::new("redis-server")
        .args(["--port", "0", "--save", "", "--unixsocket"])
        .arg(&socket)
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while world.pool.snapshot().await.is_err() {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let client = redis::Client::open(format!("unix://{}", socket.display())).unwrap();
    world.connection = client.get_multiplexed_async_connection().await.unwrap();
    world.warm(1).await;
    world.claim("s1").await;
    server.kill().await.unwrap();
}
