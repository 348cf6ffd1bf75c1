//! Claims that wait: first come first served, the agents taking turns.

use ccpool::ContainerId;
use ccpool::store::{ClaimOutcome, ClaimTerms, Queue, Ticket};

use super::on_every_store;
use super::subject::{KEEP, MOST_OF_IT, Subject, gateway, terms};

on_every_store!(
    who_came_first_is_served_first,
    agents_take_turns,
    a_container_is_kept_for_those_before,
    a_place_is_lost_by_who_does_not_come_back,
    a_place_that_is_given_up_is_free,
    an_agent_at_its_limit_is_passed_over,
    one_that_was_served_late_holds_nobody_back,
    who_gives_up_does_not_lose_its_turn,
    tickets_are_never_drawn_twice,
    those_that_could_be_served_are_counted,
);

/// One that waits.
#[derive(Clone)]
struct Waiter {
    name: &'static str,
    agent: &'static str,
    ticket: Ticket,
}

impl Waiter {
    async fn come(subject: &impl Subject, name: &'static str, agent: &'static str) -> Self {
        let ticket = subject.waits(name, agent).await;
        Self {
            name,
            agent,
            ticket,
        }
    }

    /// Comes back with its ticket.
    async fn again(&self, subject: &impl Subject) -> ClaimOutcome {
        let asked = ClaimTerms {
            ticket: Some(self.ticket.clone()),
            ..terms(self.name, self.agent)
        };
        subject.claim(&asked).await
    }
}

async fn all(subject: &impl Subject, waiters: &[(&'static str, &'static str)]) -> Vec<Waiter> {
    let mut all = Vec::new();
    for (name, agent) in waiters {
        all.push(Waiter::come(subject, name, agent).await);
    }
    all
}

/// The sessions in the order in which they are served when one container after the other becomes
/// free, whoever comes back first: in each round everybody comes, the last one first.
async fn served(subject: &impl Subject, mut waiters: Vec<Waiter>) -> Vec<&'static str> {
    let fence = subject.attend(&gateway(1)).await.fence.unwrap();
    let mut order = Vec::new();
    for number in 100.. {
        if waiters.is_empty() {
            break;
        }
        let container = subject.warm(number, fence).await;
        let mut lucky = Vec::new();
        for waiter in waiters.iter().rev() {
            if let ClaimOutcome::Claimed { .. } = waiter.again(subject).await {
                lucky.push(waiter.name);
            }
        }
        assert_eq!(lucky.len(), 1, "one container, one claim: {lucky:?}");
        waiters.retain(|waiter| waiter.name != lucky[0]);
        order.extend(lucky);
        end(subject, &container).await;
    }
    order
}

async fn end(subject: &impl Subject, container: &ContainerId) {
    let seen = subject.see(container).await.unwrap();
    subject.store().release(&seen, KEEP).await.unwrap();
}

async fn who_came_first_is_served_first(subject: &impl Subject) {
    subject.begin().await;
    let waiters = [("s1", "a"), ("s2", "a"), ("s3", "a"), ("s4", "a")];
    let waiters = all(subject, &waiters).await;
    assert_eq!(served(subject, waiters).await, ["s1", "s2", "s3", "s4"]);
}

async fn agents_take_turns(subject: &impl Subject) {
    subject.begin().await;
    let waiters = [
        ("a1", "a"),
        ("a2", "a"),
        ("a3", "a"),
        ("b1", "b"),
        ("c1", "c"),
        ("b2", "b"),
    ];
    let waiters = all(subject, &waiters).await;
    let order = served(subject, waiters).await;
    assert_eq!(order, ["a1", "b1", "c1", "a2", "b2", "a3"]);
}

async fn a_container_is_kept_for_those_before(subject: &impl Subject) {
    let fence = subject.begin().await;
    let waiters = all(subject, &[("s1", "a"), ("s2", "b")]).await;
    let oldest = subject.warm(1, fence).await;
    subject.waits("late", "c").await;
    assert!(matches!(
        waiters[1].again(subject).await,
        ClaimOutcome::NoneWarm(..)
    ));
    // With one more the second one need not wait for the first one to come back.
    let second = subject.warm(2, fence).await;
    let late = subject.claim(&terms("late2", "c")).await;
    assert!(matches!(late, ClaimOutcome::NoneWarm(..)), "{late:?}");
    match waiters[1].again(subject).await {
        ClaimOutcome::Claimed { container, .. } => assert_eq!(container, second),
        other => panic!("{other:?}"),
    }
    match waiters[0].again(subject).await {
        ClaimOutcome::Claimed { container, .. } => assert_eq!(container, oldest),
        other => panic!("{other:?}"),
    }
}

async fn a_place_is_lost_by_who_does_not_come_back(subject: &impl Subject) {
    subject.begin().await;
    let waiters = all(subject, &[("s1", "a"), ("s2", "a")]).await;
    subject.pass(MOST_OF_IT).await;
    waiters[1].again(subject).await;
    subject.pass(MOST_OF_IT).await;
    let fence = subject.attend(&gateway(1)).await.fence.unwrap();
    subject.warm(1, fence).await;
    // The first one's is over; the second one has come back since.
    let got = waiters[1].again(subject).await;
    assert!(matches!(got, ClaimOutcome::Claimed { .. }), "{got:?}");
    // It comes back as the last one of all.
    let third = Waiter::come(subject, "s3", "b").await;
    let ClaimOutcome::NoneWarm(ticket, _) = waiters[0].again(subject).await else {
        panic!("nothing is warm");
    };
    assert_ne!(ticket, waiters[0].ticket);
    let back = Waiter {
        ticket,
        ..waiters[0].clone()
    };
    let order = served(subject, vec![back, third]).await;
    assert_eq!(order, ["s3", "s1"]);
    subject.pass(KEEP + MOST_OF_IT).await;
    assert_eq!(subject.store().queue().await.unwrap(), Queue::default());
}

async fn a_place_that_is_given_up_is_free(subject: &impl Subject) {
    let fence = subject.begin().await;
    let waiters = all(subject, &[("s1", "a"), ("s2", "a")]).await;
    subject.warm(1, fence).await;
    subject.store().withdraw(&waiters[0].ticket).await.unwrap();
    subject.store().withdraw(&waiters[0].ticket).await.unwrap();
    let got = waiters[1].again(subject).await;
    assert!(matches!(got, ClaimOutcome::Claimed { .. }), "{got:?}");
    assert_eq!(subject.store().queue().await.unwrap(), Queue::default());
}

async fn an_agent_at_its_limit_is_passed_over(subject: &impl Subject) {
    let fence = subject.begin().await;
    for number in 1..=2 {
        subject.warm(number, fence).await;
    }
    let (held, _) = subject.claimed("held-1", "a").await;
    subject.claimed("held-2", "a").await;
    let waiters = all(subject, &[("a1", "a"), ("b1", "b")]).await;
    let queue = subject.store().queue().await.unwrap();
    assert_eq!((queue.waiting, queue.servable), (2, 1));
    subject.warm(3, fence).await;
    let got = waiters[1].again(subject).await;
    assert!(matches!(got, ClaimOutcome::Claimed { .. }), "{got:?}");
    let limited = waiters[0].again(subject).await;
    assert!(
        matches!(limited, ClaimOutcome::AgentLimit(_)),
        "{limited:?}"
    );
    end(subject, &held).await;
    subject.warm(4, fence).await;
    // Its turn was before that of who comes now.
    subject.waits("c1", "c").await;
    let got = waiters[0].again(subject).await;
    assert!(matches!(got, ClaimOutcome::Claimed { .. }), "{got:?}");
}

/// The turn of one that had to wait for its agent's limit lies long back; who comes after it is
/// served must not get turns as old.
async fn one_that_was_served_late_holds_nobody_back(subject: &impl Subject) {
    let fence = subject.begin().await;
    for number in 1..=2 {
        subject.warm(number, fence).await;
    }
    let (held, _) = subject.claimed("held-1", "late").await;
    subject.claimed("held-2", "late").await;
    let late = Waiter::come(subject, "l1", "late").await;
    let others = ["a1", "a2", "a3", "a4", "a5"].map(|name| (name, "a"));
    let mut others = all(subject, &others).await;
    let rest = others.split_off(3);
    assert_eq!(served(subject, others).await, ["a1", "a2", "a3"]);
    end(subject, &held).await;
    subject.warm(3, fence).await;
    let got = late.again(subject).await;
    assert!(matches!(got, ClaimOutcome::Claimed { .. }), "{got:?}");
    let mut waiters = all(subject, &[("b1", "b"), ("b2", "b"), ("b3", "b")]).await;
    waiters.extend(rest);
    let order = served(subject, waiters).await;
    assert_eq!(order, ["a4", "b1", "a5", "b2", "b3"]);
}

async fn who_gives_up_does_not_lose_its_turn(subject: &impl Subject) {
    subject.begin().await;
    let waiters = all(subject, &[("a1", "a"), ("a2", "a"), ("a3", "a")]).await;
    for _ in 0..3 {
        let ticket = subject.waits("b0", "b").await;
        subject.store().withdraw(&ticket).await.unwrap();
    }
    let mut waiters = waiters;
    waiters.push(Waiter::come(subject, "b1", "b").await);
    assert_eq!(served(subject, waiters).await, ["a1", "b1", "a2", "a3"]);
}

async fn tickets_are_never_drawn_twice(subject: &impl Subject) {
    subject.begin().await;
    let mut drawn: Vec<Ticket> = Vec::new();
    for round in 0..4 {
        let ticket = subject.waits("s1", "a").await;
        assert!(!drawn.contains(&ticket), "in round {round}: {ticket:?}");
        subject.store().withdraw(&ticket).await.unwrap();
        drawn.push(ticket);
        if round == 1 {
            subject.empty().await;
            subject.begin().await;
        }
    }
}

async fn those_that_could_be_served_are_counted(subject: &impl Subject) {
    subject.begin().await;
    let names = ["s1", "s2", "s3"];
    for name in names {
        subject.waits(name, "a").await;
    }
    subject.waits("s4", "b").await;
    let queue = subject.store().queue().await.unwrap();
    assert_eq!((queue.waiting, queue.servable), (4, 3));
}
