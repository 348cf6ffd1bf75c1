//! The hosts with what runs on them, the store, and everybody who uses it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ccpool::plan::Desired;
use ccpool::protocol::record::{ContainerState, report};
use ccpool::runtime::{Exit, FakeRuntime, Presence, Runtime};
use ccpool::store::{
    ClaimNumber, ClaimOutcome, ClaimTerms, Claims, Condition, FakeStore, Store, Ticket,
};
use ccpool::{Container, ContainerId, GatewayId, SessionId};

use super::gateway::{Gateway, Looked};
use crate::contract::subject::{POOL, session, terms};
use crate::model::at_once;

pub(super) const CAP: usize = 3;
pub(super) const WARM: usize = 1;
pub(super) const KEEP: Duration = Duration::from_secs(10);
pub(super) const RETAIN: Duration = Duration::from_secs(60);
pub(super) const GATEWAYS: usize = 4;
pub(super) const CALLERS: usize = 6;
/// Two gateways on each host.
const HOSTS: [&str; GATEWAYS] = ["a", "a", "b", "b"];

pub(super) fn desired() -> Desired {
    Desired {
        min_warm: WARM,
        max_total: CAP,
        startup_ms: 60_000,
        idle_ms: 300_000,
        max_age_ms: 3_600_000,
        heartbeat_ms: 30_000,
        tools_required: false,
        fingerprint: "print".to_owned(),
        surplus_ms: 60_000,
        draining: false,
        leaving: false,
    }
}

/// Two hosts; nothing of them ends with a gateway.
#[derive(Debug)]
pub(super) struct Hosts {
    a: FakeRuntime,
    b: FakeRuntime,
}

impl Hosts {
    pub(super) fn of(&self, host: &str) -> &FakeRuntime {
        if host == "a" { &self.a } else { &self.b }
    }

    /// What runs, anywhere.
    pub(super) fn running(&self) -> Vec<ContainerId> {
        let mut running = Vec::new();
        for host in [&self.a, &self.b] {
            let listed = at_once(host.list(POOL)).unwrap();
            let alive = listed.into_iter().filter(|(_, p)| *p == Presence::Running);
            running.extend(alive.map(|(id, _)| id));
        }
        running
    }

    pub(super) fn kill(&self, container: &ContainerId) {
        let exit = Exit {
            code: Some(1),
            oom: false,
        };
        self.a.kill(container, exit);
        self.b.kill(container, exit);
    }

    pub(super) fn stop(&self, container: &Container) {
        self.kill(&container.id);
    }
}

/// A claim, from its first attempt until its container was told.
#[derive(Debug, Default)]
struct Caller {
    ticket: Option<Ticket>,
    bound: Option<(ContainerId, ClaimNumber)>,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) store: FakeStore,
    pub(super) hosts: Hosts,
    pub(super) gateways: [Option<Gateway>; GATEWAYS],
    callers: [Caller; CALLERS],
    /// Containers whose wrapper has booted, and that hang.
    booted: BTreeSet<ContainerId>,
    hung: BTreeSet<ContainerId>,
    /// What a wrapper was told is for good.
    serving: BTreeMap<ContainerId, SessionId>,
    /// Containers that nobody remembered when Redis was emptied.
    lost: BTreeSet<ContainerId>,
    emptied: bool,
    next_container: u64,
    next_gateway: u64,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            store: FakeStore::new(1_000_000, 10),
            hosts: Hosts {
                a: FakeRuntime::on("a"),
                b: FakeRuntime::on("b"),
            },
            gateways: [const { None }; GATEWAYS],
            callers: Default::default(),
            booted: BTreeSet::new(),
            hung: BTreeSet::new(),
            serving: BTreeMap::new(),
            lost: BTreeSet::new(),
            emptied: true,
            next_container: 1,
            next_gateway: 1,
        }
    }

    /// A gateway is started in this place, if there is none.
    pub(super) fn begin(&mut self, g: usize) {
        if self.gateways[g].is_some() {
            return;
        }
        if self.gateways.iter().all(Option::is_none) {
            at_once(self.store.pool_id(POOL)).unwrap();
        }
        let me = GatewayId::from_random(self.next_gateway, HOSTS[g]);
        self.next_gateway += 1;
        self.gateways[g] = Some(at_once(Gateway::begin(me, &self.store)));
    }

    /// A gateway is killed, with all that it has set going and all who wait in it.
    pub(super) fn die(&mut self, g: usize) {
        self.gateways[g] = None;
        for caller in (g..CALLERS).step_by(GATEWAYS) {
            self.callers[caller] = Caller::default();
        }
    }

    pub(super) fn attend(&mut self, g: usize) {
        if let Some(gateway) = &mut self.gateways[g] {
            at_once(gateway.attend(&self.store));
        }
    }

    pub(super) fn read(&mut self, g: usize) {
        if let Some(gateway) = &mut self.gateways[g] {
            match at_once(gateway.read(&self.store)) {
                Looked::Not | Looked::Read => {}
                Looked::Restored => self.note_lost(),
            }
        }
    }

    /// Gives how many actions were begun.
    pub(super) fn plan(&mut self, g: usize) -> usize {
        let Some(gateway) = &mut self.gateways[g] else {
            return 0;
        };
        at_once(gateway.plan(&self.store, &self.hosts, &mut self.next_container))
    }

    pub(super) fn act(&mut self, g: usize, number: usize) {
        if let Some(gateway) = &mut self.gateways[g] {
            at_once(gateway.act(number, &self.store, &self.hosts));
        }
    }

    /// Whether a gateway has something under way.
    pub(super) fn is_busy(&self, g: usize) -> bool {
        let gateway = self.gateways[g].as_ref();
        gateway.is_some_and(|gateway| !gateway.tasks.is_empty())
    }

    /// The container that is `back` before the newest one.
    fn container(&self, back: usize) -> ContainerId {
        ContainerId::from_random(self.next_container.saturating_sub(1 + back as u64))
    }

    pub(super) fn boot(&mut self, back: usize) {
        self.booted.insert(self.container(back));
        self.beat();
    }

    pub(super) fn hang(&mut self, back: usize) {
        self.hung.insert(self.container(back));
    }

    pub(super) fn kill(&mut self, back: usize) {
        self.hosts.kill(&self.container(back));
    }

    /// Every wrapper that lives says so.
    pub(super) fn beat(&mut self) {
        for id in self.hosts.running() {
            if !self.booted.contains(&id) || self.hung.contains(&id) {
                continue;
            }
            self.store.ready(&id);
            if let Some(session) = self.serving.get(&id) {
                let said = [(report::SESSION, session.as_str())];
                self.store.report(&id, &said);
            }
        }
    }

    pub(super) fn boot_all(&mut self) {
        self.booted.extend(self.hosts.running());
        self.beat();
    }

    fn asked_by(&self, caller: usize) -> Option<ClaimTerms> {
        let gateway = self.gateways[caller % GATEWAYS].as_ref()?;
        Some(ClaimTerms {
            gateway: gateway.me.clone(),
            heartbeat: Duration::from_secs(30),
            keep: KEEP,
            ticket: self.callers[caller].ticket.clone(),
            ..terms(&format!("s{}", caller % 4), ["x", "y"][caller % 2])
        })
    }

    pub(super) fn claim(&mut self, caller: usize) {
        let Some(asked) = self.asked_by(caller) else {
            return;
        };
        let outcome = at_once(self.store.claim(&asked)).unwrap();
        let caller = &mut self.callers[caller];
        match outcome {
            ClaimOutcome::Claimed {
                container, number, ..
            } => {
                caller.ticket = None;
                caller.bound = Some((container, number));
            }
            ClaimOutcome::Live(_) => caller.ticket = None,
            ClaimOutcome::AgentLimit(ticket) | ClaimOutcome::NoneWarm(ticket, _) => {
                caller.ticket = Some(ticket);
            }
            ClaimOutcome::Draining(_) | ClaimOutcome::Emptied => {}
        }
    }

    pub(super) fn deliver(&mut self, caller: usize) {
        if let Some((container, number)) = self.callers[caller].bound.take() {
            self.store.deliver(&container, number);
        }
    }

    /// A session is ended by whoever uses it.
    pub(super) fn end(&mut self, number: usize) {
        let id = session(&format!("s{number}"));
        let live = at_once(self.store.sessions()).unwrap();
        let Some((_, container)) = live.into_iter().find(|(live, _)| *live == id) else {
            return;
        };
        let (out, serves) = (ContainerState::Draining, Condition::Serves(&id));
        let retired = self.store.retire(&container, out, "ended", serves, None);
        at_once(retired).unwrap();
    }

    /// A turn begins or ends.
    pub(super) fn turn(&mut self, number: usize, busy: bool) {
        let id = session(&format!("s{number}"));
        let live = at_once(self.store.sessions()).unwrap();
        if live.iter().any(|(live, _)| *live == id) {
            let turn = if busy { "t" } else { "" };
            self.store.write_state(&id, &[("turn", turn)]);
        }
    }

    pub(super) fn empty(&mut self) {
        self.store.empty();
        self.emptied = true;
    }

    pub(super) fn pass(&mut self, by: Duration) {
        for g in 0..GATEWAYS {
            let late = self.gateways[g].as_ref().is_some_and(|g| g.is_too_late(by));
            if late {
                self.die(g);
            }
        }
        self.store.advance(by);
        self.beat();
    }

    /// Redis knows again what somebody remembered.
    fn note_lost(&mut self) {
        self.emptied = false;
        let known = at_once(self.store.containers()).unwrap_or_default();
        // Those that are about to be started too.
        let all = (1..self.next_container).map(ContainerId::from_random);
        self.lost
            .extend(all.filter(|id| known.iter().all(|known| known.id != *id)));
    }

    /// What must hold at any moment.
    pub(super) fn check(&mut self) -> Result<(), String> {
        let known = at_once(self.store.containers());
        if self.emptied && known.is_ok() {
            self.note_lost();
        }
        let mut running = self.hosts.running();
        running.retain(|id| !self.lost.contains(id));
        if running.len() > CAP {
            return Err(format!("above the cap: {running:?}"));
        }
        for container in known.iter().flatten() {
            let told = container
                .session
                .as_ref()
                .filter(|_| !container.undelivered);
            if let Some(session) = told.filter(|_| running.contains(&container.id)) {
                let before = self.serving.insert(container.id.clone(), session.clone());
                if before.as_ref().is_some_and(|before| before != session) {
                    return Err(format!("{} serves {before:?} and {session}", container.id));
                }
            }
        }
        for container in known.iter().flatten() {
            let reason = container.reason.as_deref().unwrap_or_default();
            let id = &container.id;
            let well = running.contains(id) && self.booted.contains(id) && !self.hung.contains(id);
            if well && reason.contains("heartbeat") {
                return Err(format!("{id} is well, and was given up: {reason}"));
            }
        }
        let mut served = BTreeSet::new();
        for id in &running {
            let session = self.serving.get(id);
            if session.is_some_and(|session| !served.insert(session)) {
                return Err(format!("two containers serve {session:?}"));
            }
        }
        Ok(())
    }
}
