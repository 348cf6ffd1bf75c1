//! Several gateways on one Redis: one leads, claims and sessions are everybody's, and what one leaves
//! behind another takes over.

use std::time::Duration;

use ccpool::{ClaimRequest, FailureKind, LimitsChange, Prompt, SessionId};
use redis::AsyncCommands;

use crate::support::{World, config, eventually, next};

fn session(name: &str) -> SessionId {
    SessionId::new(name).unwrap()
}

fn request(name: &str, agent: &str) -> ClaimRequest {
    ClaimRequest {
        session: Some(session(name)),
        agent: agent.parse().unwrap(),
        ..ClaimRequest::default()
    }
}

#[tokio::test]
async fn one_leads_and_everybody_claims() {
    let mut world = World::new(config(2, 4)).await;
    let other = world.another().await;
    world.warm(2).await;
    let gateways = other.snapshot().await.unwrap().gateways;
    assert_eq!(gateways.len(), 2, "{gateways:?}");
    assert_eq!(gateways.iter().filter(|g| g.leads).count(), 1);

    let claimed = other.claim(request("s1", "main")).await.unwrap();
    let again = world.pool.claim(request("s1", "main")).await.unwrap();
    assert_eq!((again.container, again.created), (claimed.container, false));

    // A prompt sent through one is read through the other.
    let mut events = world.pool.events(&session("s1"), None).await.unwrap();
    other
        .send(&session("s1"), Prompt::text("hello"))
        .await
        .unwrap();
    world.publish_text("s1", 1, "t", "words").await;
    assert_eq!(next(&mut events).await.event.seq, 1);

    // What the follower has claimed the leader replaces.
    world.warm(2).await;
    assert!(world.runtime.started() == 3, "{}", world.runtime.started());
    other.end(&session("s1")).await.unwrap();
    other.shutdown(Duration::from_secs(5)).await;
    world.pool.shutdown(Duration::from_secs(5)).await;
    assert!(world.containers().await.is_empty());
}

#[tokio::test]
async fn the_next_one_leads_and_takes_over_what_a_killed_one_held() {
    let mut world = World::new(config(1, 4)).await;
    let mortal = world.mortal().await;
    let first = std::mem::replace(&mut world.pool, mortal.pool.clone());
    first.shutdown(Duration::from_secs(5)).await;
    world
        .until("it leads", |s| s.gateways.len() == 1 && s.gateways[0].leads)
        .await;
    world.warm(1).await;
    world.claim("s1").await;
    world.warm(1).await;
    world.pool = world.another().await;
    mortal.kill();
    world
        .until("another one leads and holds the claim", |snapshot| {
            let me = snapshot.gateways.iter().find(|g| g.me).unwrap();
            let mut all = snapshot.containers.iter();
            let held = all.find(|c| c.session.is_some());
            snapshot.gateways.len() == 1
                && me.leads
                && held.is_some_and(|c| c.owner.as_ref() == Some(&me.gateway))
        })
        .await;
    // Warm ones were kept, and are still replaced.
    world.claim("s2").await;
    world.warm(1).await;
    assert_eq!(world.runtime.started(), 3);
}

#[tokio::test]
async fn who_has_lost_the_lead_changes_nothing() {
    let mut world = World::new(config(1, 2)).await;
    world.warm(1).await;
    // As if it had been frozen while another one took the lead.
    let leader = world.keys.leader();
    let () = world
        .connection
        .hset_multiple(
            &leader,
            &[
                ("owner", "g-000000000000@elsewhere"),
                ("fence", "9007199254740000"),
                ("until", "9007199254740000"),
            ],
        )
        .await
        .unwrap();
    let started = world.runtime.started();
    world.claim("s1").await;
    eventually("it has noticed", async || {
        let snapshot = world.pool.snapshot().await.unwrap();
        (!snapshot.gateways.iter().any(|g| g.me && g.leads)).then_some(())
    })
    .await;
    assert_eq!(world.runtime.started(), started, "no successor was started");
    let () = world.connection.hdel(&leader, "owner").await.unwrap();
    world
        .until("it leads again", |s| s.gateways.iter().any(|g| g.leads))
        .await;
    world.warm(1).await;
}

#[tokio::test]
async fn limits_change_in_all_gateways_at_once_and_sessions_stay() {
    let mut world = World::new(config(1, 3)).await;
    let other = world.another().await;
    world.warm(1).await;
    world.claim("s1").await;
    let more = LimitsChange {
        min_warm: Some(Some(2)),
        ..LimitsChange::default()
    };
    assert_eq!(other.resize(more).await.unwrap().min_warm, 2);
    world.warm(2).await;
    let less = LimitsChange {
        min_warm: Some(Some(0)),
        max_total: Some(Some(1)),
        ..LimitsChange::default()
    };
    world.pool.resize(less).await.unwrap();
    world
        .until("the spares are gone, the session is not", |s| {
            s.counts.total == 1 && s.counts.assigned == 1
        })
        .await;
    let told = other.snapshot().await.unwrap();
    assert_eq!(
        (told.limits.max_total, told.overridden.max_total),
        (1, Some(1))
    );
    let warnings = other.health().await.warnings;
    assert!(
        warnings.iter().any(|w| w.contains("--reset")),
        "{warnings:?}"
    );

    let bad = LimitsChange {
        min_warm: Some(Some(9)),
        ..LimitsChange::default()
    };
    let error = other.resize(bad).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::InvalidRequest);
    let reset = LimitsChange {
        min_warm: Some(None),
        max_total: Some(None),
        max_per_agent: Some(None),
    };
    assert_eq!(other.resize(reset).await.unwrap().max_total, 3);
    world.warm(1).await;
}

#[tokio::test]
async fn draining_is_the_whole_pools() {
    let mut world = World::new(config(1, 3)).await;
    let other = world.another().await;
    world.warm(1).await;
    other.drain(true).await.unwrap();
    world
        .until("drained", |s| s.draining && s.counts.total == 0)
        .await;
    let error = world.pool.claim(request("s1", "main")).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Exhausted);
    world.pool.drain(false).await.unwrap();
    world.warm(1).await;
    other.claim(request("s1", "main")).await.unwrap();
}

#[tokio::test]
async fn who_leaves_leaves_containers_to_the_others_on_its_host() {
    let mut world = World::new(config(1, 3)).await;
    let other = world.another().await;
    world.warm(1).await;
    let container = world.claim("s1").await;
    world.warm(1).await;
    let first = std::mem::replace(&mut world.pool, other);
    first.shutdown(Duration::from_secs(5)).await;
    world
        .until("the other one leads", |s| {
            s.gateways.iter().any(|g| g.me && g.leads)
        })
        .await;
    let live = world.pool.claim(request("s1", "main")).await.unwrap();
    assert_eq!((live.container, live.created), (container, false));
    assert_eq!(world.runtime.started(), 2, "nothing was started anew");
}

#[tokio::test]
async fn gateways_that_all_leave_at_once_leave_nothing_behind() {
    let mut world = World::new(config(2, 4)).await;
    let [second, third] = [world.another().await, world.another().await];
    world.warm(2).await;
    world.claim("s1").await;
    let patience = Duration::from_secs(5);
    tokio::join!(
        world.pool.shutdown(patience),
        second.shutdown(patience),
        third.shutdown(patience)
    );
    assert!(world.containers().await.is_empty());
    let left: usize = world
        .connection
        .exists(&[world.keys.gateways(), world.keys.leader()])
        .await
        .unwrap();
    assert_eq!(left, 0);
}
