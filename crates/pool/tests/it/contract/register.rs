//! Which gateways there are, and who leads.

use std::time::Duration;

use ccpool::standing::{Fence, LimitsOverride};

use super::on_every_store;
use super::subject::{KEEP, MOST_OF_IT, POOL, Subject, gateway, place};
use ccpool::store::{LookNumber, Outlook, Reserve};

on_every_store!(
    one_leads_for_as_long_as_it_comes_back,
    a_lease_that_is_over_passes_the_lead_on,
    who_leaves_is_followed_at_once,
    the_last_one_takes_its_fence_along,
    everybody_sees_the_others_in_one_order,
    a_pool_that_redis_does_not_know_counts_as_emptied,
    numbers_never_come_back,
    settings_are_told_to_all,
    what_the_leader_says_is_told_to_all,
    what_a_leader_says_goes_with_its_lease,
    what_a_leader_says_goes_when_it_leaves,
    numbers_of_looks_never_come_back,
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

async fn what_the_leader_says_is_told_to_all(subject: &impl Subject) {
    let fence = subject.begin().await;
    let store = subject.store();
    let told = async |number| subject.attend(&gateway(number)).await.trouble;
    assert_eq!((told(1).await, told(2).await), (None, None));
    assert_eq!(subject.outlook().await, Outlook::default());
    assert!(
        store.say(None, fence).await.unwrap(),
        "nothing is to be taken back"
    );

    let first = subject.trouble("it sleeps", fence).await.unwrap();
    let sleeps = Some("it sleeps".to_owned());
    assert_eq!(
        (told(1).await, told(2).await),
        (sleeps.clone(), sleeps.clone())
    );
    let outlook = subject.outlook().await;
    assert_eq!(
        (&outlook.trouble, outlook.drawn),
        (&sleeps.map(|why| (why, first)), first)
    );
    // What is drawn has not been said yet.
    let second = store.draw(fence).await.unwrap().unwrap();
    assert!(second > first, "{second:?} after {first:?}");
    let meanwhile = subject.outlook().await;
    assert_eq!(
        (&meanwhile.trouble, meanwhile.drawn),
        (&outlook.trouble, second)
    );
    assert!(
        store
            .say(Some(("it is gone", second)), fence)
            .await
            .unwrap()
    );
    let outlook = subject.outlook().await;
    assert_eq!(outlook.trouble, Some(("it is gone".to_owned(), second)));

    let nobody = Fence(fence.0 - 1);
    assert_eq!(store.draw(nobody).await.unwrap(), None);
    for late in [None, Some(("late", second))] {
        assert!(!store.say(late, nobody).await.unwrap());
    }
    assert_eq!(subject.outlook().await, outlook);
    assert!(store.say(None, fence).await.unwrap());
    assert_eq!((told(1).await, told(2).await), (None, None));
    let last = subject.outlook().await;
    assert_eq!((last.trouble, last.drawn), (None, second));
}

async fn what_a_leader_says_goes_with_its_lease(subject: &impl Subject) {
    let first = subject.begin().await;
    let number = subject.trouble("it sleeps", first).await.unwrap();
    // It lasts for as long as the leader comes back.
    subject.pass(MOST_OF_IT).await;
    subject.attend(&gateway(1)).await;
    subject.pass(MOST_OF_IT).await;
    subject.attend(&gateway(2)).await;
    assert!(subject.outlook().await.trouble.is_some());
    // Nobody has followed it yet.
    subject.pass(MOST_OF_IT).await;
    assert_eq!(subject.outlook().await.trouble, None);
    assert_eq!(subject.store().draw(first).await.unwrap(), None);
    let late = subject.store().say(Some(("late", number)), first).await;
    assert!(!late.unwrap(), "it has no lease that this could last for");
    let next = subject.attend(&gateway(2)).await;
    assert_eq!(
        (next.trouble, subject.outlook().await.trouble),
        (None, None)
    );
    assert_eq!(subject.trouble("late", first).await, None);
    assert_eq!(subject.attend(&gateway(1)).await.trouble, None);
    let own = subject
        .trouble("it sleeps here too", next.fence.unwrap())
        .await;
    assert!(own > Some(number));
    assert!(subject.outlook().await.trouble.is_some());
}

async fn what_a_leader_says_goes_when_it_leaves(subject: &impl Subject) {
    let fence = subject.begin().await;
    subject.attend(&gateway(2)).await;
    subject.trouble("it sleeps", fence).await.unwrap();
    subject.store().leave(&gateway(2)).await.unwrap();
    assert!(subject.outlook().await.trouble.is_some());
    subject.attend(&gateway(2)).await;
    subject.store().leave(&gateway(1)).await.unwrap();
    assert_eq!(subject.outlook().await.trouble, None);
    assert_eq!(subject.trouble("late", fence).await, None);
    assert_eq!(subject.attend(&gateway(2)).await.trouble, None);
}

async fn numbers_of_looks_never_come_back(subject: &impl Subject) {
    let mut highest = LookNumber(0);
    for round in 0..6 {
        let fence = subject.begin().await;
        subject.tick().await;
        let number = subject.trouble("why", fence).await.unwrap();
        assert!(
            number > highest,
            "round {round}: {number:?} after {highest:?}"
        );
        highest = number;
        match round % 3 {
            0 => subject.empty().await,
            1 => drop(subject.store().leave(&gateway(1)).await.unwrap()),
            _ => subject.pass(MOST_OF_IT * 2).await,
        }
    }
}
