//! What the pool should do next: a pure function of what it wants and what it sees.
//!
//! Planning again after the actions were carried out yields nothing.

use std::collections::{BTreeMap, BTreeSet};

use ccpool_protocol::record::ContainerState;
use ccpool_protocol::{ContainerId, UnixMs};

use crate::container::Container;
use crate::gateway::GatewayId;
use crate::runtime::{Exit, Presence};
use crate::standing::Standing;

/// How a container has ended that used more memory than it may.
pub(crate) const OUT_OF_MEMORY: &str = "it ran out of memory; raise `resources.memory`";

/// What the pool wants. Times are milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    /// Claimable or on the way to it.
    pub min_warm: usize,
    /// Everything that exists.
    pub max_total: usize,
    /// From the reservation to being warm.
    pub startup_ms: u64,
    /// A session without activity for this long ends.
    pub idle_ms: u64,
    /// A container older than this is replaced, after its turn.
    pub max_age_ms: u64,
    /// A wrapper that was not heard of for this long is dead.
    pub heartbeat_ms: u64,
    /// A warm container must have listed the gateway's tools.
    pub tools_required: bool,
    /// What new containers are made from.
    pub fingerprint: String,
    /// A spare that is not needed is let go this long after it became warm.
    pub surplus_ms: u64,
    /// No new claims and no spares: the pool was told to drain.
    pub draining: bool,
    /// This gateway is going, and it is the last one on its host.
    pub leaving: bool,
}

/// What the pool sees.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// Who plans.
    pub me: GatewayId,
    /// How it stands among the other gateways. Only who leads starts containers; who is not the
    /// steward of a container's host leaves it alone.
    pub standing: Standing,
    /// By Redis.
    pub containers: Vec<Container>,
    /// By the runtime. None: the runtime did not answer, so nothing is concluded from absence.
    pub present: Option<BTreeMap<ContainerId, Presence>>,
    /// Claims that another container would serve, in all gateways.
    pub waiting: usize,
    /// How many containers may be started now; see [`crate::refill::Refill`].
    pub refill_allowance: usize,
    /// When this was seen.
    pub now: UnixMs,
}

/// One thing to do. There is at most one per container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Start a new container.
    Create,
    /// Make a ready one claimable.
    Promote(ContainerId),
    /// Tell a claimed one whom it serves: its claim was cut off before it did.
    Deliver(ContainerId),
    /// Take over the claim of a gateway that is gone.
    Adopt(ContainerId),
    /// Let one go in good order, with the reason.
    Retire(ContainerId, String),
    /// Get rid of a broken one, with the reason.
    Fail(ContainerId, String),
    /// Remove one that nothing in Redis knows.
    Reap(ContainerId),
}

impl Action {
    /// The container it is about.
    pub fn container(&self) -> Option<&ContainerId> {
        match self {
            Self::Create => None,
            Self::Promote(id)
            | Self::Deliver(id)
            | Self::Adopt(id)
            | Self::Retire(id, _)
            | Self::Fail(id, _)
            | Self::Reap(id) => Some(id),
        }
    }
}

/// Compares the two and says what to do.
///
/// A spare that is outdated (made from another configuration, or nearly too old) is replaced
/// before it is removed, one at a time: first one more is started, then the old one goes. Only where
/// the cap leaves no place for that it goes first.
pub fn plan(desired: &Desired, observed: &Observed) -> Vec<Action> {
    let stewarded = |container: &&Container| observed.is_steward(&container.host);
    let mut actions: Vec<Action> = observed
        .containers
        .iter()
        .filter(stewarded)
        .filter_map(|container| judge(desired, observed, container))
        .collect();
    if observed.is_steward(observed.me.host()) {
        actions.extend(orphans(observed));
    }
    if observed.standing.fence.is_none() {
        return actions;
    }
    let orphaned = observed
        .containers
        .iter()
        .filter(|c| observed.is_orphaned(c));
    for container in orphaned {
        let planned = |action: &Action| action.container() == Some(&container.id);
        match actions.iter_mut().find(|action| planned(action)) {
            // Its claim is delivered by whoever holds it.
            Some(action @ Action::Deliver(_)) => *action = Action::Adopt(container.id.clone()),
            Some(_) => {}
            None => actions.push(Action::Adopt(container.id.clone())),
        }
    }
    let going: BTreeSet<ContainerId> = actions
        .iter()
        .filter(|action| matches!(action, Action::Retire(..) | Action::Fail(..)))
        .filter_map(Action::container)
        .cloned()
        .collect();
    let mut spares: Vec<&Container> = observed
        .containers
        .iter()
        .filter(|container| is_spare(container) && !going.contains(&container.id))
        .collect();
    if desired.draining || desired.leaving {
        return actions;
    }
    let over = surplus(desired, observed, &spares, going.len());
    actions.extend(over.iter().map(|id| retire(id, "not needed")));
    spares.retain(|spare| !over.contains(&spare.id));
    if let Some(position) = replaceable(desired, observed, &spares, going.len()) {
        let outdated = spares.swap_remove(position);
        actions.push(retire(&outdated.id, "outdated"));
    }
    actions.extend(std::iter::repeat_n(
        Action::Create,
        missing(desired, observed, &spares),
    ));
    actions
}

impl Observed {
    fn is_steward(&self, host: &str) -> bool {
        self.standing.is_steward(&self.me, host)
    }

    /// Its claim's gateway is gone.
    fn is_orphaned(&self, container: &Container) -> bool {
        let lives = |owner: &str| {
            self.standing
                .gateways
                .iter()
                .any(|g| g.to_string() == owner)
        };
        container.state == ContainerState::Assigned
            && !container.owner.as_deref().is_some_and(lives)
    }
}

fn retire(container: &ContainerId, reason: &str) -> Action {
    Action::Retire(container.clone(), reason.to_owned())
}

/// Warm spares that are too many: at once where there are more containers than there may be, and
/// after a while where there are more than are wished for. The longest-warm ones go.
fn surplus(
    desired: &Desired,
    observed: &Observed,
    spares: &[&Container],
    going: usize,
) -> Vec<ContainerId> {
    let mut warm: Vec<&&Container> = spares
        .iter()
        .filter(|spare| spare.state == ContainerState::Warm)
        .collect();
    warm.sort_by_key(|spare| spare.warm_at);
    let remaining = observed.containers.len() - going;
    let above_cap = remaining.saturating_sub(desired.max_total);
    let wish = desired.min_warm.max(observed.waiting);
    // One more than the wish stands in for one that is to be replaced.
    let kept = wish + 1;
    let above_wish = if spares.iter().any(|s| is_outdated(desired, observed, s)) {
        spares.len().saturating_sub(kept)
    } else {
        spares.len().saturating_sub(wish)
    };
    let aged = |spare: &Container| {
        let since = spare.warm_at.unwrap_or(spare.created_at);
        observed.now.saturating_sub(since) > desired.surplus_ms
    };
    let (at_once, later) = warm.split_at(above_cap.min(warm.len()));
    let later = later
        .iter()
        .filter(|spare| aged(spare))
        .take(above_wish.saturating_sub(at_once.len()));
    at_once.iter().chain(later).map(|s| s.id.clone()).collect()
}

/// Which spare can go because it is outdated and another one stands in for it, or because there is
/// no place for another one and none is about to be free.
fn replaceable(
    desired: &Desired,
    observed: &Observed,
    spares: &[&Container],
    going: usize,
) -> Option<usize> {
    let warm = |container: &&&Container| container.state == ContainerState::Warm;
    let settled = |container: &Container| match container.state {
        ContainerState::Warm | ContainerState::Assigned => true,
        ContainerState::Creating | ContainerState::Draining | ContainerState::Failed => false,
    };
    let stuck = observed.containers.len() >= desired.max_total
        && going == 0
        && observed.containers.iter().all(settled);
    if !stuck && spares.iter().filter(warm).count() <= desired.min_warm {
        return None;
    }
    spares.iter().position(|spare| {
        spare.state == ContainerState::Warm && is_outdated(desired, observed, spare)
    })
}

/// How many to start: up to the wish, up to the cap, as fast as refill allows. While outdated
/// spares fill the pool, one more than the wish.
fn missing(desired: &Desired, observed: &Observed, spares: &[&Container]) -> usize {
    let wish = desired.min_warm.max(observed.waiting);
    let outdated = spares
        .iter()
        .any(|spare| is_outdated(desired, observed, spare));
    let surge = usize::from(outdated && spares.len() <= wish);
    // What nobody knows still takes its place until it is removed.
    let there = observed.containers.len() + orphans(observed).len();
    let room = desired.max_total.saturating_sub(there);
    (wish.saturating_sub(spares.len()))
        .max(surge)
        .min(room)
        .min(observed.refill_allowance)
}

fn is_spare(container: &Container) -> bool {
    matches!(
        container.state,
        ContainerState::Creating | ContainerState::Warm
    )
}

fn is_outdated(desired: &Desired, observed: &Observed, container: &Container) -> bool {
    container.fingerprint != desired.fingerprint
        || age(observed, container) > desired.max_age_ms / 10 * 9
}

fn age(observed: &Observed, container: &Container) -> u64 {
    observed.now.saturating_sub(container.created_at)
}

/// What is wrong with one container, or ripe about it.
fn judge(desired: &Desired, observed: &Observed, container: &Container) -> Option<Action> {
    let id = container.id.clone();
    let retire = |reason: &str| Some(Action::Retire(id.clone(), reason.to_owned()));
    match container.state {
        ContainerState::Draining => {
            return retire(container.reason.as_deref().unwrap_or("draining"));
        }
        ContainerState::Failed => {
            let reason = container
                .reason
                .clone()
                .unwrap_or_else(|| "failed".to_owned());
            return Some(Action::Fail(id, reason));
        }
        ContainerState::Creating | ContainerState::Warm | ContainerState::Assigned => {}
    }
    if let Some(reason) = broken(desired, observed, container) {
        return Some(Action::Fail(id, reason));
    }
    let draining = desired.draining || desired.leaving && container.host == observed.me.host();
    if container.state == ContainerState::Creating {
        let tools_ok = container.tools_listed_at.is_some() || !desired.tools_required;
        let ready = container.ready_at.is_some() && tools_ok;
        if draining {
            return retire("the pool is draining");
        }
        return ready.then_some(Action::Promote(id));
    }
    if container.undelivered {
        return Some(Action::Deliver(id));
    }
    let too_old = age(observed, container) > desired.max_age_ms;
    match &container.activity {
        None if draining => retire("the pool is draining"),
        None if container.state == ContainerState::Warm && too_old => retire("too old"),
        None => None,
        Some(activity) if activity.turn.is_some() => None,
        Some(_) if draining => retire("the pool is draining"),
        Some(_) if too_old => retire("too old"),
        // A background task may ask between turns; the request has a deadline of its own.
        Some(activity) if activity.asks => None,
        Some(activity) => {
            let idle = observed.now.saturating_sub(activity.last_activity);
            if idle > desired.idle_ms {
                retire("idle")
            } else {
                None
            }
        }
    }
}

fn broken(desired: &Desired, observed: &Observed, container: &Container) -> Option<String> {
    if let Some(present) = &observed.present {
        match present.get(&container.id) {
            Some(Presence::Exited(exit)) => return Some(died(container, exit)),
            // A reservation that the runtime has not answered yet is not there, and may come. What
            // runs on another host is not in the list.
            None if container.runtime_id.is_some() && container.host == observed.me.host() => {
                return Some("the runtime no longer has it".to_owned());
            }
            None | Some(Presence::Running) => {}
        }
    }
    if let Some(failure) = &container.failure {
        return Some(failure.clone());
    }
    if let Some(said) = &container.said_session
        && container.has_lost_its_claim()
    {
        // Nobody knows of the session any more.
        return Some(format!(
            "it serves the session `{said}`, which is not its own"
        ));
    }
    if container.state == ContainerState::Creating {
        let age = age(observed, container);
        return (age > desired.startup_ms).then(|| not_warm_in_time(container, age));
    }
    let silence = observed
        .now
        .saturating_sub(container.heartbeat.unwrap_or(container.created_at));
    (silence > desired.heartbeat_ms)
        .then(|| format!("its heartbeat has stopped {} s ago", silence / 1000))
}

fn died(container: &Container, exit: &Exit) -> String {
    let how = match exit {
        Exit { oom: true, .. } => OUT_OF_MEMORY.to_owned(),
        Exit {
            code: Some(code), ..
        } => format!("it exited with code {code}"),
        Exit { code: None, .. } => "it was killed".to_owned(),
    };
    match &container.failure {
        Some(failure) => format!("{failure} ({how})"),
        None => how,
    }
}

fn not_warm_in_time(container: &Container, age: u64) -> String {
    let missing = match (container.registered_at, container.ready_at) {
        (None, _) => {
            "its wrapper never reached Redis; check redis.containerUrl, or ask `ccpool doctor`"
        }
        (Some(_), None) => "claude did not answer",
        (Some(_), Some(_)) => {
            "it never listed the gateway's tools; check docker.gatewayUrl, or ask `ccpool doctor`"
        }
    };
    format!("not warm after {} s: {missing}", age / 1000)
}

fn orphans(observed: &Observed) -> Vec<Action> {
    let known: BTreeSet<&ContainerId> = observed.containers.iter().map(|c| &c.id).collect();
    let present = observed.present.iter().flatten();
    present
        .filter(|(id, _)| !known.contains(id))
        .map(|(id, _)| Action::Reap(id.clone()))
        .collect()
}

#[cfg(test)]
mod tests;
