//! Conversations that rest give way.

use ccpool::ClaimRequest;

use super::stage::{Stage, Talk, count};

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
