//! What gateways, callers and wrappers remember between their steps, on one side of the comparison.

use std::collections::{BTreeMap, BTreeSet};

use ccpool::protocol::record::ContainerState;
use ccpool::standing::Fence;
use ccpool::store::{
    ClaimNumber, ClaimOutcome, ClaimTerms, Condition, LookNumber, Outlook, PushOutcome, Queue,
    Reserve, Retired, StoreError, Ticket,
};
use ccpool::{Container, ContainerId, GatewayId};

use super::step::{
    CALLERS, CAP, GATEWAYS, Step, When, asked_by, container_before, gateway_number, session_number,
};
use crate::contract::subject::{KEEP, POOL, Subject, gateway, place};

/// An answer as both sides must give it: fences, claims and tickets by the order in which they were
/// first given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// There was nothing to do.
    Skipped,
    Done,
    Emptied,
    Is(bool),
    Stands {
        fence: Option<usize>,
        leader: Option<GatewayId>,
        trouble: Option<String>,
        gateways: Vec<GatewayId>,
        emptied: bool,
    },
    Reserved(Reserve),
    Drew(Option<usize>),
    Claimed(ContainerId, usize),
    Live(ContainerId),
    Draining(ContainerId),
    Waits {
        ticket: usize,
        limited: bool,
        outlook: Option<Told>,
    },
    Retired(Retired),
    Pushed(PushOutcome),
    Counted(Queue),
}

/// What a claim that finds nothing warm is told of the leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    trouble: Option<(String, usize)>,
    /// None: no number was ever drawn.
    drawn: Option<usize>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Actors {
    looks: Vec<LookNumber>,
    drawn: [Option<LookNumber>; GATEWAYS],
    fences: Vec<Fence>,
    claims: Vec<ClaimNumber>,
    pub(super) tickets: Vec<Ticket>,
    /// As each gateway knows it.
    lead: [Option<Fence>; GATEWAYS],
    /// A gateway was told that Redis has lost the pool, and has not written it down again.
    lost: [bool; GATEWAYS],
    seen: [BTreeMap<ContainerId, Container>; GATEWAYS],
    pub(super) held: [Option<Ticket>; CALLERS],
    told: [Option<(ContainerId, ClaimNumber)>; CALLERS],
    /// Retired ones that are about to be forgotten.
    going: BTreeMap<ContainerId, Container>,
    /// Containers that run.
    pub(super) alive: BTreeSet<ContainerId>,
    pub(super) created: u64,
}

impl Actors {
    /// Carries out one step.
    pub(super) async fn step(&mut self, subject: &impl Subject, step: &Step) -> Answer {
        subject.tick().await;
        let store = subject.store();
        let id = |back: usize| container_before(self.created, back);
        match *step {
            Step::Attend(g) => {
                let told = subject.attend(&self.gateway(g)).await;
                self.lead[g] = told.fence;
                self.lost[g] = told.emptied;
                Answer::Stands {
                    fence: told.fence.map(|fence| number(&mut self.fences, fence)),
                    leader: told.leader,
                    trouble: told.trouble,
                    gateways: told.gateways,
                    emptied: told.emptied,
                }
            }
            Step::Leave(g) => {
                store.leave(&self.gateway(g)).await.unwrap();
                Answer::Done
            }
            Step::Look(g) => match store.containers().await {
                Ok(all) => {
                    self.seen[g] = all.into_iter().map(|c| (c.id.clone(), c)).collect();
                    Answer::Done
                }
                Err(StoreError::Emptied) => Answer::Emptied,
                Err(other) => panic!("{other}"),
            },
            Step::Reserve(g) => self.reserve(subject, g).await,
            Step::Draw(g) => {
                let Some(fence) = self.lead[g] else {
                    return Answer::Skipped;
                };
                self.drawn[g] = store.draw(fence).await.unwrap();
                let drawn = self.drawn[g].map(|drawn| number(&mut self.looks, drawn));
                Answer::Drew(drawn)
            }
            Step::Say(g, none) => {
                let why = format!("gateway {g} starts none");
                let trouble = match (none, self.drawn[g]) {
                    (true, Some(look)) => Some((why.as_str(), look)),
                    (true, None) => return Answer::Skipped,
                    (false, _) => None,
                };
                let Some(fence) = self.lead[g] else {
                    return Answer::Skipped;
                };
                Answer::Is(store.say(trouble, fence).await.unwrap())
            }
            Step::Ready(back) => {
                let container = id(back);
                if !self.alive.contains(&container) {
                    return Answer::Skipped;
                }
                subject.ready(&container).await;
                Answer::Done
            }
            Step::Stray(back) => {
                subject.report(&id(back), &[("session", "stray")]).await;
                Answer::Done
            }
            Step::Promote(g, back, leads) => {
                let Some(fence) = self.fence(g, leads) else {
                    return Answer::Skipped;
                };
                let promoted = store.promote(&id(back), false, fence).await;
                Answer::Is(promoted.unwrap())
            }
            Step::Claim(caller) => self.claim(subject, caller).await,
            Step::Withdraw(caller) => match self.held[caller].take() {
                Some(ticket) => {
                    store.withdraw(&ticket).await.unwrap();
                    Answer::Done
                }
                None => Answer::Skipped,
            },
            Step::Deliver(caller) => match &self.told[caller] {
                Some((container, claim)) => {
                    let session = asked_by(caller).assignment.session;
                    subject.deliver(container, &session, *claim).await;
                    Answer::Done
                }
                None => Answer::Skipped,
            },
            Step::Adopt(g, back) => {
                let (Some(seen), Some(fence)) = (self.seen[g].get(&id(back)), self.lead[g]) else {
                    return Answer::Skipped;
                };
                let adopted = store.adopt(seen, &self.gateway(g), fence).await;
                Answer::Is(adopted.unwrap())
            }
            Step::Retire(g, back, when, leads) => {
                self.retire(subject, g, id(back), when, leads).await
            }
            Step::Release(back) => {
                let container = id(back);
                let Some(going) = self.going.remove(&container) else {
                    return Answer::Skipped;
                };
                store.release(&going, KEEP).await.unwrap();
                self.alive.remove(&container);
                Answer::Done
            }
            Step::Push(session) => {
                let turn = "t".parse().unwrap();
                let session = session_number(session);
                let pushed = store.push(&session, &turn, "{}", None, None);
                match pushed.await {
                    Ok(pushed) => Answer::Pushed(pushed),
                    Err(StoreError::Emptied) => Answer::Emptied,
                    Err(other) => panic!("{other}"),
                }
            }
            Step::Work(session, busy) => {
                let session = session_number(session);
                let live = store.sessions().await.unwrap();
                if !live.iter().any(|(live, _)| *live == session) {
                    return Answer::Skipped;
                }
                let turn = if busy { "t" } else { "" };
                subject.write_state(&session, &[("turn", turn)]).await;
                Answer::Done
            }
            Step::Empty => {
                subject.empty().await;
                Answer::Done
            }
            Step::Restore(g, one) => self.restore(subject, g, one.map(id)).await,
            Step::Count => Answer::Counted(store.queue().await.unwrap()),
            Step::Pass(time) => {
                subject.pass(time).await;
                Answer::Done
            }
            Step::Several(_) => panic!("it is taken apart before"),
        }
    }

    /// Whether the step is asked for with a fence that is not the newest one.
    pub(super) fn is_stale(&self, step: &Step) -> bool {
        let of = |g: usize| self.lead[g].is_some() && self.lead[g].as_ref() != self.fences.last();
        match *step {
            Step::Reserve(g)
            | Step::Draw(g)
            | Step::Say(g, _)
            | Step::Adopt(g, _)
            | Step::Restore(g, Some(_)) => of(g),
            Step::Promote(g, _, leads) | Step::Retire(g, _, _, leads) => leads && of(g),
            Step::Attend(_)
            | Step::Leave(_)
            | Step::Look(_)
            | Step::Ready(_)
            | Step::Stray(_)
            | Step::Claim(_)
            | Step::Withdraw(_)
            | Step::Deliver(_)
            | Step::Release(_)
            | Step::Push(_)
            | Step::Work(..)
            | Step::Empty
            | Step::Restore(_, None)
            | Step::Count
            | Step::Pass(_)
            | Step::Several(_) => false,
        }
    }

    fn gateway(&self, g: usize) -> GatewayId {
        gateway(gateway_number(g))
    }

    /// With which fence a gateway asks: its own, or none. None: it has never led.
    fn fence(&self, g: usize, leads: bool) -> Option<Option<Fence>> {
        if leads {
            self.lead[g].map(Some)
        } else {
            Some(None)
        }
    }

    async fn reserve(&mut self, subject: &impl Subject, g: usize) -> Answer {
        let store = subject.store();
        // Who knows that Redis has lost the pool writes it down again first.
        let (Some(fence), false) = (self.lead[g], self.lost[g]) else {
            return Answer::Skipped;
        };
        let place = place(self.created + 1, CAP);
        let answer = store.reserve(&place, fence).await.unwrap();
        if answer == Reserve::Reserved {
            // Those that nobody knows are removed before others are started.
            let known = store.containers().await.unwrap_or_default();
            self.alive
                .retain(|id| known.iter().any(|known| known.id == *id));
            self.alive.insert(place.container);
            self.created += 1;
        }
        Answer::Reserved(answer)
    }

    async fn claim(&mut self, subject: &impl Subject, caller: usize) -> Answer {
        let asked = ClaimTerms {
            ticket: self.held[caller].clone(),
            ..asked_by(caller)
        };
        match subject.claim(&asked).await {
            ClaimOutcome::Claimed {
                container, number, ..
            } => {
                self.held[caller] = None;
                self.told[caller] = Some((container.clone(), number));
                Answer::Claimed(container, self::number(&mut self.claims, number))
            }
            ClaimOutcome::Live(container) => {
                self.held[caller] = None;
                Answer::Live(container)
            }
            ClaimOutcome::Draining(container) => Answer::Draining(container),
            ClaimOutcome::AgentLimit(ticket) => self.waits(caller, ticket, None),
            ClaimOutcome::NoneWarm(ticket, outlook) => self.waits(caller, ticket, Some(outlook)),
            ClaimOutcome::Emptied => Answer::Emptied,
        }
    }

    /// Without an outlook: it waits for its agent's limit.
    fn waits(&mut self, caller: usize, ticket: Ticket, outlook: Option<Outlook>) -> Answer {
        self.held[caller] = Some(ticket.clone());
        let looks = &mut self.looks;
        let told = |outlook: Outlook| Told {
            trouble: outlook
                .trouble
                .map(|(why, look)| (why, number(looks, look))),
            drawn: (outlook.drawn > LookNumber(0)).then(|| number(looks, outlook.drawn)),
        };
        Answer::Waits {
            limited: outlook.is_none(),
            outlook: outlook.map(told),
            ticket: number(&mut self.tickets, ticket),
        }
    }

    async fn retire(
        &mut self,
        subject: &impl Subject,
        g: usize,
        id: ContainerId,
        when: When,
        leads: bool,
    ) -> Answer {
        let (Some(seen), Some(fence)) = (self.seen[g].get(&id), self.fence(g, leads)) else {
            return Answer::Skipped;
        };
        let condition = match (when, &seen.session, &seen.activity) {
            (When::Serves, Some(session), _) => Condition::Serves(session),
            (When::Quiet, Some(session), Some(activity)) => {
                Condition::Quiet(session, activity.last_activity)
            }
            (When::Always, ..) | (When::Serves | When::Quiet, ..) => Condition::None,
        };
        let to = if leads {
            ContainerState::Failed
        } else {
            ContainerState::Draining
        };
        let asked = subject.store().retire(&id, to, "why", condition, fence);
        let retired = asked.await.unwrap();
        if let Retired::Out(session) = &retired {
            // A claim may have come between the look and this.
            let going = Container {
                session: session.clone().or(seen.session.clone()),
                ..seen.clone()
            };
            self.going.insert(id, going);
        }
        Answer::Retired(retired)
    }

    /// Only a leader that was told that Redis has lost the pool writes down what it remembers.
    async fn restore(
        &mut self,
        subject: &impl Subject,
        g: usize,
        one: Option<ContainerId>,
    ) -> Answer {
        let (Some(fence), true) = (self.lead[g], self.lost[g]) else {
            return Answer::Skipped;
        };
        let store = subject.store();
        let remembered = self.seen[g].values();
        for container in remembered.filter(|c| one.as_ref().is_none_or(|one| *one == c.id)) {
            if !store.restore(container, fence).await.unwrap() {
                return Answer::Is(false);
            }
        }
        if one.is_none() {
            assert_eq!(store.pool_id(POOL).await.unwrap(), POOL);
            self.lost[g] = false;
        }
        Answer::Is(true)
    }

    /// By what both sides call a claim.
    pub(super) fn claim_called(&self, claim: ClaimNumber) -> Option<usize> {
        self.claims.iter().position(|known| *known == claim)
    }

    /// Claims that were taken over have numbers of their own.
    pub(super) fn know_claim(&mut self, claim: ClaimNumber) {
        number(&mut self.claims, claim);
    }
}

/// By what both sides call something that is numbered. What is new is above all that was.
fn number<T: PartialEq + PartialOrd + std::fmt::Debug>(known: &mut Vec<T>, given: T) -> usize {
    if let Some(place) = known.iter().position(|known| *known == given) {
        return place;
    }
    assert!(
        known.last().is_none_or(|last| *last < given),
        "{given:?} does not come after {:?}",
        known.last()
    );
    known.push(given);
    known.len() - 1
}
