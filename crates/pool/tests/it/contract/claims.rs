//! Claims: who gets which container, and who takes over.

use ccpool::ContainerId;
use ccpool::store::{ClaimNumber, ClaimOutcome, ClaimTerms, Condition, Queue};

use super::on_every_store;
use super::subject::{KEEP, MOST_OF_IT, Subject, agent, gateway, session, terms};

on_every_store!(
    the_longest_warm_one_is_claimed,
    a_live_session_is_found_again,
    an_agent_has_its_limit,
    silent_ones_and_those_that_serve_are_passed_over,
    nothing_is_claimed_from_an_emptied_one,
    the_claim_of_one_that_is_gone_is_taken_over_once,
    only_the_claims_own_assignment_is_delivered,
    a_claim_says_what_the_wrapper_is_told,
);

async fn the_longest_warm_one_is_claimed(subject: &impl Subject) {
    let fence = subject.begin().await;
    let mut expected = Vec::new();
    // Not in the order of their ids.
    for number in [5, 1, 3] {
        expected.push(subject.warm(number, fence).await);
    }
    let mut got = Vec::new();
    for name in ["s1", "s2", "s3"] {
        got.push(subject.claimed(name, name).await.0);
    }
    assert_eq!(got, expected);
    let live = subject.store().sessions().await.unwrap();
    let pairs = ["s1", "s2", "s3"].map(session).into_iter().zip(expected);
    assert_eq!(live, pairs.collect::<Vec<_>>());
}

async fn a_live_session_is_found_again(subject: &impl Subject) {
    let fence = subject.begin().await;
    let container = subject.warm(1, fence).await;
    let spare = subject.warm(2, fence).await;
    subject.claimed("s1", "a").await;
    let again = subject.claim(&terms("s1", "another")).await;
    assert_eq!(again, ClaimOutcome::Live(container.clone()));
    assert!(subject.see(&spare).await.unwrap().session.is_none());
    // Who waited for it no longer waits.
    subject.claimed("s2", "a").await;
    let ticket = subject.waits("s3", "b").await;
    let found = ClaimTerms {
        ticket: Some(ticket),
        ..terms("s1", "b")
    };
    assert_eq!(subject.claim(&found).await, ClaimOutcome::Live(container));
    let nobody = Queue::default();
    assert_eq!(subject.store().queue().await.unwrap(), nobody);
}

async fn an_agent_has_its_limit(subject: &impl Subject) {
    let fence = subject.begin().await;
    for number in 1..=4 {
        subject.warm(number, fence).await;
    }
    subject.claimed("s1", "a").await;
    let (container, _) = subject.claimed("s2", "a").await;
    let third = match subject.claim(&terms("s3", "a")).await {
        ClaimOutcome::AgentLimit(ticket) => ticket,
        other => panic!("{other:?}"),
    };
    subject.claimed("s4", "b").await;
    let seen = subject.see(&container).await.unwrap();
    subject.store().release(&seen, KEEP).await.unwrap();
    let back = ClaimTerms {
        ticket: Some(third),
        ..terms("s3", "a")
    };
    let got = subject.claim(&back).await;
    assert!(matches!(got, ClaimOutcome::Claimed { .. }), "{got:?}");
}

async fn silent_ones_and_those_that_serve_are_passed_over(subject: &impl Subject) {
    let fence = subject.begin().await;
    let serving = subject.warm(1, fence).await;
    let silent = subject.warm(2, fence).await;
    subject.pass(MOST_OF_IT).await;
    subject.attend(&gateway(1)).await;
    let fresh = subject.warm(3, fence).await;
    subject.ready(&serving).await;
    subject.report(&serving, &[("session", "unseen")]).await;
    subject.pass(MOST_OF_IT).await;
    assert_eq!(subject.claimed("s1", "a").await.0, fresh);
    let ticket = subject.waits("s2", "a").await;
    subject.store().withdraw(&ticket).await.unwrap();
    // It is heard of again.
    subject.ready(&silent).await;
    assert_eq!(subject.claimed("s2", "a").await.0, silent);
}

async fn nothing_is_claimed_from_an_emptied_one(subject: &impl Subject) {
    let fence = subject.begin().await;
    subject.warm(1, fence).await;
    let seen = subject.store().containers().await.unwrap().remove(0);
    subject.empty().await;
    let lost = subject.claim(&terms("s1", "a")).await;
    assert_eq!(lost, ClaimOutcome::Emptied);
    // Until everything is written down again: the session may be live on one that is not yet.
    let fence = subject.attend(&gateway(1)).await.fence.unwrap();
    assert!(subject.store().restore(&seen, fence).await.unwrap());
    subject.ready(&seen.id).await;
    let promoted = subject.store().promote(&seen.id, false, None);
    assert!(promoted.await.unwrap());
    let early = subject.claim(&terms("s1", "a")).await;
    assert_eq!(early, ClaimOutcome::Emptied);
    subject.begin().await;
    subject.claimed("s1", "a").await;
}

async fn the_claim_of_one_that_is_gone_is_taken_over_once(subject: &impl Subject) {
    let fence = subject.begin().await;
    let store = subject.store();
    let container = subject.warm(1, fence).await;
    let (_, number) = {
        let through = ClaimTerms {
            gateway: gateway(2),
            ..terms("s1", "a")
        };
        subject.attend(&gateway(2)).await;
        match subject.claim(&through).await {
            ClaimOutcome::Claimed {
                container, number, ..
            } => (container, number),
            other => panic!("{other:?}"),
        }
    };
    let seen = subject.see(&container).await.unwrap();
    let adopt = async |heir| store.adopt(&seen, &gateway(heir), fence).await.unwrap();
    assert!(!adopt(1).await, "its gateway lives");
    subject.pass(MOST_OF_IT).await;
    subject.attend(&gateway(1)).await;
    subject.pass(MOST_OF_IT).await;
    // Nobody has asked for the others since its time was over.
    assert!(adopt(1).await);
    assert!(!adopt(3).await, "it was taken over");
    let held = subject.see(&container).await.unwrap();
    assert_eq!(held.owner, Some(gateway(1).to_string()));
    assert!(held.claim > Some(number), "what was begun does not count");
    let again = store.adopt(&held, &gateway(3), fence).await.unwrap();
    assert!(!again, "its new gateway lives");
    // One that serves nobody cannot be taken over.
    store
        .retire(
            &container,
            super::containers::OUT,
            "why",
            Condition::None,
            None,
        )
        .await
        .unwrap();
    store.leave(&gateway(2)).await.unwrap();
    assert!(!adopt(1).await);
}

async fn only_the_claims_own_assignment_is_delivered(subject: &impl Subject) {
    let fence = subject.begin().await;
    let container = subject.warm(1, fence).await;
    let (_, number) = subject.claimed("s1", "a").await;
    let untold = async || subject.see(&container).await.unwrap().undelivered;
    let another = ClaimNumber(number.0 + 1);
    subject.deliver(&container, &session("s1"), another).await;
    assert!(untold().await);
    subject.deliver(&container, &session("s1"), number).await;
    assert!(!untold().await);
    let nobody = ContainerId::from_random(9);
    subject.deliver(&nobody, &session("s1"), number).await;
    assert!(subject.see(&nobody).await.is_none());
}

async fn a_claim_says_what_the_wrapper_is_told(subject: &impl Subject) {
    let fence = subject.begin().await;
    let container = subject.warm(1, fence).await;
    let mut asked = terms("s1", "a");
    asked.assignment.model = Some("opus".to_owned());
    subject.claim(&asked).await;
    let seen = subject.see(&container).await.unwrap();
    let told = serde_json::from_str(&seen.record["assignment"]);
    let told: ccpool::protocol::assignment::Assignment = told.unwrap();
    assert_eq!(told, asked.assignment);
    assert_eq!(seen.agent, Some(agent("a")));
    let state = subject.store().session_state(&session("s1")).await.unwrap();
    assert_eq!(state["model"], "opus");
    assert_eq!(state["containerId"], container.as_str());
    assert_eq!(
        (state["turn"].as_str(), state["agentId"].as_str()),
        ("", "a")
    );
}
