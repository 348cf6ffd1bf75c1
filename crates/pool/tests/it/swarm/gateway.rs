//! One gateway: what it knows, and what it has set going.

use std::time::Duration;

use ccpool::plan::{Action, Desired, Observed, plan};
use ccpool::protocol::UnixMs;
use ccpool::protocol::record::ContainerState;
use ccpool::runtime::Runtime;
use ccpool::standing::Standing;
use ccpool::store::{Claims, FakeStore, Register, Reserve, Store};
use ccpool::{Container, ContainerId, GatewayId};

use super::task::Task;
use super::world::{CAP, Hosts, KEEP, desired};
use crate::contract::subject::{POOL, place};

#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) me: GatewayId,
    standing: Standing,
    /// When it stops to lead by its own clock.
    until: UnixMs,
    /// What it has read, and not planned by yet.
    read: Option<Read>,
    pub(super) remembered: Vec<Container>,
    pub(super) tasks: Vec<Task>,
}

/// What Redis has said, when, and how the gateway stood then.
#[derive(Debug)]
struct Read {
    now: UnixMs,
    standing: Standing,
    containers: Vec<Container>,
}

/// What a gateway did when it looked.
pub(super) enum Looked {
    /// Redis could not be believed.
    Not,
    /// It has written down again what it remembered.
    Restored,
    Read,
}

impl Gateway {
    pub(super) async fn begin(me: GatewayId, store: &FakeStore) -> Self {
        let mut gateway = Self {
            standing: store.attend(&me, KEEP, POOL).await.unwrap(),
            me,
            until: 0,
            read: None,
            remembered: Vec::new(),
            tasks: Vec::new(),
        };
        gateway.attend(store).await;
        gateway
    }

    pub(super) async fn attend(&mut self, store: &FakeStore) {
        let until = store.now() + KEEP.as_millis() as u64;
        self.standing = store.attend(&self.me, KEEP, POOL).await.unwrap();
        self.until = until;
    }

    fn stands(&self, store: &FakeStore) -> Standing {
        let mut standing = self.standing.clone();
        if store.now() >= self.until {
            standing.fence = None;
        }
        standing
    }

    /// The first half of a look: what Redis says.
    pub(super) async fn read(&mut self, store: &FakeStore) -> Looked {
        let mut looked = Looked::Read;
        let standing = self.stands(store);
        if standing.emptied {
            let Some(fence) = standing.fence else {
                return Looked::Not;
            };
            for container in &self.remembered {
                if !store.restore(container, fence).await.unwrap() {
                    return Looked::Not;
                }
            }
            assert_eq!(store.pool_id(POOL).await.unwrap(), POOL);
            self.attend(store).await;
            looked = Looked::Restored;
        }
        let now = store.now();
        let Ok(containers) = store.containers().await else {
            return Looked::Not;
        };
        self.read = Some(Read {
            now,
            standing,
            containers,
        });
        looked
    }

    /// The second half: what the runtime says, and what follows. Gives how many actions that are not
    /// under way already.
    pub(super) async fn plan(&mut self, store: &FakeStore, hosts: &Hosts, next: &mut u64) -> usize {
        let Some(Read {
            now,
            standing,
            containers,
        }) = self.read.take()
        else {
            return 0;
        };
        let fence = standing.fence;
        let listed = hosts.of(self.me.host()).list(POOL).await;
        let observed = Observed {
            me: self.me.clone(),
            standing,
            containers,
            present: Some(listed.unwrap()),
            waiting: store.queue().await.unwrap().servable,
            refill_allowance: CAP,
            now,
        };
        let desired: Desired = desired();
        let actions = plan(&desired, &observed);
        let busy: Vec<ContainerId> = self.tasks.iter().map(|t| t.container().clone()).collect();
        let mut begun = 0;
        for action in actions {
            if action.container().is_some_and(|id| busy.contains(id)) {
                continue;
            }
            begun += 1;
            let known = |id: &ContainerId| {
                let mut all = observed.containers.iter();
                all.find(|c| c.id == *id).cloned().unwrap()
            };
            let task = match action {
                Action::Create => {
                    let mut place = place(*next, desired.max_total);
                    place.host = self.me.host().to_owned();
                    place.fingerprint.clone_from(&desired.fingerprint);
                    let reserved = store.reserve(&place, fence.expect("it leads")).await;
                    if reserved.unwrap() != Reserve::Reserved {
                        continue;
                    }
                    *next += 1;
                    Task::Start(place.container)
                }
                Action::Promote(id) => Task::Promote(id, fence),
                Action::Deliver(id) => Task::Deliver(known(&id)),
                Action::Adopt(id) => Task::Adopt(known(&id), fence.expect("it leads")),
                Action::Retire(id, why) => {
                    Task::Retire(known(&id), why, ContainerState::Draining, fence)
                }
                Action::Fail(id, why) => {
                    Task::Retire(known(&id), why, ContainerState::Failed, fence)
                }
                Action::Reap(id) => Task::Reap(id),
            };
            self.tasks.push(task);
        }
        self.remembered = observed.containers;
        begun
    }

    /// One of its actions goes one step on.
    pub(super) async fn act(&mut self, number: usize, store: &FakeStore, hosts: &Hosts) {
        if self.tasks.is_empty() {
            return;
        }
        let number = number % self.tasks.len();
        let task = self.tasks.remove(number);
        let standing = self.stands(store);
        let steward = |host: &str| standing.is_steward(&self.me, host);
        if let Some(rest) = task.step(&self.me, steward, store, hosts).await {
            self.tasks.insert(number, rest);
        }
    }

    /// It stands still for so long that a container may count as never started.
    pub(super) fn is_too_late(&self, by: Duration) -> bool {
        let starts = self.tasks.iter().any(|task| matches!(task, Task::Start(_)));
        starts && by > KEEP
    }
}
