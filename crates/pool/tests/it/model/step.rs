//! What can happen to the shared state, one step at a time.

use std::time::Duration;

use ccpool::store::ClaimTerms;
use ccpool::{ContainerId, SessionId};
use proptest::prelude::*;

use crate::contract::subject::{gateway, session, terms};

pub(super) const GATEWAYS: usize = 3;
/// Callers of one agent are three apart, those of one session six.
pub(super) const CALLERS: usize = 8;
pub(super) const AGENTS: [&str; 3] = ["a0", "a1", "a2"];
pub(super) const SESSIONS: usize = 6;
/// How many containers may exist.
pub(super) const CAP: usize = 3;
/// How many sessions an agent may have.
pub(super) const MOST: usize = 2;

/// Less than what anything is kept for, and more than half of it is passed with two of these.
pub(super) const WHILE: Duration = Duration::from_secs(25);
/// More than what anything is kept for.
pub(super) const LONG: Duration = Duration::from_secs(70);

/// One step. Gateways and callers are numbered, containers counted back from the newest one.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Attend(usize),
    Leave(usize),
    /// A gateway looks at all containers, and remembers them.
    Look(usize),
    Reserve(usize),
    /// A leader draws the number of a look,
    Draw(usize),
    /// and says that no container can be started, or that they can be.
    Say(usize, bool),
    Ready(usize),
    /// A wrapper says that it serves a session of which nobody knows.
    Stray(usize),
    /// With the gateway's fence, or as who looks after its host.
    Promote(usize, usize, bool),
    Claim(usize),
    Withdraw(usize),
    Deliver(usize),
    Adopt(usize, usize),
    Retire(usize, usize, When, bool),
    /// The rest of a retirement, once the container is gone.
    Release(usize),
    Push(usize),
    /// A turn begins, or ends.
    Work(usize, bool),
    /// Redis loses everything.
    Empty,
    /// A gateway writes down one container that it remembers, or all of them.
    Restore(usize, Option<usize>),
    Count,
    Pass(Duration),
    /// What seldom comes together by chance.
    Several(Vec<Step>),
}

impl Step {
    /// The single steps that this one is.
    pub(super) fn parts(&self) -> &[Self] {
        match self {
            Self::Several(parts) => parts,
            single => std::slice::from_ref(single),
        }
    }
}

/// What must still be so when a container is taken out of service.
#[derive(Debug, Clone, Copy)]
pub(super) enum When {
    Always,
    Serves,
    Quiet,
}

pub(super) fn any_step() -> impl Strategy<Value = Step> {
    let gateway = || 0..GATEWAYS;
    let caller = || 0..CALLERS;
    let container = || 0..4usize;
    let when = prop_oneof![Just(When::Always), Just(When::Serves), Just(When::Quiet)];
    prop_oneof![
        6 => gateway().prop_map(Step::Attend),
        1 => gateway().prop_map(Step::Leave),
        6 => gateway().prop_map(Step::Look),
        10 => gateway().prop_map(Step::Reserve),
        3 => gateway().prop_map(Step::Draw),
        4 => (gateway(), any::<bool>()).prop_map(|(g, none)| Step::Say(g, none)),
        10 => container().prop_map(Step::Ready),
        1 => container().prop_map(Step::Stray),
        10 => (gateway(), container(), any::<bool>()).prop_map(|(g, c, f)| Step::Promote(g, c, f)),
        24 => caller().prop_map(Step::Claim),
        3 => caller().prop_map(Step::Withdraw),
        4 => caller().prop_map(Step::Deliver),
        4 => (gateway(), container()).prop_map(|(g, c)| Step::Adopt(g, c)),
        6 => (gateway(), container(), when, any::<bool>())
            .prop_map(|(g, c, when, f)| Step::Retire(g, c, when, f)),
        8 => container().prop_map(Step::Release),
        3 => (0..SESSIONS).prop_map(Step::Push),
        2 => (0..SESSIONS, any::<bool>()).prop_map(|(s, busy)| Step::Work(s, busy)),
        1 => Just(Step::Empty),
        3 => (gateway(), proptest::option::of(container()))
            .prop_map(|(g, c)| Step::Restore(g, c)),
        2 => Just(Step::Count),
        3 => Just(Step::Pass(WHILE)),
        1 => Just(Step::Pass(LONG)),
        16 => gateway().prop_map(supply),
        12 => (gateway(), container()).prop_map(|(g, c)| finish(g, c, None)),
        4 => (gateway(), container(), caller()).prop_map(|(g, c, k)| finish(g, c, Some(k))),
        4 => (gateway(), container()).prop_map(|(g, c)| {
            Step::Several(vec![Step::Attend(g), Step::Look(g), Step::Adopt(g, c)])
        }),
        2 => gateway().prop_map(recover),
    ]
}

/// A gateway adds a container that can be claimed, as far as it may.
fn supply(g: usize) -> Step {
    Step::Several(vec![
        Step::Attend(g),
        Step::Reserve(g),
        Step::Ready(0),
        Step::Promote(g, 0, true),
    ])
}

/// A gateway looks, and a container goes. A claim may come in between.
fn finish(g: usize, back: usize, caller: Option<usize>) -> Step {
    let mut parts = vec![Step::Look(g)];
    parts.extend(caller.map(Step::Claim));
    parts.push(Step::Retire(g, back, When::Always, false));
    parts.push(Step::Release(back));
    Step::Several(parts)
}

/// Redis loses everything, and a gateway writes it down again.
fn recover(g: usize) -> Step {
    Step::Several(vec![
        Step::Look(g),
        Step::Empty,
        Step::Attend(g),
        Step::Restore(g, None),
    ])
}

/// What a caller asks for, without its ticket.
pub(super) fn asked_by(caller: usize) -> ClaimTerms {
    let session = format!("s{}", caller % SESSIONS);
    ClaimTerms {
        gateway: gateway(gateway_number(caller % GATEWAYS)),
        max_per_agent: MOST,
        ..terms(&session, AGENTS[caller % AGENTS.len()])
    }
}

pub(super) fn gateway_number(gateway: usize) -> u64 {
    gateway as u64 + 1
}

pub(super) fn session_number(number: usize) -> SessionId {
    session(&format!("s{number}"))
}

/// The container that is `back` before the newest one of `created`.
pub(super) fn container_before(created: u64, back: usize) -> ContainerId {
    ContainerId::from_random(created.saturating_sub(back as u64))
}
