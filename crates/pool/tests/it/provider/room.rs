//! Conversations that rest give way.

use std::time::Duration;

use ccpool::ClaimRequest;

use super::stage::{Stage, Talk, count};
use crate::support::PATIENCE;

#[tokio::test]
async fn the_one_that_rests_for_longest_gives_way_to_another() {
    let stage = Stage::with(|config| config.pool.max_total = 2).await;
    let (mut first, mut second) = (Talk::of("a"), Talk::named("b", "room"));
    let oldest = stage.say(&mut first, "hello").await;
    let kept = stage.say(&mut second, "good day").await;
    let mut third = Talk::of("c");
    let told = stage.say(&mut third, "hi").await;
    stage.ended(&oldest.session).await;
    // It goes on all the same, in the place of the next one.
    let again = stage.say(&mut first, "still there?").await;
    assert_ne!(again.session, oldest.session);
    assert_eq!(count(&stage.asked("still there?"), "\nhello\n"), 1);
    stage.ended(&kept.session).await;
    let on = stage.say(&mut third, "and you?").await;
    assert_eq!(on.session, told.session);
    stage.stop().await;
}

#[tokio::test]
async fn an_agents_own_conversations_give_way_at_its_limit() {
    let stage = Stage::with(|config| config.pool.max_per_agent = 1).await;
    let mut other = Talk::of("a");
    other.0.agent = "other".parse().unwrap();
    let other = stage.say(&mut other, "hello").await;
    let first = stage.say(&mut Talk::of("a"), "hello").await;
    let claimed = stage.pool.claim(ClaimRequest::default()).await.unwrap();
    stage.ended(&first.session).await;
    let mut expected = vec![other.session.to_string(), claimed.session.to_string()];
    expected.sort();
    assert_eq!(stage.live().await, expected);
    stage.stop().await;
}

#[tokio::test]
async fn who_may_not_wait_waits_for_the_room_that_was_made() {
    for time in [Duration::ZERO, Duration::from_millis(100)] {
        let stage = Stage::with(|config| {
            config.pool.max_total = 1;
            config.pool.claim_timeout = time;
        })
        .await;
        stage.pool.wait_warm(1, PATIENCE).await.unwrap();
        let (mut first, mut second) = (Talk::of("a"), Talk::of("b"));
        let resting = stage.say(&mut first, "hello").await;
        let told = stage.say(&mut second, "good day").await;
        assert_eq!(stage.live().await, [told.session.to_string()]);
        let again = stage.say(&mut first, "still there?").await;
        assert_ne!(again.session, resting.session);
        assert_eq!(count(&stage.asked("still there?"), "\nhello\n"), 1);
        stage.stop().await;
    }
}

#[tokio::test]
async fn an_agents_conversation_gives_way_though_nobody_may_wait() {
    let stage = Stage::with(|config| {
        config.pool.max_per_agent = 1;
        config.pool.claim_timeout = Duration::ZERO;
    })
    .await;
    stage.pool.wait_warm(1, PATIENCE).await.unwrap();
    let first = stage.say(&mut Talk::of("a"), "hello").await;
    let claimed = stage.pool.claim(ClaimRequest::default()).await.unwrap();
    assert_ne!(claimed.session, first.session);
    assert_eq!(stage.live().await, [claimed.session.to_string()]);
    stage.stop().await;
}
