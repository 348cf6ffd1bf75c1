//! From the first start to the last removal.

use std::time::Duration;

use ccpool::runtime::Exit;
use ccpool::{ClaimRequest, FailureKind, HealthStatus, SessionId};
use redis::AsyncCommands;

use crate::support::{World, config};

#[tokio::test]
async fn a_session_ends_its_container_goes_and_its_keys_stay_for_a_while() {
    let mut world = World::new(config(1, 2)).await;
    world.warm(1).await;
    let container = world.claim("s1").await;
    let session = SessionId::new("s1").unwrap();
    let keys = world.session_keys("s1");
    let lists = [
        &keys.input,
        &keys.inflight,
        &keys.output_buffer,
        &keys.transcript,
    ];
    for list in lists {
        let () = world.connection.rpush(list, "kept").await.unwrap();
    }
    let () = world.connection.set(&keys.result, "kept").await.unwrap();
    world.pool.end(&session).await.unwrap();
    assert!(!world.containers().await.contains(&container));
    let status: String = world.connection.hget(&keys.state, "status").await.unwrap();
    assert_eq!(status, "ended");
    // The prompts that nobody answers any more have ended with it.
    let kept = [
        &keys.state,
        &keys.output_buffer,
        &keys.transcript,
        &keys.result,
    ];
    for key in kept {
        let ttl: i64 = world.connection.pttl(key).await.unwrap();
        assert!(ttl > 3_000_000 && ttl <= 3_600_000, "{key}: {ttl}");
    }
    let left: bool = world
        .connection
        .exists(world.keys.container(&container).record)
        .await
        .unwrap();
    assert!(!left);
    let error = world.pool.end(&session).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::InvalidRequest);
    // The name can be used again; the keys live on.
    world.warm(1).await;
    assert_ne!(world.claim("s1").await, container);
    for key in kept {
        let ttl: i64 = world.connection.pttl(key).await.unwrap();
        assert_eq!(ttl, -1, "{key}");
    }
}

#[tokio::test]
async fn a_container_that_dies_is_replaced_and_its_end_remembered() {
    let mut world = World::new(config(1, 2)).await;
    world.warm(1).await;
    let container = world.containers().await.remove(0);
    world.runtime.kill(
        &container,
        Exit {
            code: Some(137),
            oom: true,
        },
    );
    world
        .until("the dead one is gone", |s| s.failures.len() == 1)
        .await;
    world.warm(1).await;
    assert!(!world.containers().await.contains(&container));
    let failure = world.pool.snapshot().await.unwrap().failures.remove(0);
    assert!(
        failure.reason.contains("out of memory"),
        "{}",
        failure.reason
    );
    assert_eq!(failure.log_tail, ["a fake line"]);
}

#[tokio::test]
async fn one_that_never_becomes_warm_is_given_up_with_the_reason() {
    let mut config = config(1, 1);
    config.timeouts.startup = Duration::from_millis(50);
    let world = World::new(config).await;
    world.until("given up", |s| !s.failures.is_empty()).await;
    let failure = world.pool.snapshot().await.unwrap().failures.remove(0);
    assert!(
        failure.reason.contains("never reached Redis"),
        "{}",
        failure.reason
    );
}

#[tokio::test]
async fn idle_sessions_end() {
    let mut config = config(0, 2);
    config.timeouts.idle = Duration::from_millis(300);
    let mut world = World::new(config).await;
    let pool = world.pool.clone();
    let claim = tokio::spawn(async move { pool.claim(ClaimRequest::default()).await });
    while !claim.is_finished() {
        for container in world.containers().await {
            world.report_ready(&container).await;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let session = claim.await.unwrap().unwrap().session;
    world.until("ended", |s| s.counts.total == 0).await;
    let info = world.pool.session(&session).await.unwrap();
    assert_eq!(info.status.as_str(), "ended");
}

#[tokio::test]
async fn a_runtime_in_trouble_is_told_and_recovered_from() {
    let mut world = World::new(config(1, 2)).await;
    world.warm(1).await;
    world.runtime.fail(Some("the daemon sleeps"));
    let sick = async {
        loop {
            let health = world.pool.health().await;
            if health.status == HealthStatus::Degraded {
                return health;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let health = tokio::time::timeout(crate::support::PATIENCE, sick)
        .await
        .unwrap();
    assert!(health.can_claim, "the warm one can still be claimed");
    assert!(
        health.reasons[0].contains("the daemon sleeps"),
        "{:?}",
        health.reasons
    );
    world.claim("s1").await;
    world.runtime.fail(None);
    world.warm(1).await;
    assert_eq!(world.pool.health().await.status, HealthStatus::Ok);
}

#[tokio::test]
async fn shutting_down_leaves_nothing() {
    let mut world = World::new(config(2, 4)).await;
    world.warm(2).await;
    world.claim("s1").await;
    world.pool.shutdown(Duration::from_secs(5)).await;
    assert!(world.containers().await.is_empty());
    let left: Vec<String> = world
        .connection
        .keys(format!("{}pool:*", world.keys.prefix()))
        .await
        .unwrap();
    assert_eq!(left, [world.keys.pool_id()]);
}
