//! The plan over random pools: never above the cap, and nothing left to do once it was done.

use ccpool::plan::{Action, Desired, Observed, plan};
use ccpool::protocol::record::ContainerState;
use ccpool::runtime::{Exit, Presence};
use ccpool::standing::{Fence, Settings, Standing};
use ccpool::{Activity, Container, ContainerId, GatewayId, SessionId, TurnId};
use proptest::prelude::*;

const NOW: u64 = 10_000_000_000;

/// 0 and 1 run on one host, 2 on another one, and 3 is gone with its host.
fn gateway(number: u64) -> GatewayId {
    GatewayId::from_random(number, ["here", "here", "there", "gone"][number as usize])
}

/// How gateway 0 stands: with any of the others, any of them leading.
fn standing() -> impl Strategy<Value = Standing> {
    (any::<[bool; 2]>(), 0u64..3, any::<bool>()).prop_map(|(others, leader, noticed)| {
        let mut gateways = vec![gateway(0)];
        gateways.extend((1..3).filter(|n| others[*n as usize - 1]).map(gateway));
        let leader = gateway(leader);
        let leads = leader == gateway(0);
        Standing {
            now: NOW,
            // Its lease may be over, though Redis does not say so yet.
            fence: (leads && noticed).then_some(Fence(7)),
            leader: gateways.contains(&leader).then_some(leader),
            trouble: None,
            gateways,
            settings: Settings::default(),
            emptied: false,
            settled: true,
        }
    })
}

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
            surplus_ms: 60_000,
            draining,
            leaving: false,
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
        (host, owner) in (0u64..4, 0u64..4),
        lost in proptest::bool::weighted(0.1),
    ) -> Container {
        let assigned = state == ContainerState::Assigned;
        let id = ContainerId::from_random(bits);
        let print = if outdated { "old" } else { "new" };
        Container {
            state,
            session: assigned.then(|| SessionId::new(format!("s{bits}")).unwrap()),
            owner: assigned.then(|| gateway(owner).to_string()),
            said_session: lost.then(|| SessionId::new("lost").unwrap()),
            runtime_id: started.then(|| "r".to_owned()),
            tools_listed_at: listed.then_some(NOW),
            warm_at: (state == ContainerState::Warm).then_some(NOW - age / 2),
            registered_at: ready.then_some(NOW),
            ready_at: ready.then_some(NOW),
            heartbeat: Some(NOW - silence),
            undelivered: assigned && untold,
            activity: assigned.then(|| Activity {
                turn: busy.then(|| TurnId::new("t").unwrap()),
                last_activity: NOW - idle,
                ..Activity::default()
            }),
            ..Container::reserved(id, gateway(host).host(), print, NOW - age)
        }
    }
}

fn observed() -> impl Strategy<Value = Observed> {
    let one = (1u64..1000).prop_flat_map(|bits| (container(bits), any::<Option<bool>>()));
    (
        proptest::collection::vec(one, 0..9),
        0usize..6,
        any::<bool>(),
        standing(),
        0u64..3,
    )
        .prop_map(|(containers, waiting, answers, standing, strangers)| {
            let mut seen = std::collections::BTreeSet::new();
            let containers: Vec<_> = containers
                .into_iter()
                .filter(|(c, _)| seen.insert(c.id.clone()))
                .collect();
            let strangers = (0..strangers).map(|n| ContainerId::from_random(2000 + n));
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
                .chain(strangers.map(|id| (id, Presence::Running)))
                .collect();
            Observed {
                me: gateway(0),
                standing,
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
                let host = observed.me.host();
                next.containers.push(Container {
                    runtime_id: Some("r".to_owned()),
                    tools_listed_at: Some(NOW),
                    registered_at: Some(NOW),
                    ready_at: Some(NOW),
                    heartbeat: Some(NOW),
                    ..Container::reserved(id, host, &desired.fingerprint, NOW)
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
            Action::Adopt(id) => {
                let mut all = next.containers.iter_mut();
                all.find(|c| c.id == *id).unwrap().owner = Some(observed.me.to_string());
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

/// Which spares are too many is for the leader to say, wherever they are.
fn spare_goes(action: &Action, container: &Container) -> bool {
    matches!(action, Action::Retire(..)) && container.state == ContainerState::Warm
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
            let known = |id: &ContainerId| world.containers.iter().any(|c| c.id == *id);
            let strangers = world.present.iter().flatten().filter(|(id, _)| !known(id)).count();
            let there = world.containers.len() + strangers + created;
            prop_assert!(created == 0 || there <= desired.max_total);
            let mut named: Vec<_> = actions.iter().filter_map(Action::container).collect();
            let count = named.len();
            named.sort();
            named.dedup();
            prop_assert_eq!(named.len(), count, "two actions for one container: {:?}", actions);
            let leads = world.standing.fence.is_some();
            prop_assert!(leads || created == 0, "only who leads starts containers");
            for action in &actions {
                if let Some(id) = action.container()
                    && let Some(found) = world.containers.iter().find(|c| c.id == *id)
                {
                    let steward = world.standing.is_steward(&world.me, &found.host);
                    let adopted = leads && matches!(action, Action::Adopt(_));
                    prop_assert!(steward || adopted || leads && spare_goes(action, found));
                }
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
        let ours = |c: &Container| world.standing.is_steward(&world.me, &c.host);
        let untold =
            |c: &Container| c.state == ContainerState::Assigned && c.undelivered && ours(c);
        prop_assert!(!world.containers.iter().any(untold));
        if world.standing.fence.is_none() {
            return Ok(());
        }
        let spares = world.containers.iter().filter(|c| c.state == ContainerState::Warm).count();
        let room = desired.max_total > world.containers.len();
        if !desired.draining && world.containers.iter().all(|c| c.state != ContainerState::Creating) {
            prop_assert!(spares >= desired.min_warm.max(world.waiting) || !room);
        }
    }
}
