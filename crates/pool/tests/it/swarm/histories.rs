//! Random histories of a swarm, each of which comes to rest in the end.

use std::time::Duration;

use ccpool::protocol::record::ContainerState;
use ccpool::store::{Claims, Store};
use proptest::prelude::*;

use super::world::{CALLERS, CAP, GATEWAYS, WARM, World};
use crate::model::at_once;

#[derive(Debug, Clone)]
enum Event {
    Begin(usize),
    Die(usize),
    Attend(usize),
    /// The two halves of a look, between which something may happen.
    Read(usize),
    Plan(usize),
    Look(usize),
    /// A look, and all that follows, with nothing in between.
    Round(usize),
    /// One of a gateway's actions goes one step on.
    Act(usize, usize),
    Boot(usize),
    Hang(usize),
    Kill(usize),
    Claim(usize),
    Deliver(usize),
    End(usize),
    Turn(usize, bool),
    Empty,
    Pass(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let gateway = || 0..GATEWAYS;
    let container = || 0..4usize;
    let caller = || 0..CALLERS;
    prop_oneof![
        4 => gateway().prop_map(Event::Begin),
        1 => gateway().prop_map(Event::Die),
        4 => gateway().prop_map(Event::Attend),
        3 => gateway().prop_map(Event::Read),
        3 => gateway().prop_map(Event::Plan),
        8 => gateway().prop_map(Event::Look),
        8 => gateway().prop_map(Event::Round),
        30 => (gateway(), 0..3usize).prop_map(|(g, n)| Event::Act(g, n)),
        8 => container().prop_map(Event::Boot),
        1 => container().prop_map(Event::Hang),
        1 => container().prop_map(Event::Kill),
        12 => caller().prop_map(Event::Claim),
        6 => caller().prop_map(Event::Deliver),
        2 => (0..4usize).prop_map(Event::End),
        1 => (0..4usize, any::<bool>()).prop_map(|(s, busy)| Event::Turn(s, busy)),
        1 => Just(Event::Empty),
        6 => prop_oneof![Just(2u64), Just(2), Just(11), Just(40)].prop_map(Event::Pass),
    ]
}

fn happen(world: &mut World, event: &Event) {
    match *event {
        Event::Begin(g) => world.begin(g),
        Event::Die(g) => world.die(g),
        Event::Attend(g) => world.attend(g),
        Event::Read(g) => world.read(g),
        Event::Plan(g) => {
            world.plan(g);
        }
        Event::Look(g) => {
            world.attend(g);
            world.read(g);
            world.plan(g);
        }
        Event::Round(g) => {
            happen(world, &Event::Look(g));
            while world.is_busy(g) {
                world.act(g, 0);
            }
            world.boot_all();
        }
        Event::Act(g, n) => world.act(g, n),
        Event::Boot(back) => world.boot(back),
        Event::Hang(back) => world.hang(back),
        Event::Kill(back) => world.kill(back),
        Event::Claim(caller) => world.claim(caller),
        Event::Deliver(caller) => world.deliver(caller),
        Event::End(session) => world.end(session),
        Event::Turn(session, busy) => world.turn(session, busy),
        Event::Empty => world.empty(),
        Event::Pass(seconds) => world.pass(Duration::from_secs(seconds)),
    }
    // No two things happen at one time.
    world.store.advance(Duration::from_millis(1));
}

/// Lets everybody do what there is to do, until nobody finds anything, however long they wait.
fn come_to_rest(world: &mut World) -> Result<(), String> {
    for g in 0..GATEWAYS {
        world.begin(g);
    }
    let mut waited = false;
    for _ in 0..60 {
        let mut done = 0;
        for g in 0..GATEWAYS {
            world.attend(g);
            world.read(g);
            done += world.plan(g);
            while world.is_busy(g) {
                world.act(g, 0);
                done += 1;
                world.check()?;
            }
            world.boot_all();
        }
        if done == 0 && waited {
            return Ok(());
        }
        // What hangs is found out when its time is over.
        waited = done == 0;
        world.pass(Duration::from_secs(if waited { 70 } else { 2 }));
    }
    Err("it never comes to rest".to_owned())
}

fn check_rest(world: &World) -> Result<(), String> {
    let containers = at_once(world.store.containers()).map_err(|error| error.to_string())?;
    let running = world.hosts.running();
    let queue = at_once(world.store.queue()).unwrap();
    let states = || containers.iter().map(|c| c.state);
    let warm = states().filter(|s| *s == ContainerState::Warm).count();
    if warm < WARM.max(queue.servable) && containers.len() < CAP {
        return Err(format!("{warm} warm, for {queue:?}"));
    }
    let settled = [ContainerState::Warm, ContainerState::Assigned];
    if !states().all(|state| settled.contains(&state)) {
        return Err(format!("not at rest: {containers:?}"));
    }
    if containers.iter().any(|container| container.undelivered) {
        return Err(format!("not told: {containers:?}"));
    }
    let gateways = world.gateways.iter().flatten();
    let live: Vec<String> = gateways.map(|gateway| gateway.me.to_string()).collect();
    let orphan = containers.iter().find(|container| {
        container.state == ContainerState::Assigned
            && container
                .owner
                .as_ref()
                .is_none_or(|owner| !live.contains(owner))
    });
    if let Some(orphan) = orphan {
        return Err(format!("nobody holds the claim of {orphan:?}"));
    }
    if running.len() != containers.len() || !containers.iter().all(|c| running.contains(&c.id)) {
        return Err(format!("{running:?} run, and {containers:?} are known"));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(800)
    })]

    #[test]
    fn a_swarm_keeps_the_pools_promises_and_comes_to_rest(
        events in proptest::collection::vec(event(), 1..150),
    ) {
        let mut world = World::new();
        for event in &events {
            happen(&mut world, event);
            prop_assert_eq!(world.check(), Ok(()), "after {:?}", event);
        }
        prop_assert_eq!(come_to_rest(&mut world), Ok(()));
        prop_assert_eq!(check_rest(&world), Ok(()));
    }
}
