//! What the pool should do next: a pure function of what it wants and what it sees.
//!
//! Planning again after the actions were carried out yields nothing.

use std::collections::{BTreeMap, BTreeSet};

use ccpool_protocol::record::ContainerState;
use ccpool_protocol::{ContainerId, UnixMs};

use crate::container::Container;
use crate::runtime::{Exit, Presence};

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
    /// No new claims and no spares: the gateway is going, or was told to drain.
    pub draining: bool,
}

/// What the pool sees.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// By Redis.
    pub containers: Vec<Container>,
    /// By the runtime. None: the runtime did not answer, so nothing is concluded from absence.
    pub present: Option<BTreeMap<ContainerId, Presence>>,
    /// Claims that wait for a container.
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
            | Self::Retire(id, _)
            | Self::Fail(id, _)
            | Self::Reap(id) => Some(id),
        }
    }
}

/// Compares the two and says what to do.
///
/// A spare that is outdated (made from another configuration, or nearly too old) is replaced
/// before it is removed, one at a time: first one more is started, then the old one goes. Only at
/// the cap it goes first.
pub fn plan(desired: &Desired, observed: &Observed) -> Vec<Action> {
    let mut actions: Vec<Action> = observed
        .containers
        .iter()
        .filter_map(|container| judge(desired, observed, container))
        .collect();
    actions.extend(orphans(observed));

    let going: BTreeSet<&ContainerId> = actions
        .iter()
        .filter(|action| matches!(action, Action::Retire(..) | Action::Fail(..)))
        .filter_map(Action::container)
        .collect();
    let mut spares: Vec<&Container> = observed
        .containers
        .iter()
        .filter(|container| is_spare(container) && !going.contains(&container.id))
        .collect();
    if desired.draining {
        return actions;
    }
    if let Some(position) = replaceable(desired, observed, &spares) {
        let outdated = spares.swap_remove(position);
        actions.push(Action::Retire(outdated.id.clone(), "outdated".to_owned()));
    }
    actions.extend(std::iter::repeat_n(
        Action::Create,
        missing(desired, observed, &spares),
    ));
    actions
}

/// Which spare can go because it is outdated and another one stands in for it.
fn replaceable(desired: &Desired, observed: &Observed, spares: &[&Container]) -> Option<usize> {
    let warm = |container: &&&Container| container.state == ContainerState::Warm;
    let at_cap = observed.containers.len() >= desired.max_total;
    if !at_cap && spares.iter().filter(warm).count() <= desired.min_warm {
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
    let room = desired.max_total.saturating_sub(observed.containers.len());
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
    if container.state == ContainerState::Creating {
        let tools_ok = container.tools_listed_at.is_some() || !desired.tools_required;
        let ready = container.ready_at.is_some() && tools_ok;
        return ready.then_some(Action::Promote(id));
    }
    if container.undelivered {
        return Some(Action::Deliver(id));
    }
    let too_old = age(observed, container) > desired.max_age_ms;
    match &container.activity {
        None if desired.draining => retire("the pool is draining"),
        None if container.state == ContainerState::Warm && too_old => retire("too old"),
        None => None,
        Some(activity) if activity.turn.is_some() => None,
        Some(_) if desired.draining => retire("the pool is draining"),
        Some(_) if too_old => retire("too old"),
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
            // A reservation that the runtime has not answered yet is not there, and may come.
            None if container.runtime_id.is_some() => {
                return Some("the runtime no longer has it".to_owned());
            }
            None | Some(Presence::Running) => {}
        }
    }
    if let Some(failure) = &container.failure {
        return Some(failure.clone());
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
        Exit { oom: true, .. } => "it ran out of memory; raise `resources.memory`".to_owned(),
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
        (None, _) => "its wrapper never reached Redis; check the address that containers use",
        (Some(_), None) => "claude did not answer",
        (Some(_), Some(_)) => {
            "it never listed the gateway's tools; check the address that containers use"
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
mod tests {
    use super::*;
    use crate::container::Activity;
    use ccpool_protocol::{SessionId, TurnId};

    const NOW: UnixMs = 1_000_000_000;

    fn desired() -> Desired {
        Desired {
            min_warm: 2,
            max_total: 4,
            startup_ms: 30_000,
            idle_ms: 300_000,
            max_age_ms: 3_600_000,
            heartbeat_ms: 15_000,
            tools_required: true,
            fingerprint: "f1".into(),
            draining: false,
        }
    }

    fn container(bits: u64, state: ContainerState) -> Container {
        Container {
            id: ContainerId::from_random(bits),
            state,
            session: None,
            agent: None,
            fingerprint: "f1".into(),
            acl_hash: None,
            runtime_id: Some("r".into()),
            created_at: NOW - 5_000,
            tools_listed_at: Some(NOW),
            warm_at: None,
            assigned_at: None,
            reason: None,
            registered_at: Some(NOW),
            ready_at: Some(NOW),
            heartbeat: Some(NOW),
            failure: None,
            undelivered: false,
            activity: None,
        }
    }

    fn assigned(bits: u64, turn: Option<&str>, last_activity: UnixMs) -> Container {
        Container {
            session: Some(SessionId::new("s").unwrap()),
            activity: Some(Activity {
                turn: turn.map(|t| TurnId::new(t).unwrap()),
                last_activity,
            }),
            ..container(bits, ContainerState::Assigned)
        }
    }

    fn seen(containers: Vec<Container>) -> Observed {
        let present = containers
            .iter()
            .map(|c| (c.id.clone(), Presence::Running))
            .collect();
        Observed {
            containers,
            present: Some(present),
            waiting: 0,
            refill_allowance: 100,
            now: NOW,
        }
    }

    fn words(actions: &[Action]) -> Vec<String> {
        actions
            .iter()
            .map(|action| match action {
                Action::Create => "create".to_owned(),
                Action::Promote(_) => "promote".to_owned(),
                Action::Deliver(_) => "deliver".to_owned(),
                Action::Retire(_, why) => format!("retire: {why}"),
                Action::Fail(_, why) => format!("fail: {why}"),
                Action::Reap(_) => "reap".to_owned(),
            })
            .collect()
    }

    fn planned(observed: &Observed) -> Vec<String> {
        words(&plan(&desired(), observed))
    }

    #[test]
    fn an_empty_pool_is_filled_and_a_full_one_left_alone() {
        assert_eq!(planned(&seen(vec![])), ["create", "create"]);
        let full = vec![
            container(1, ContainerState::Warm),
            container(2, ContainerState::Warm),
        ];
        assert_eq!(planned(&seen(full)), Vec::<String>::new());
    }

    #[test]
    fn the_cap_counts_everything_and_waiters_count_as_wish() {
        let mut observed = seen((1..=3).map(|n| assigned(n, None, NOW)).collect());
        observed.waiting = 9;
        assert_eq!(planned(&observed), ["create"]);
        observed.refill_allowance = 0;
        assert_eq!(planned(&observed), Vec::<String>::new());
    }

    #[test]
    fn ready_with_its_tools_listed_is_warm() {
        let mut booting = container(1, ContainerState::Creating);
        let spare = container(2, ContainerState::Warm);
        assert_eq!(
            planned(&seen(vec![booting.clone(), spare.clone()])),
            ["promote"]
        );
        booting.tools_listed_at = None;
        assert_eq!(
            planned(&seen(vec![booting.clone(), spare.clone()])),
            Vec::<String>::new()
        );
        booting.created_at = NOW - 31_000;
        let actions = planned(&seen(vec![booting, spare]));
        assert!(
            actions[0].starts_with("fail: not warm after 31 s: it never listed"),
            "{actions:?}"
        );
        assert_eq!(actions[1], "create");
    }

    #[test]
    fn exits_are_told_apart() {
        let exit = |oom, code| {
            let mut observed = seen(vec![container(1, ContainerState::Warm)]);
            let id = observed.containers[0].id.clone();
            observed.present = Some([(id, Presence::Exited(Exit { code, oom }))].into());
            planned(&observed).swap_remove(0)
        };
        assert_eq!(exit(false, Some(137)), "fail: it exited with code 137");
        assert!(exit(true, Some(137)).contains("out of memory"));
    }

    #[test]
    fn a_runtime_that_does_not_answer_proves_nothing() {
        let mut observed = seen(vec![
            container(1, ContainerState::Warm),
            container(2, ContainerState::Warm),
        ]);
        observed.present = None;
        assert_eq!(planned(&observed), Vec::<String>::new());
        observed.present = Some(BTreeMap::new());
        assert_eq!(planned(&observed)[0], "fail: the runtime no longer has it");
    }

    #[test]
    fn age_and_idleness_never_cut_a_turn() {
        let spares = [
            container(8, ContainerState::Warm),
            container(9, ContainerState::Warm),
        ];
        let with = |c: Container| planned(&seen([&spares[..], &[c]].concat()));
        let mut old = assigned(1, Some("t"), NOW - 400_000);
        old.created_at = NOW - 4_000_000;
        assert_eq!(with(old.clone()), Vec::<String>::new());
        old.activity = Some(Activity {
            turn: None,
            last_activity: NOW,
        });
        assert_eq!(with(old), ["retire: too old"]);
        assert_eq!(with(assigned(1, None, NOW - 301_000)), ["retire: idle"]);
    }

    #[test]
    fn a_stopped_heartbeat_is_death() {
        let mut silent = assigned(1, Some("t"), NOW);
        silent.heartbeat = Some(NOW - 16_000);
        let spares = vec![
            container(8, ContainerState::Warm),
            container(9, ContainerState::Warm),
        ];
        let observed = seen([spares, vec![silent]].concat());
        assert_eq!(
            planned(&observed),
            ["fail: its heartbeat has stopped 16 s ago"]
        );
    }

    #[test]
    fn a_changed_configuration_replaces_spares_one_at_a_time() {
        let old = |n| Container {
            fingerprint: "f0".into(),
            ..container(n, ContainerState::Warm)
        };
        assert_eq!(planned(&seen(vec![old(1), old(2)])), ["create"]);
        let surging = seen(vec![old(1), old(2), container(3, ContainerState::Creating)]);
        assert_eq!(planned(&surging), ["promote"]);
        let replaced = seen(vec![old(1), old(2), container(3, ContainerState::Warm)]);
        assert_eq!(planned(&replaced), ["retire: outdated", "create"]);
        let at_cap = seen(vec![
            old(1),
            old(2),
            assigned(3, None, NOW),
            assigned(4, None, NOW),
        ]);
        assert_eq!(planned(&at_cap), ["retire: outdated"]);
    }

    #[test]
    fn strangers_are_reaped() {
        let mut observed = seen(vec![
            container(1, ContainerState::Warm),
            container(2, ContainerState::Warm),
        ]);
        let stranger = ContainerId::from_random(77);
        observed
            .present
            .as_mut()
            .unwrap()
            .insert(stranger.clone(), Presence::Running);
        assert_eq!(plan(&desired(), &observed), [Action::Reap(stranger)]);
    }

    #[test]
    fn a_draining_pool_lets_everything_go_but_running_turns() {
        let observed = seen(vec![
            container(1, ContainerState::Warm),
            assigned(2, Some("t"), NOW),
            assigned(3, None, NOW),
        ]);
        let desired = Desired {
            draining: true,
            ..desired()
        };
        let why = "retire: the pool is draining";
        assert_eq!(words(&plan(&desired, &observed)), [why, why]);
    }
}
