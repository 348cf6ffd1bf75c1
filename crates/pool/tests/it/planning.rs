//! The plan over random pools: never above the cap, and nothing left to do once it was done.

use ccpool::plan::{Action, Desired, Observed, plan};
use ccpool::protocol::record::ContainerState;
use ccpool::runtime::{Exit, Presence};
use ccpool::{Activity, Container, ContainerId, SessionId, TurnId};
use proptest::prelude::*;

const NOW: u64 = 10_000_000_000;

fn desired() -> impl Strategy<Value = Desired> {
    (0usize..5, 1usize..8, any::<bool>(), any::<bool>()).prop_map(
        |(warm, total, tools, draining)| Desired {
            min_warm: warm.min(total),
            max_total: total,
            startup_ms: 30_000,
            idle_ms: 300_000,
            max_age_ms: 3_600_000,
            heartbeat_ms: 20_000,
            tools_required: tools,
            fingerprint: "new".to_owned(),
            draining,
        },
    )
}

prop_compose! {
    fn container(bits: u64)(
        state in prop_oneof![
            Just(ContainerState::Creating),
            Just(ContainerState::Warm),
            Just(ContainerState::Assigned),
            Just(ContainerState::Draining),
            Just(ContainerState::Failed),
        ],
        age in 0u64..5_000_000,
        silence in 0u64..40_000,
        ready in any::<bool>(),
        listed in any::<bool>(),
        started in any::<bool>(),
        outdated in any::<bool>(),
        busy in any::<bool>(),
        untold in any::<bool>(),
        idle in 0u64..600_000,
    ) -> Container {
        let assigned = state == ContainerState::Assigned;
        Container {
            id: ContainerId::from_random(bits),
            state,
            session: assigned.then(|| SessionId::new(format!("s{bits}")).unwrap()),
            agent: None,
            fingerprint: if outdated { "old" } else { "new" }.to_owned(),
            acl_hash: None,
            runtime_id: started.then(|| "r".to_owned()),
            created_at: NOW - age,
            tools_listed_at: listed.then_some(NOW),
            warm_at: None,
            assigned_at: None,
            reason: None,
            registered_at: ready.then_some(NOW),
            ready_at: ready.then_some(NOW),
            heartbeat: Some(NOW - silence),
            failure: None,
            undelivered: assigned && untold,
            activity: assigned.then(|| Activity {
                turn: busy.then(|| TurnId::new("t").unwrap()),
                last_activity: NOW - idle,
            }),
        }
    }
}

fn observed() -> impl Strategy<Value = Observed> {
    let one = (1u64..1000).prop_flat_map(|bits| (container(bits), any::<Option<bool>>()));
    (
        proptest::collection::vec(one, 0..9),
        0usize..6,
        any::<bool>(),
    )
        .prop_map(|(containers, waiting, answers)| {
            let mut seen = std::collections::BTreeSet::new();
            let containers: Vec<_> = containers
                .into_iter()
                .filter(|(c, _)| seen.insert(c.id.clone()))
                .collect();
            let present = containers
                .iter()
                .filter_map(|(c, alive)| {
                    let exit = Presence::Exited(Exit {
                        code: Some(1),
                        oom: false,
                    });
                    let presence = if (*alive)? { Presence::Running } else { exit };
                    Some((c.id.clone(), presence))
                })
                .collect();
            Observed {
                containers: containers.into_iter().map(|(c, _)| c).collect(),
                present: answers.then_some(present),
                waiting,
                refill_allowance: usize::MAX,
                now: NOW,
            }
        })
}

/// What the world looks like when every action has succeeded and new containers are ready.
fn carried_out(observed: &Observed, actions: &[Action], desired: &Desired, round: u64) -> Observed {
    let mut next = observed.clone();
    for (number, action) in actions.iter().enumerate() {
        match action {
            Action::Create => {
                let id = ContainerId::from_random(1_000_000 + round * 1000 + number as u64);
                if let Some(present) = &mut next.present {
                    present.insert(id.clone(), Presence::Running);
                }
                next.containers.push(Container {
                    id,
                    state: ContainerState::Creating,
                    session: None,
                    agent: None,
                    fingerprint: desired.fingerprint.clone(),
                    acl_hash: None,
                    runtime_id: Some("r".to_owned()),
                    created_at: NOW,
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
                });
            }
            Action::Promote(id) => {
                let mut all = next.containers.iter_mut();
                all.find(|c| c.id == *id).unwrap().state = ContainerState::Warm;
            }
            Action::Deliver(id) => {
                let mut all = next.containers.iter_mut();
                all.find(|c| c.id == *id).unwrap().undelivered = false;
            }
            Action::Retire(id, _) | Action::Fail(id, _) | Action::Reap(id) => {
                next.containers.retain(|c| c.id != *id);
                if let Some(present) = &mut next.present {
                    present.remove(id);
                }
            }
        }
    }
    next
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn never_above_the_cap_and_at_rest_in_the_end(desired in desired(), start in observed()) {
        let mut world = start;
        let mut rounds = 0;
        loop {
            let actions = plan(&desired, &world);
            let created = actions.iter().filter(|a| **a == Action::Create).count();
            prop_assert!(created == 0 || world.containers.len() + created <= desired.max_total);
            let mut named: Vec<_> = actions.iter().filter_map(Action::container).collect();
            let count = named.len();
            named.sort();
            named.dedup();
            prop_assert_eq!(named.len(), count, "two actions for one container: {:?}", actions);
            for action in &actions {
                if let Action::Retire(id, _) = action {
                    let found = world.containers.iter().find(|c| c.id == *id).unwrap();
                    prop_assert!(found.state == ContainerState::Draining || !found.is_busy());
                }
            }
            if actions.is_empty() {
                break;
            }
            world = carried_out(&world, &actions, &desired, rounds);
            rounds += 1;
            prop_assert!(rounds < 60, "it never comes to rest: {:?}", actions);
        }
        let untold = |c: &Container| c.state == ContainerState::Assigned && c.undelivered;
        prop_assert!(!world.containers.iter().any(untold));
        let spares = world.containers.iter().filter(|c| c.state == ContainerState::Warm).count();
        let room = desired.max_total > world.containers.len();
        if !desired.draining && world.containers.iter().all(|c| c.state != ContainerState::Creating) {
            prop_assert!(spares >= desired.min_warm.max(world.waiting) || !room);
        }
    }
}
