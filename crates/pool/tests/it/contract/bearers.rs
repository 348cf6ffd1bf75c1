//! Whom a token stands for: a container's own, and those that people were given.

use ccpool::protocol::assignment::Parent;
use ccpool::protocol::record::ContainerState;
use ccpool::store::{Bearer, ClaimOutcome, ClaimTerms, Condition, StoreError};
use ccpool::{ContainerId, SessionId};

use super::containers::OUT;
use super::on_every_store;
use super::subject::{KEEP, MOST_OF_IT, Subject, session, terms};

on_every_store!(
    a_token_stands_for_what_its_container_does,
    a_persons_token_stands_for_one_container,
    a_token_ends_with_its_container,
    what_an_emptied_one_has_lost_is_an_error,
);

/// The name of a person's token.
const PERSON: &str = "p-0123456789ab";

async fn bearer(
    subject: &impl Subject,
    container: &ContainerId,
    person: Option<&str>,
) -> Option<Bearer> {
    let found = subject.store().bearer(container, person);
    found.await.unwrap()
}

async fn give(subject: &impl Subject, container: &ContainerId) {
    let kept = subject.store().keep_pass(PERSON, "hash", container, KEEP);
    kept.await.unwrap();
}

fn serving(hash: &str, of: &SessionId) -> Bearer {
    Bearer {
        hash: hash.to_owned(),
        state: ContainerState::Assigned,
        session: Some(of.clone()),
        agent: Some("a".parse().unwrap()),
        depth: 0,
    }
}

async fn a_token_stands_for_what_its_container_does(subject: &impl Subject) {
    let fence = subject.begin().await;
    let container = subject.warm(1, fence).await;
    let seen = bearer(subject, &container, None).await.unwrap();
    assert_eq!((seen.hash.as_str(), seen.depth), ("token-1", 0));
    assert_eq!(seen.state, ContainerState::Warm);
    assert_eq!((seen.session, seen.agent), (None, None));

    let mut child = terms("s1", "a");
    child.assignment.append_system_prompt = Some("long \"words\"".to_owned());
    child.assignment.parent = Some(Parent {
        session: session("s0"),
        depth: 2,
    });
    claim(subject, &child).await;
    let wanted = Bearer {
        depth: 2,
        ..serving("token-1", &session("s1"))
    };
    assert_eq!(bearer(subject, &container, None).await, Some(wanted));
    let unknown = ContainerId::from_random(9);
    assert_eq!(bearer(subject, &unknown, None).await, None);
}

async fn claim(subject: &impl Subject, terms: &ClaimTerms) {
    let claimed = subject.claim(terms).await;
    assert!(
        matches!(claimed, ClaimOutcome::Claimed { .. }),
        "{claimed:?}"
    );
}

async fn a_persons_token_stands_for_one_container(subject: &impl Subject) {
    let fence = subject.begin().await;
    subject.warm(1, fence).await;
    subject.warm(2, fence).await;
    let (mine, _) = subject.claimed("s1", "a").await;
    let (theirs, _) = subject.claimed("s2", "a").await;
    assert_eq!(bearer(subject, &mine, Some(PERSON)).await, None);
    give(subject, &mine).await;
    let wanted = serving("hash", &session("s1"));
    assert_eq!(bearer(subject, &mine, Some(PERSON)).await, Some(wanted));
    assert_eq!(bearer(subject, &theirs, Some(PERSON)).await, None);
    assert_eq!(bearer(subject, &mine, Some("p-other")).await, None);
    // It does not stand in the way of the container's own.
    let own = bearer(subject, &mine, None).await.unwrap();
    assert_ne!(own.hash, "hash");

    subject.pass(MOST_OF_IT).await;
    assert!(bearer(subject, &mine, Some(PERSON)).await.is_some());
    subject.pass(MOST_OF_IT).await;
    assert_eq!(bearer(subject, &mine, Some(PERSON)).await, None);
}

async fn a_token_ends_with_its_container(subject: &impl Subject) {
    let fence = subject.begin().await;
    let container = subject.warm(1, fence).await;
    subject.claimed("s1", "a").await;
    give(subject, &container).await;
    let store = subject.store();
    let out = store.retire(&container, OUT, "why", Condition::None, None);
    out.await.unwrap();
    for person in [None, Some(PERSON)] {
        let seen = bearer(subject, &container, person).await.unwrap();
        assert_eq!(seen.state, OUT, "{person:?}");
    }
    let seen = subject.see(&container).await.unwrap();
    store.release(&seen, KEEP).await.unwrap();
    for person in [None, Some(PERSON)] {
        assert_eq!(bearer(subject, &container, person).await, None);
    }
}

async fn what_an_emptied_one_has_lost_is_an_error(subject: &impl Subject) {
    let fence = subject.begin().await;
    let container = subject.warm(1, fence).await;
    give(subject, &container).await;
    subject.empty().await;
    for person in [None, Some(PERSON)] {
        let found = subject.store().bearer(&container, person).await;
        assert!(matches!(found, Err(StoreError::Emptied)), "{found:?}");
    }
}
