//! Places under the cap, and containers on their way in and out.

use std::time::Duration;

use ccpool::protocol::record::{ContainerState, field};
use ccpool::standing::Fence;
use ccpool::store::{ClaimOutcome, Condition, Reserve, Retired, StoreError};
use ccpool::{Container, ContainerId};

use super::on_every_store;
use super::subject::{KEEP, MOST_OF_IT, Subject, gateway, place, session, terms};

pub(super) const OUT: ContainerState = ContainerState::Draining;

on_every_store!(
    no_place_is_given_above_the_cap,
    who_does_not_lead_is_refused,
    what_is_asked_of_an_emptied_one_is_an_error,
    a_note_is_kept_of_what_is_known,
    only_what_is_ready_becomes_claimable,
    what_is_out_of_service_is_not_claimed,
    it_goes_only_if_it_is_as_it_was_seen,
    a_session_ends_with_its_container_and_stays_readable,
    a_session_that_moved_on_is_left_alone,
    a_claim_that_was_not_seen_is_forgotten_with_its_container,
    every_container_is_listed_with_what_it_does,
);

async fn retire(
    subject: &impl Subject,
    container: &ContainerId,
    condition: Condition<'_>,
    fence: Option<Fence>,
) -> Retired {
    let asked = subject
        .store()
        .retire(container, OUT, "why", condition, fence);
    asked.await.unwrap()
}

async fn no_place_is_given_above_the_cap(subject: &impl Subject) {
    let fence = subject.begin().await;
    let store = subject.store();
    for number in 1..=2 {
        let reserved = store.reserve(&place(number, 2), fence).await.unwrap();
        assert_eq!(reserved, Reserve::Reserved);
    }
    let over = store.reserve(&place(3, 2), fence).await.unwrap();
    assert_eq!(over, Reserve::AtCap);
    assert_eq!(store.containers().await.unwrap().len(), 2);
    // One that is on its way out still takes its place, until it is forgotten.
    let first = place(1, 2).container;
    assert_eq!(
        retire(subject, &first, Condition::None, Some(fence)).await,
        Retired::Out(None)
    );
    let over = store.reserve(&place(3, 2), fence).await.unwrap();
    assert_eq!(over, Reserve::AtCap);
    let seen = subject.see(&first).await.unwrap();
    store.release(&seen, KEEP).await.unwrap();
    let freed = store.reserve(&place(3, 2), fence).await.unwrap();
    assert_eq!(freed, Reserve::Reserved);
}

async fn who_does_not_lead_is_refused(subject: &impl Subject) {
    let fence = subject.begin().await;
    let (stale, container) = (Fence(fence.0 - 1), subject.warm(1, fence).await);
    let store = subject.store();
    let creating = place(2, 9);
    store.reserve(&creating, fence).await.unwrap();
    subject.ready(&creating.container).await;
    let before = store.containers().await.unwrap();

    let reserved = store.reserve(&place(3, 9), stale).await.unwrap();
    assert_eq!(reserved, Reserve::Fenced);
    let promoted = store.promote(&creating.container, false, Some(stale));
    assert!(!promoted.await.unwrap());
    let retired = retire(subject, &container, Condition::None, Some(stale)).await;
    assert_eq!(retired, Retired::Moved);
    let lost = Container::reserved(ContainerId::from_random(4), "here", "print", 1);
    assert!(!store.restore(&lost, stale).await.unwrap());
    let adopted = store.adopt(&before[0], &gateway(2), stale).await.unwrap();
    assert!(!adopted);

    assert_eq!(store.containers().await.unwrap(), before);
    // Who looks after a host without leading asks without a fence.
    assert!(
        store
            .promote(&creating.container, false, None)
            .await
            .unwrap()
    );
    let retired = retire(subject, &container, Condition::None, None).await;
    assert_eq!(retired, Retired::Out(None));
}

async fn what_is_asked_of_an_emptied_one_is_an_error(subject: &impl Subject) {
    let fence = subject.begin().await;
    let container = subject.warm(1, fence).await;
    let store = subject.store();
    let unknown = ContainerId::from_random(9);
    assert!(store.container(&unknown).await.unwrap().is_none());
    assert!(
        store
            .session_state(&session("s1"))
            .await
            .unwrap()
            .is_empty()
    );
    subject.empty().await;
    let emptied = |error: Option<StoreError>| matches!(error, Some(StoreError::Emptied));
    assert!(emptied(store.containers().await.err()));
    assert!(emptied(store.container(&container).await.err()));
    assert!(emptied(store.session_state(&session("s1")).await.err()));
    // A fence that it has forgotten is nobody's.
    let reserved = store.reserve(&place(2, 9), fence).await.unwrap();
    assert_eq!(reserved, Reserve::Fenced);
    assert_eq!(
        retire(subject, &container, Condition::None, None).await,
        Retired::Gone
    );
}

async fn a_note_is_kept_of_what_is_known(subject: &impl Subject) {
    let fence = subject.begin().await;
    let container = subject.warm(1, fence).await;
    let store = subject.store();
    store
        .note(&container, field::RUNTIME_ID, "r1")
        .await
        .unwrap();
    let seen = store.container(&container).await.unwrap().unwrap();
    assert_eq!(seen.runtime_id.as_deref(), Some("r1"));
    assert_eq!(seen.fingerprint, "print-1");
    assert_eq!(seen.host, "here");
    store.release(&seen, KEEP).await.unwrap();
    store
        .note(&container, field::RUNTIME_ID, "r2")
        .await
        .unwrap();
    assert!(store.container(&container).await.unwrap().is_none());
    assert!(store.containers().await.unwrap().is_empty());
}

async fn only_what_is_ready_becomes_claimable(subject: &impl Subject) {
    let fence = subject.begin().await;
    let store = subject.store();
    let place = place(1, 9);
    let id = &place.container;
    let promote = async |tools| store.promote(id, tools, Some(fence)).await.unwrap();
    assert!(!promote(false).await, "there is none");
    store.reserve(&place, fence).await.unwrap();
    assert!(!promote(false).await, "claude has not answered");
    subject.ready(id).await;
    assert!(!promote(true).await, "its tools were not listed");
    store.note(id, field::TOOLS_LISTED_AT, "1").await.unwrap();
    assert!(promote(true).await);
    assert!(!promote(true).await, "it is warm already");
    let seen = subject.see(id).await.unwrap();
    assert_eq!(seen.state, ContainerState::Warm);
    assert!(seen.warm_at >= Some(seen.created_at));
    assert!(seen.ready_at.is_some() && seen.registered_at.is_some());
}

async fn what_is_out_of_service_is_not_claimed(subject: &impl Subject) {
    let fence = subject.begin().await;
    let container = subject.warm(1, fence).await;
    let store = subject.store();
    retire(subject, &container, Condition::None, None).await;
    subject.waits("s1", "a").await;
    let seen = subject.see(&container).await.unwrap();
    assert_eq!(
        (seen.state, seen.reason.as_deref()),
        (ContainerState::Draining, Some("why"))
    );
    // It may turn out to be broken; that it has failed is then the last word.
    for (to, reason) in [(ContainerState::Failed, "broken"), (OUT, "again")] {
        let retired = store.retire(&container, to, reason, Condition::None, None);
        assert_eq!(retired.await.unwrap(), Retired::Out(None));
        let seen = subject.see(&container).await.unwrap();
        assert_eq!(
            (seen.state, seen.reason.as_deref()),
            (ContainerState::Failed, Some("broken"))
        );
    }
    let unknown = ContainerId::from_random(9);
    assert_eq!(
        retire(subject, &unknown, Condition::None, None).await,
        Retired::Gone
    );
}

async fn it_goes_only_if_it_is_as_it_was_seen(subject: &impl Subject) {
    let fence = subject.begin().await;
    let container = subject.warm(1, fence).await;
    let (mine, other) = (session("s1"), session("s2"));
    let warm = Condition::Serves(&mine);
    assert_eq!(
        retire(subject, &container, warm, None).await,
        Retired::Moved
    );
    subject.claimed("s1", "a").await;
    let at = async || {
        let seen = subject.see(&container).await.unwrap();
        seen.activity.unwrap().last_activity
    };
    let since = at().await;
    let not_so = async |condition, what: &str| {
        let retired = retire(subject, &container, condition, Some(fence)).await;
        assert_eq!(retired, Retired::Moved, "{what}");
    };
    not_so(Condition::Serves(&other), "it serves another one").await;
    not_so(Condition::Quiet(&other, since), "it serves another one").await;
    not_so(Condition::Quiet(&mine, since + 1), "something happened").await;
    subject.write_state(&mine, &[("turn", "t1")]).await;
    not_so(Condition::Quiet(&mine, since), "a turn runs").await;
    subject.write_state(&mine, &[("turn", "")]).await;
    subject.tick().await;
    let turn = "t2".parse().unwrap();
    let pushed = subject.store().push(&mine, &turn, "{}", None, None);
    pushed.await.unwrap();
    not_so(Condition::Quiet(&mine, since), "a prompt has come").await;
    let seen = subject.see(&container).await.unwrap();
    assert_eq!(seen.state, ContainerState::Assigned);
    let quiet = Condition::Quiet(&mine, at().await);
    assert_eq!(
        retire(subject, &container, quiet, Some(fence)).await,
        Retired::Out(Some(mine.clone()))
    );
    let draining = subject.claim(&terms("s1", "a")).await;
    assert_eq!(draining, ClaimOutcome::Draining(container));
}

async fn a_session_ends_with_its_container_and_stays_readable(subject: &impl Subject) {
    let fence = subject.begin().await;
    subject.warm(1, fence).await;
    let (container, _) = subject.claimed("s1", "a").await;
    let (store, id) = (subject.store(), session("s1"));
    subject.write_buffer(&id, &["{\"seq\":1}".to_owned()]).await;
    let numbers = [("batch", "7"), ("turns", "3"), ("costUsd", "0.5")];
    subject.write_state(&id, &numbers).await;
    let seen = subject.see(&container).await.unwrap();
    store.release(&seen, KEEP).await.unwrap();
    assert!(store.sessions().await.unwrap().is_empty());
    assert!(store.containers().await.unwrap().is_empty());
    let state = store.session_state(&id).await.unwrap();
    assert_eq!(
        (state["status"].as_str(), state["turn"].as_str()),
        ("ended", "")
    );
    assert!(state.contains_key("endedAt"));
    // To forget it twice changes nothing.
    store.release(&seen, KEEP).await.unwrap();

    subject.pass(MOST_OF_IT).await;
    assert_eq!(store.page(&id, None).await.unwrap().envelopes.len(), 1);
    // In its next life it keeps what it had, for good.
    subject.attend(&gateway(1)).await;
    subject.warm(2, fence).await;
    subject.claimed("s1", "a").await;
    subject.pass(MOST_OF_IT).await;
    assert_eq!(store.page(&id, None).await.unwrap().envelopes.len(), 1);
    let state = store.session_state(&id).await.unwrap();
    assert_eq!(state["status"], "assigned");
    assert!(!state.contains_key("endedAt") && !state.contains_key("batch"));
    // Its numbers go on, as those of its envelopes and its transcript do.
    assert_eq!(
        (state["turns"].as_str(), state["costUsd"].as_str()),
        ("3", "0.5")
    );

    let container = ContainerId::from_random(2);
    let seen = subject.see(&container).await.unwrap();
    store.release(&seen, MOST_OF_IT).await.unwrap();
    subject.pass(KEEP).await;
    assert!(store.session_state(&id).await.unwrap().is_empty());
    assert!(store.page(&id, None).await.unwrap().envelopes.is_empty());
}

async fn a_session_that_moved_on_is_left_alone(subject: &impl Subject) {
    let fence = subject.begin().await;
    subject.warm(1, fence).await;
    let (first, _) = subject.claimed("s1", "a").await;
    let store = subject.store();
    let seen = subject.see(&first).await.unwrap();
    store.release(&seen, KEEP).await.unwrap();
    subject.warm(2, fence).await;
    let (second, _) = subject.claimed("s1", "a").await;
    store.release(&seen, Duration::ZERO).await.unwrap();
    let live = store.sessions().await.unwrap();
    assert_eq!(live, [(session("s1"), second.clone())]);
    let state = store.session_state(&session("s1")).await.unwrap();
    assert_eq!(state["status"], "assigned");
    assert_eq!(state["containerId"], second.as_str());
}

/// A claim may come between the look at a container and its end. Its agent has its place back.
async fn a_claim_that_was_not_seen_is_forgotten_with_its_container(subject: &impl Subject) {
    let fence = subject.begin().await;
    for round in 0..3 {
        let container = subject.warm(round, fence).await;
        let seen = subject.see(&container).await.unwrap();
        subject.claimed("s1", "limited").await;
        let Retired::Out(session) = retire(subject, &container, Condition::None, None).await else {
            panic!("it is known");
        };
        assert!(session.is_some());
        let gone = Container { session, ..seen };
        subject.store().release(&gone, KEEP).await.unwrap();
        assert!(subject.store().sessions().await.unwrap().is_empty());
        // As a session with a name of its own, so that it counts.
        let container = subject.warm(10 + round, fence).await;
        let seen = subject.see(&container).await.unwrap();
        subject.claimed(&format!("own-{round}"), "limited").await;
        retire(subject, &container, Condition::None, None).await;
        let session = Some(self::session(&format!("own-{round}")));
        let gone = Container { session, ..seen };
        subject.store().release(&gone, KEEP).await.unwrap();
    }
}

async fn every_container_is_listed_with_what_it_does(subject: &impl Subject) {
    let fence = subject.begin().await;
    for number in 1..=2 {
        subject.warm(number, fence).await;
    }
    let (container, number) = subject.claimed("s1", "a").await;
    let seen = subject.see(&container).await.unwrap();
    assert_eq!(
        (seen.session, seen.agent),
        (Some(session("s1")), Some("a".parse().unwrap()))
    );
    assert_eq!(seen.owner, Some(gateway(1).to_string()));
    assert_eq!(seen.claim, Some(number));
    assert!(seen.undelivered && seen.assigned_at.is_some());
    assert_eq!(seen.activity.unwrap().turn, None);
    subject.deliver(&container, &session("s1"), number).await;
    subject
        .write_state(&session("s1"), &[("turn", "t1"), ("seq", "4")])
        .await;
    subject.report(&container, &[("session", "s1")]).await;
    let seen = subject.see(&container).await.unwrap();
    assert!(!seen.undelivered && seen.is_busy());
    assert_eq!(seen.said_session, Some(session("s1")));
    let other = subject.see(&ContainerId::from_random(2)).await.unwrap();
    assert_eq!((other.state, other.activity), (ContainerState::Warm, None));
    let serving = session("s1");
    let stopped = subject.store().stop(&container, Some(&serving));
    stopped.await.unwrap();
}
