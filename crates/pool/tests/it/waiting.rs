//! Claims that wait are served in their order, the agents taking turns, and go when they go.

use std::time::Duration;

use ccpool::{ClaimRequest, FailureKind, Pool, PoolError, SessionId};
use redis::AsyncCommands;
use tokio::task::JoinHandle;

use crate::support::{World, config, eventually};

type Claim = JoinHandle<Result<ccpool::Claimed, PoolError>>;

fn claim(pool: &Pool, session: &str, agent: &str) -> Claim {
    let request = ClaimRequest {
        session: Some(SessionId::new(session).unwrap()),
        agent: agent.parse().unwrap(),
        ..ClaimRequest::default()
    };
    let pool = pool.clone();
    tokio::spawn(async move { pool.claim(request).await })
}

/// Claims one after the other, each once the one before waits.
async fn queue_up(world: &World, pools: &[&Pool], claims: &[(&str, &str)]) -> Vec<Claim> {
    let mut all = Vec::new();
    for (number, (session, agent)) in claims.iter().enumerate() {
        let pool = pools[number % pools.len()];
        all.push(claim(pool, session, agent));
        world.until("it waits", |s| s.waiting == number + 1).await;
    }
    all
}

/// The sessions in the order in which they are served when one place after the other is freed.
async fn served(world: &mut World, count: usize) -> Vec<String> {
    let mut order: Vec<String> = Vec::new();
    while order.len() < count {
        let known = order.clone();
        let found = eventually("one is served", async || {
            for container in world.containers().await {
                world.report_ready(&container).await;
            }
            let live: Vec<String> = world.connection.hkeys(world.keys.sessions()).await.unwrap();
            let new: Vec<String> = live.into_iter().filter(|s| !known.contains(s)).collect();
            (!new.is_empty()).then_some(new)
        })
        .await;
        assert_eq!(found.len(), 1, "one place, one claim: {found:?}");
        let session = SessionId::new(found[0].as_str()).unwrap();
        order.extend(found);
        world.pool.end(&session).await.unwrap();
    }
    order
}

fn one_place() -> ccpool::config::Config {
    let mut config = config(0, 1);
    config.pool.claim_timeout = Duration::from_secs(60);
    config
}

/// Holds the only place.
async fn hold(world: &mut World) {
    let held = claim(&world.pool, "held", "holder");
    while !held.is_finished() {
        for container in world.containers().await {
            world.report_ready(&container).await;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    held.await.unwrap().unwrap();
}

async fn release(world: &World) {
    let held = SessionId::new("held").unwrap();
    world.pool.end(&held).await.unwrap();
}

#[tokio::test]
async fn first_come_first_served_in_all_gateways() {
    let mut world = World::new(one_place()).await;
    let other = world.another().await;
    hold(&mut world).await;
    let waiting = [("s1", "a"), ("s2", "a"), ("s3", "a"), ("s4", "a")];
    let pools = [&world.pool.clone(), &other];
    let claims = queue_up(&world, &pools, &waiting).await;
    release(&world).await;
    assert_eq!(served(&mut world, 4).await, ["s1", "s2", "s3", "s4"]);
    for claim in claims {
        assert!(claim.await.unwrap().unwrap().waited);
    }
}

#[tokio::test]
async fn agents_take_turns() {
    let mut world = World::new(one_place()).await;
    hold(&mut world).await;
    let waiting = [
        ("a1", "a"),
        ("a2", "a"),
        ("a3", "a"),
        ("b1", "b"),
        ("c1", "c"),
        ("b2", "b"),
    ];
    let pools = [&world.pool.clone()];
    let claims = queue_up(&world, &pools, &waiting).await;
    release(&world).await;
    let order = served(&mut world, 6).await;
    assert_eq!(order, ["a1", "b1", "c1", "a2", "b2", "a3"]);
    for claim in claims {
        claim.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn who_comes_later_does_not_overtake() {
    let mut world = World::new(one_place()).await;
    hold(&mut world).await;
    let pools = [&world.pool.clone()];
    let first = queue_up(&world, &pools, &[("s1", "a")]).await;
    release(&world).await;
    // Claims keep coming while the place is filled again; none of them gets it.
    let mut later = Vec::new();
    eventually("the first one is served", async || {
        later.push(claim(&world.pool, &format!("later-{}", later.len()), "b"));
        for container in world.containers().await {
            world.report_ready(&container).await;
        }
        first[0].is_finished().then_some(())
    })
    .await;
    for claim in first {
        claim.await.unwrap().unwrap();
    }
    later.iter().for_each(JoinHandle::abort);
}

#[tokio::test]
async fn who_goes_leaves_the_queue_at_once() {
    let mut world = World::new(one_place()).await;
    hold(&mut world).await;
    let pools = [&world.pool.clone()];
    let claims = queue_up(&world, &pools, &[("s1", "a"), ("s2", "a")]).await;
    claims[0].abort();
    world.until("it is gone", |s| s.waiting == 1).await;
    release(&world).await;
    assert_eq!(served(&mut world, 1).await, ["s2"]);
    world.until("nobody waits", |s| s.waiting == 0).await;
    let keys = [
        world.keys.waiting(),
        world.keys.tickets(),
        world.keys.fairness(),
    ];
    let left: usize = world.connection.exists(&keys).await.unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn an_agent_at_its_limit_holds_nobody_up() {
    let mut config = config(0, 2);
    config.pool.max_per_agent = 1;
    config.pool.claim_timeout = Duration::from_secs(60);
    let mut world = World::new(config).await;
    hold(&mut world).await;
    let pools = [&world.pool.clone()];
    let limited = queue_up(&world, &pools, &[("h2", "holder")]).await;
    let other = claim(&world.pool, "o1", "other");
    eventually("the other agent is served", async || {
        for container in world.containers().await {
            world.report_ready(&container).await;
        }
        other.is_finished().then_some(())
    })
    .await;
    other.await.unwrap().unwrap();
    assert!(!limited[0].is_finished());
    assert_eq!(
        world.pool.snapshot().await.unwrap().counts.total,
        2,
        "none for it"
    );
    release(&world).await;
    eventually("then it is served too", async || {
        for container in world.containers().await {
            world.report_ready(&container).await;
        }
        limited[0].is_finished().then_some(())
    })
    .await;
}

#[tokio::test]
async fn places_of_a_killed_gateway_are_passed_on() {
    let mut world = World::new(one_place()).await;
    hold(&mut world).await;
    let mortal = world.mortal().await;
    let pools = [&mortal.pool];
    let doomed = queue_up(&world, &pools, &[("s1", "a")]).await;
    let alive = claim(&world.pool, "s2", "a");
    world.until("both wait", |s| s.waiting == 2).await;
    mortal.kill();
    doomed[0].abort();
    // The abort gives no place back: the gateway that would do it is gone.
    release(&world).await;
    eventually("the other one is served", async || {
        for container in world.containers().await {
            world.report_ready(&container).await;
        }
        alive.is_finished().then_some(())
    })
    .await;
    assert_eq!(alive.await.unwrap().unwrap().session.as_str(), "s2");
}

#[tokio::test]
async fn a_session_that_nobody_can_know_of_is_not_kept() {
    let mut world = World::new(one_place()).await;
    let pool = world.pool.clone();
    let claim = tokio::spawn(async move { pool.claim(ClaimRequest::default()).await });
    world.until("it waits", |s| s.waiting == 1).await;
    claim.abort();
    world.until("nobody waits", |s| s.waiting == 0).await;
    for container in world.containers().await {
        world.report_ready(&container).await;
    }
    let snapshot = world.pool.snapshot().await.unwrap();
    assert_eq!(snapshot.counts.assigned, 0);
    let error = {
        let mut config = one_place();
        config.pool.claim_timeout = Duration::from_millis(50);
        let mut short = World::new(config).await;
        hold_or_time_out(&mut short).await
    };
    assert_eq!(error.kind(), FailureKind::Exhausted);
}

async fn hold_or_time_out(world: &mut World) -> PoolError {
    claim(&world.pool, "s", "a").await.unwrap().unwrap_err()
}
