use super::*;
use crate::container::Activity;
use crate::standing::{Fence, Settings};
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
        surplus_ms: 60_000,
        draining: false,
        leaving: false,
    }
}

fn me() -> GatewayId {
    GatewayId::from_random(1, "here")
}

/// The only gateway, which leads.
fn alone() -> Standing {
    Standing {
        now: NOW,
        fence: Some(Fence(1)),
        leader: Some(me()),
        trouble: None,
        gateways: vec![me()],
        settings: Settings::default(),
        emptied: false,
        settled: true,
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
        host: "here".into(),
        owner: (state == ContainerState::Assigned).then(|| me().to_string()),
        claim: None,
        record: BTreeMap::new(),
        said_session: None,
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
            ..Activity::default()
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
        me: me(),
        standing: alone(),
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
            Action::Adopt(_) => "adopt".to_owned(),
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
        ..Activity::default()
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
