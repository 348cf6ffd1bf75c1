//! Claims: one winner, limits, waiting.

use std::collections::BTreeSet;
use std::time::Duration;

use ccpool::{ClaimRequest, FailureKind, PoolError, SessionId};
use redis::AsyncCommands;

use crate::support::{PATIENCE, World, config};

fn request(session: &str, agent: &str) -> ClaimRequest {
    ClaimRequest {
        session: Some(SessionId::new(session).unwrap()),
        agent: agent.parse().unwrap(),
        ..ClaimRequest::default()
    }
}

#[tokio::test]
async fn a_claimed_container_gets_its_assignment_its_name_and_a_successor() {
    let mut world = World::new(config(1, 3)).await;
    world.warm(1).await;
    let claimed = world
        .pool
        .claim(request("agent:main:t1", "main"))
        .await
        .unwrap();
    assert!(claimed.created && !claimed.waited);

    let inbox = world.keys.container(&claimed.container).inbox;
    let assignment: String = world.connection.lindex(inbox, 0).await.unwrap();
    assert_eq!(assignment, r#"{"session":"agent:main:t1","agent":"main"}"#);
    let status: String = world
        .connection
        .hget(world.session_keys("agent:main:t1").state, "status")
        .await
        .unwrap();
    assert_eq!(status, "assigned");

    world.warm(1).await;
    world
        .until("renamed", |_| {
            world.runtime.name_of(&claimed.container).as_deref() == Some("_agent_cmain_ct1")
        })
        .await;
    let again = world
        .pool
        .claim(request("agent:main:t1", "main"))
        .await
        .unwrap();
    assert_eq!((again.container, again.created), (claimed.container, false));
}

#[tokio::test]
async fn fifty_claims_at_once_share_no_container() {
    let mut world = World::new(config(10, 10)).await;
    world.warm(10).await;
    let mut claims = tokio::task::JoinSet::new();
    for number in 0..50 {
        let pool = world.pool.clone();
        let request = request(&format!("s{number}"), &format!("a{}", number % 7));
        claims.spawn(async move {
            // Nobody gives a container back, so the others are refused at their deadline.
            tokio::time::timeout(Duration::from_secs(2), pool.claim(request)).await
        });
    }
    let outcomes = claims.join_all().await;
    let won: Vec<_> = outcomes
        .iter()
        .flatten()
        .flatten()
        .map(|c| c.container.clone())
        .collect();
    assert_eq!(won.len(), 10);
    assert_eq!(won.iter().collect::<BTreeSet<_>>().len(), 10);
}

#[tokio::test]
async fn a_claim_at_the_cap_gets_what_is_warm_and_then_waits_for_what_is_freed() {
    let mut world = World::new(config(2, 2)).await;
    world.warm(2).await;
    world.claim("s1").await;
    world.claim("s2").await;
    let waiting = {
        let pool = world.pool.clone();
        tokio::spawn(async move { pool.claim(request("s3", "main")).await })
    };
    world
        .until("a claim waits", |snapshot| snapshot.waiting == 1)
        .await;
    world
        .pool
        .end(&SessionId::new("s1").unwrap())
        .await
        .unwrap();
    world.warm(0).await;
    // The freed place is filled, and the new container goes to whoever waits.
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !waiting.is_finished() {
        assert!(tokio::time::Instant::now() < deadline);
        for container in world.containers().await {
            world.report_ready(&container).await;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let claimed = waiting.await.unwrap().unwrap();
    assert!(claimed.created && claimed.waited);
    assert!(world.pool.snapshot().await.unwrap().counts.total <= 2);
}

#[tokio::test]
async fn exhaustion_is_typed_and_names_the_limit() {
    let mut limited = config(2, 2);
    limited.pool.max_per_agent = 1;
    limited.pool.claim_timeout = Duration::from_millis(50);
    let mut world = World::new(limited).await;
    world.warm(2).await;
    world.claim("s1").await;
    let error = world.pool.claim(request("s2", "main")).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Exhausted);
    assert!(
        error.retry_after().is_some() && error.to_string().contains("agent"),
        "{error}"
    );
    world.pool.claim(request("s3", "other")).await.unwrap();
    let error = world.pool.claim(request("s4", "third")).await.unwrap_err();
    assert!(matches!(error, PoolError::Exhausted { .. }), "{error:?}");
    assert!(error.to_string().contains("maxTotal"), "{error}");
    assert_eq!(world.pool.snapshot().await.unwrap().waiting, 0);
}

#[tokio::test]
async fn a_claim_without_spares_starts_a_container() {
    let mut world = World::new(config(0, 1)).await;
    let claim = {
        let pool = world.pool.clone();
        tokio::spawn(async move { pool.claim(ClaimRequest::default()).await })
    };
    while !claim.is_finished() {
        for container in world.containers().await {
            world.report_ready(&container).await;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(claim.await.unwrap().unwrap().waited);
}

#[tokio::test]
async fn a_claim_that_waits_in_vain_is_told_why() {
    let mut failing = config(0, 2);
    failing.pool.claim_timeout = Duration::from_millis(400);
    failing.timeouts.startup = Duration::from_millis(50);
    let world = World::new(failing).await;
    let error = world.pool.claim(request("s1", "main")).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Unavailable);
    assert!(error.to_string().contains("never reached Redis"), "{error}");

    // A runtime that does not answer ends the wait at once.
    let mut patient = config(0, 2);
    patient.pool.claim_timeout = Duration::from_secs(3600);
    let world = World::new(patient).await;
    world.runtime.fail(Some("the daemon sleeps"));
    let claim = world.pool.claim(request("s1", "main"));
    let error = tokio::time::timeout(PATIENCE, claim)
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(error.kind(), FailureKind::Unavailable);
    assert!(error.to_string().contains("the daemon sleeps"), "{error}");
}
