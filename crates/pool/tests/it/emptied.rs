//! Redis loses everything while the gateway and its containers live.

use std::time::Duration;

use ccpool::{ClaimRequest, Prompt, SessionId};
use redis::AsyncCommands;

use crate::support::{PATIENCE, World, config, eventually, next, rest};

async fn flush(world: &mut World) {
    let () = redis::cmd("FLUSHALL")
        .query_async(&mut world.connection)
        .await
        .unwrap();
}

#[tokio::test]
async fn sessions_go_on_and_nothing_is_doubled() {
    let mut world = World::new(config(1, 3)).await;
    world.warm(1).await;
    let serving = world.claim("s1").await;
    world.warm(1).await;
    let session = SessionId::new("s1").unwrap();
    let mut turn = world
        .pool
        .send(&session, Prompt::text("hello"))
        .await
        .unwrap();
    let name = turn.turn.as_str().to_owned();
    // The wrapper has taken it.
    let keys = world.session_keys("s1");
    let () = world.connection.del(&keys.input).await.unwrap();
    let () = world
        .connection
        .hset(&keys.state, "turn", &name)
        .await
        .unwrap();
    world.publish_text("s1", 1, &name, "one").await;
    assert_eq!(next(&mut turn.events).await.event.seq, 1);
    world
        .until("it is seen to be busy", |s| s.counts.busy == 1)
        .await;
    world.looked().await;
    flush(&mut world).await;
    eventually("both are known again", async || {
        let counts = world.pool.snapshot().await.ok()?.counts;
        (counts.total == 2 && counts.busy == 1).then_some(())
    })
    .await;
    world.warm(1).await;
    assert_eq!(world.runtime.started(), 2, "nothing was started anew");
    let live = world
        .pool
        .claim(ClaimRequest {
            session: Some(session.clone()),
            ..ClaimRequest::default()
        })
        .await
        .unwrap();
    assert_eq!((live.container, live.created), (serving, false));
    // Its turn goes on for whoever reads it.
    world.publish_text("s1", 2, &name, "two").await;
    world.publish_completed("s1", 3, &name, "onetwo").await;
    let () = world
        .connection
        .hset(&keys.state, "turn", "")
        .await
        .unwrap();
    assert_eq!(next(&mut turn.events).await.event.seq, 2);
    let last = rest(turn.events).await.pop().unwrap();
    assert!(matches!(last, ccpool::Event::Completed(_)), "{last:?}");
    world.pool.end(&session).await.unwrap();
}

#[tokio::test]
async fn a_claim_in_that_moment_waits_and_is_served() {
    let mut world = World::new(config(1, 2)).await;
    world.warm(1).await;
    world.looked().await;
    flush(&mut world).await;
    let pool = world.pool.clone();
    let claim = tokio::spawn(async move { pool.claim(ClaimRequest::default()).await });
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !claim.is_finished() {
        assert!(tokio::time::Instant::now() < deadline);
        for container in world.containers().await {
            world.report_ready(&container).await;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    claim.await.unwrap().unwrap();
    assert!(world.runtime.started() <= 2);
}

#[tokio::test]
async fn one_that_was_claimed_unseen_is_not_claimed_again() {
    let mut world = World::new(config(1, 2)).await;
    world.warm(1).await;
    let container = world.containers().await.remove(0);
    world.looked().await;
    flush(&mut world).await;
    // Its wrapper registers again, and says what nobody else knows.
    world.report_ready(&container).await;
    let key = world.keys.container(&container).report;
    let () = world
        .connection
        .hset(&key, "session", "unseen")
        .await
        .unwrap();
    eventually("it is removed", async || {
        let failures = world.pool.snapshot().await.ok()?.failures;
        failures
            .iter()
            .any(|f| f.container == container && f.reason.contains("unseen"))
            .then_some(())
    })
    .await;
    world.warm(1).await;
    assert!(!world.containers().await.contains(&container));
}

#[tokio::test]
async fn a_container_that_spoils_its_session_meanwhile_holds_nobody_up() {
    let mut world = World::new(config(1, 3)).await;
    world.warm(1).await;
    world.claim("s1").await;
    world.warm(1).await;
    world.looked().await;
    flush(&mut world).await;
    let state = world.session_keys("s1").state;
    let () = world.connection.set(&state, "spoilt").await.unwrap();
    eventually("both are known again", async || {
        let counts = world.pool.snapshot().await.ok()?.counts;
        (counts.total == 2).then_some(())
    })
    .await;
    world.warm(1).await;
    world.claim("s2").await;
}
