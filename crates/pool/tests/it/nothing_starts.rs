//! The gateway that leads can start no container, and every other one knows.

use std::time::Duration;

use ccpool::config::Config;
use ccpool::{ClaimRequest, Claimed, FailureKind, HealthStatus, Pool, PoolError};
use futures::StreamExt;
use redis::AsyncCommands;

use crate::support::{PATIENCE, World, config, eventually};

/// Neither a claim's time nor the next look by itself is waited for.
fn patient() -> Config {
    let mut config = config(0, 2);
    config.pool.claim_timeout = Duration::from_secs(3600);
    config.timeouts.health_interval = Duration::from_secs(3600);
    config
}

async fn refused(pool: &Pool) -> PoolError {
    let claim = pool.claim(ClaimRequest::default());
    let answer = tokio::time::timeout(PATIENCE, claim).await;
    answer.expect("it is told in time").unwrap_err()
}

/// A claim that must be served, by a container whose wrapper says that it is ready.
async fn served(world: &mut World, pool: &Pool) -> Claimed {
    let pool = pool.clone();
    let claim = tokio::spawn(async move { pool.claim(ClaimRequest::default()).await });
    eventually("the claim is answered", async || {
        for container in world.containers().await {
            world.report_ready(&container).await;
        }
        claim.is_finished().then_some(())
    })
    .await;
    claim.await.unwrap().unwrap()
}

/// The next time that the leader tells how it is.
async fn told(news: &mut redis::aio::PubSub) {
    let mut news = news.on_message();
    let trouble = async {
        while let Some(message) = news.next().await {
            if message.get_payload::<String>().unwrap() == "trouble" {
                return;
            }
        }
        panic!("the channel has ended");
    };
    tokio::time::timeout(PATIENCE, trouble).await.unwrap();
}

#[tokio::test]
async fn claims_fail_at_once_in_every_gateway_and_are_served_again() {
    let mut world = World::new(patient()).await;
    let (other, theirs) = world.elsewhere().await;
    let mut news = world.news().await;
    world.runtime.fail(Some("it was stopped"));
    // Each of them is told by a look that has ended since it came.
    for _ in 0..3 {
        let error = refused(&other).await;
        assert_eq!(error.kind(), FailureKind::Unavailable);
        assert!(error.to_string().contains("it was stopped"), "{error}");
        told(&mut news).await;
    }
    let health = eventually("its health says so too", async || {
        let health = other.health().await;
        let known = health.reasons.iter().any(|r| r.contains("it was stopped"));
        known.then_some(health)
    })
    .await;
    let status = (health.status, health.can_claim);
    assert_eq!(status, (HealthStatus::Unavailable, false));
    assert_eq!(theirs.started(), 0, "only who leads starts containers");

    world.runtime.fail(None);
    let claimed = served(&mut world, &other).await;
    assert!(claimed.created && claimed.waited);
    told(&mut news).await;
    let said: Option<String> = world
        .connection
        .hget(world.keys.leader(), "trouble")
        .await
        .unwrap();
    assert_eq!(said, None);
    eventually("its health is well again", async || {
        let health = other.health().await;
        (health.status == HealthStatus::Ok && health.can_claim).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_trouble_of_one_that_does_not_lead_holds_nobody_up() {
    let mut world = World::new(patient()).await;
    let (other, theirs) = world.elsewhere().await;
    theirs.fail(Some("it was stopped"));
    let claimed = served(&mut world, &other).await;
    assert!(claimed.waited);
    let (pool, leader) = (world.pool.clone(), world.keys.leader());
    served(&mut world, &pool).await;
    let drawn: bool = world.connection.hexists(leader, "drawn").await.unwrap();
    assert!(!drawn, "the leader was never in trouble");
}

#[tokio::test]
async fn what_was_said_before_a_claim_came_does_not_fail_it() {
    let mut world = World::new(patient()).await;
    let (other, _) = world.elsewhere().await;
    // As if Redis had been set back to when the leader had said so.
    let said = [("trouble", "it was stopped"), ("look", "1"), ("drawn", "1")];
    let () = world
        .connection
        .hset_multiple(world.keys.leader(), &said)
        .await
        .unwrap();
    served(&mut world, &other).await;
    let pool = world.pool.clone();
    served(&mut world, &pool).await;
    eventually("the leader takes back what it does not say", async || {
        // The leader looks because of it.
        let _ = tokio::time::timeout(
            Duration::from_millis(20),
            other.claim(ClaimRequest::default()),
        )
        .await;
        let said: Option<String> = world
            .connection
            .hget(world.keys.leader(), "trouble")
            .await
            .unwrap();
        said.is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_a_killed_leader_said_goes_with_it() {
    let mut world = World::new(patient()).await;
    let mortal = world.mortal().await;
    world.pool.shutdown(Duration::from_secs(5)).await;
    eventually("it leads", async || {
        let gateways = mortal.pool.snapshot().await.unwrap().gateways;
        gateways.iter().any(|g| g.me && g.leads).then_some(())
    })
    .await;
    let (heir, theirs) = world.elsewhere().await;
    world.runtime.fail(Some("it was stopped"));
    assert_eq!(refused(&heir).await.kind(), FailureKind::Unavailable);
    mortal.kill();
    // It is not told that nothing can be started: it is told nothing until somebody leads again.
    served(&mut world, &heir).await;
    assert_eq!(theirs.started(), 1);
    let health = heir.health().await;
    assert_eq!(health.status, HealthStatus::Ok, "{:?}", health.reasons);
}
