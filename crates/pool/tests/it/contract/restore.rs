//! Writing down again what an emptied Redis has lost.

use ccpool::protocol::record::ContainerState;
use ccpool::store::{ClaimOutcome, Reserve};
use ccpool::{Container, ContainerId};

use super::on_every_store;
use super::subject::{KEEP, Subject, gateway, place, session, terms};

on_every_store!(
    sessions_are_there_again_and_warm_ones_become_ready_anew,
    what_is_there_already_is_not_overwritten,
    two_containers_never_serve_one_session,
    a_container_never_serves_two_sessions,
    those_on_their_way_out_go_on,
);

/// Loses everything, and begins to lead again.
async fn lost(subject: &impl Subject) -> (Vec<Container>, ccpool::standing::Fence) {
    let all = subject.store().containers().await.unwrap();
    subject.empty().await;
    let fence = subject.attend(&gateway(1)).await.fence.unwrap();
    (all, fence)
}

async fn sessions_are_there_again_and_warm_ones_become_ready_anew(subject: &impl Subject) {
    let fence = subject.begin().await;
    let serving = subject.warm(1, fence).await;
    let spare = subject.warm(2, fence).await;
    let (_, number) = subject.claimed("s1", "a").await;
    let id = session("s1");
    subject
        .write_state(&id, &[("turn", "t1"), ("seq", "3")])
        .await;
    let (all, fence) = lost(subject).await;
    // Its wrapper goes on writing meanwhile.
    subject.write_state(&id, &[("seq", "4")]).await;
    for container in &all {
        assert!(subject.store().restore(container, fence).await.unwrap());
    }
    subject.begin().await;
    let seen = subject.see(&serving).await.unwrap();
    assert_eq!(
        (seen.state, seen.claim),
        (ContainerState::Assigned, Some(number))
    );
    assert_eq!(seen.owner, Some(gateway(1).to_string()));
    assert!(seen.is_busy());
    let state = subject.store().session_state(&id).await.unwrap();
    assert_eq!((state["seq"].as_str(), state["turn"].as_str()), ("4", "t1"));
    let live = subject.claim(&terms("s1", "a")).await;
    assert_eq!(live, ClaimOutcome::Live(serving.clone()));
    let bearer = subject.store().bearer(&serving, None).await.unwrap();
    assert_eq!(bearer.unwrap().hash, "token-1");

    let seen = subject.see(&spare).await.unwrap();
    assert_eq!(
        (seen.state, seen.ready_at),
        (ContainerState::Creating, None)
    );
    let ticket = subject.waits("s2", "b").await;
    subject.store().withdraw(&ticket).await.unwrap();
    subject.ready(&spare).await;
    let promoted = subject.store().promote(&spare, false, Some(fence));
    assert!(promoted.await.unwrap());
    subject.claimed("s3", "b").await;
    // They count: of the cap, and of their agent's limit.
    let reserved = subject.store().reserve(&place(3, 2), fence).await.unwrap();
    assert_eq!(reserved, Reserve::AtCap);
}

async fn what_is_there_already_is_not_overwritten(subject: &impl Subject) {
    let fence = subject.begin().await;
    let container = subject.warm(1, fence).await;
    let warm = subject.see(&container).await.unwrap();
    subject.claimed("s1", "a").await;
    let before = subject.store().containers().await.unwrap();
    assert!(subject.store().restore(&warm, fence).await.unwrap());
    assert_eq!(subject.store().containers().await.unwrap(), before);
    // That a gateway remembers it is a sign of life.
    let activity = |c: &Container| c.activity.clone().unwrap().last_activity;
    assert!(subject.store().restore(&before[0], fence).await.unwrap());
    let after = subject.see(&container).await.unwrap();
    assert!(activity(&after) >= activity(&before[0]));
    assert_eq!(after.session, Some(session("s1")));
}

/// A gateway may remember a container whose session goes on in another one by now.
async fn two_containers_never_serve_one_session(subject: &impl Subject) {
    let fence = subject.begin().await;
    let first = subject.warm(1, fence).await;
    subject.claimed("s1", "a").await;
    let seen = subject.see(&first).await.unwrap();
    subject.store().release(&seen, KEEP).await.unwrap();
    let second = subject.warm(2, fence).await;
    subject.claimed("s1", "a").await;

    assert!(subject.store().restore(&seen, fence).await.unwrap());
    let back = subject.see(&first).await.unwrap();
    assert_eq!((back.state, back.session), (ContainerState::Failed, None));
    let live = subject.store().sessions().await.unwrap();
    assert_eq!(live, [(session("s1"), second)]);
}

/// Two gateways may remember a container, one of them from before it was claimed.
async fn a_container_never_serves_two_sessions(subject: &impl Subject) {
    let fence = subject.begin().await;
    let container = subject.warm(1, fence).await;
    let early = subject.see(&container).await.unwrap();
    subject.claimed("s1", "a").await;
    let (late, fence) = lost(subject).await;
    let store = subject.store();
    assert!(store.restore(&early, fence).await.unwrap());
    assert!(store.restore(&late[0], fence).await.unwrap());
    subject.begin().await;
    let seen = subject.see(&container).await.unwrap();
    let live = store.sessions().await.unwrap();
    match seen.session {
        None => assert!(live.is_empty(), "{live:?}"),
        Some(session) => {
            assert_eq!(seen.state, ContainerState::Assigned);
            assert_eq!(live, [(session, container)]);
        }
    }
}

async fn those_on_their_way_out_go_on(subject: &impl Subject) {
    let fence = subject.begin().await;
    let container = subject.warm(1, fence).await;
    subject.claimed("s1", "a").await;
    let nobody = ccpool::store::Condition::None;
    let retired = subject.store().retire(
        &container,
        ContainerState::Draining,
        "because",
        nobody,
        None,
    );
    retired.await.unwrap();
    let (all, fence) = lost(subject).await;
    assert!(subject.store().restore(&all[0], fence).await.unwrap());
    subject.begin().await;
    let seen = subject.see(&container).await.unwrap();
    assert_eq!(
        (seen.state, seen.reason.as_deref()),
        (ContainerState::Draining, Some("because"))
    );
    let draining = subject.claim(&terms("s1", "a")).await;
    assert_eq!(draining, ClaimOutcome::Draining(container));
    let unknown = ContainerId::from_random(9);
    assert!(subject.see(&unknown).await.is_none());
}
