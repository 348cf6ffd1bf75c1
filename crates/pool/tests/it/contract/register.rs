//! Which gateways there are, and who leads.

use std::time::Duration;

use ccpool::standing::LimitsOverride;

use super::on_every_store;
use super::subject::{KEEP, MOST_OF_IT, POOL, Subject, gateway, place};
use ccpool::store::Reserve;

on_every_store!(
    one_leads_for_as_long_as_it_comes_back,
    a_lease_that_is_over_passes_the_lead_on,
    who_leaves_is_followed_at_once,
    the_last_one_takes_its_fence_along,
    everybody_sees_the_others_in_one_order,
    a_pool_that_redis_does_not_know_counts_as_emptied,
    numbers_never_come_back,
    settings_are_told_to_all,
);

async fn one_leads_for_as_long_as_it_comes_back(subject: &impl Subject) {
    let fence = subject.begin().await;
    for _ in 0..3 {
        subject.pass(MOST_OF_IT).await;
        let follower = subject.attend(&gateway(2)).await;
        assert_eq!((follower.leader, follower.fence), (Some(gateway(1)), None));
        let leader = subject.attend(&gateway(1)).await;
        assert_eq!(leader.leader, Some(gateway(1)));
        assert_eq!(leader.fence, Some(fence), "it is renewed, not given anew");
        assert_eq!(leader.gateways, [gateway(1), gateway(2)]);
    }
}

async fn a_lease_that_is_over_passes_the_lead_on(subject: &impl Subject) {
    let first = subject.begin().await;
    subject.pass(MOST_OF_IT).await;
    subject.attend(&gateway(2)).await;
    subject.pass(MOST_OF_IT).await;
    let next = subject.attend(&gateway(2)).await;
    assert_eq!(next.gateways, [gateway(2)], "the first one is not heard of");
    assert!(next.fence.unwrap() > first);
    // It comes back as one of many.
    let back = subject.attend(&gateway(1)).await;
    assert_eq!((back.leader, back.fence), (Some(gateway(2)), None));
    let late = subject.store().reserve(&place(1, 9), first).await.unwrap();
    assert_eq!(late, Reserve::Fenced);
}

async fn who_leaves_is_followed_at_once(subject: &impl Subject) {
    let first = subject.begin().await;
    subject.attend(&gateway(2)).await;
    subject.store().leave(&gateway(1)).await.unwrap();
    // What it has begun still counts, for nobody has followed yet.
    let begun = subject.store().reserve(&place(1, 9), first).await.unwrap();
    assert_eq!(begun, Reserve::Reserved);
    let next = subject.attend(&gateway(2)).await;
    assert_eq!(next.gateways, [gateway(2)]);
    assert!(next.fence.unwrap() > first);
    let late = subject.store().reserve(&place(2, 9), first).await.unwrap();
    assert_eq!(late, Reserve::Fenced);
}

async fn the_last_one_takes_its_fence_along(subject: &impl Subject) {
    let fence = subject.begin().await;
    subject.store().leave(&gateway(2)).await.unwrap();
    let unchanged = subject.attend(&gateway(1)).await;
    assert_eq!(unchanged.fence, Some(fence), "who was not there cannot go");
    subject.store().leave(&gateway(1)).await.unwrap();
    let late = subject.store().reserve(&place(1, 9), fence).await.unwrap();
    assert_eq!(late, Reserve::Fenced);
}

async fn everybody_sees_the_others_in_one_order(subject: &impl Subject) {
    subject.begin().await;
    // On one host, and none of them leads: one of them must be the one that looks after it.
    let followers = [2, 3, 4];
    for round in 0..2 {
        for number in followers {
            let standing = subject.attend(&gateway(number)).await;
            let all = [1, 2, 3, 4].map(gateway);
            if round > 0 {
                assert_eq!(standing.gateways, all, "as told to gateway {number}");
            }
        }
    }
}

async fn a_pool_that_redis_does_not_know_counts_as_emptied(subject: &impl Subject) {
    let store = subject.store();
    assert!(subject.attend(&gateway(1)).await.emptied);
    assert_eq!(store.pool_id(POOL).await.unwrap(), POOL);
    assert_eq!(store.pool_id("another").await.unwrap(), POOL);
    assert!(!subject.attend(&gateway(1)).await.emptied);
    let other = store.attend(&gateway(1), KEEP, "another").await.unwrap();
    assert!(other.emptied);
    subject.empty().await;
    assert!(subject.attend(&gateway(1)).await.emptied);
}

async fn numbers_never_come_back(subject: &impl Subject) {
    let mut fence = subject.begin().await;
    let mut highest = None;
    for round in 0..4 {
        subject.warm(1, fence).await;
        let (container, number) = subject.claimed("s1", "a").await;
        assert!(Some(number) > highest, "round {round}");
        highest = Some(number);
        let seen = subject.see(&container).await.unwrap();
        subject.store().release(&seen, KEEP).await.unwrap();
        if round % 2 == 0 {
            subject.empty().await;
        } else {
            subject.store().leave(&gateway(1)).await.unwrap();
        }
        let next = subject.begin().await;
        assert!(next > fence, "round {round}");
        fence = next;
    }
}

async fn settings_are_told_to_all(subject: &impl Subject) {
    subject.begin().await;
    let store = subject.store();
    let set = [
        ("minWarm", Some("2".to_owned())),
        ("maxTotal", Some("5".to_owned())),
        ("draining", Some("1".to_owned())),
    ];
    store.set(&set).await.unwrap();
    store.nudge().await.unwrap();
    let told = subject.attend(&gateway(2)).await.settings;
    let limits = LimitsOverride {
        min_warm: Some(2),
        max_total: Some(5),
        max_per_agent: None,
    };
    assert_eq!((told.limits, told.draining), (limits, true));
    let reset = [("minWarm", None), ("draining", None)];
    store.set(&reset).await.unwrap();
    let told = subject.attend(&gateway(1)).await.settings;
    assert_eq!((told.limits.min_warm, told.draining), (None, false));
    assert_eq!(told.limits.max_total, Some(5));
    assert!(store.ping().await.unwrap() < Duration::from_secs(60));
}
