//! What a gateway has set going, as far as it has come. The order is that of the pool's actions.

use ccpool::protocol::boot::{Boot, ClaudeSpawn};
use ccpool::protocol::permission::Behavior;
use ccpool::protocol::record::{ContainerState, field};
use ccpool::runtime::{Launch, Runtime};
use ccpool::standing::Fence;
use ccpool::store::{Claims, Condition, FakeStore, Retired, Store};
use ccpool::{Container, ContainerId, GatewayId};
use std::collections::BTreeMap;

use super::world::{Hosts, RETAIN};
use crate::contract::subject::POOL;

#[derive(Debug, Clone)]
pub(super) enum Task {
    /// Its place is reserved.
    Start(ContainerId),
    /// It was started as this.
    Note(ContainerId, String),
    Promote(ContainerId, Option<Fence>),
    Deliver(Container),
    Adopt(Container, Fence),
    /// In good order, or because it has failed.
    Retire(Container, String, ContainerState, Option<Fence>),
    /// It is out of service.
    Remove(Container),
    /// It is gone.
    Release(Container),
    Reap(ContainerId),
}

impl Task {
    pub(super) fn container(&self) -> &ContainerId {
        match self {
            Self::Start(id) | Self::Note(id, _) | Self::Promote(id, _) | Self::Reap(id) => id,
            Self::Deliver(container)
            | Self::Adopt(container, _)
            | Self::Retire(container, ..)
            | Self::Remove(container)
            | Self::Release(container) => &container.id,
        }
    }

    /// Goes one step on. None: it has ended.
    pub(super) async fn step(
        self,
        me: &GatewayId,
        steward: impl Fn(&str) -> bool,
        store: &FakeStore,
        hosts: &Hosts,
    ) -> Option<Self> {
        let own = hosts.of(me.host());
        match self {
            Self::Start(id) => {
                let started = own.start(&launch(&id)).await.unwrap();
                Some(Self::Note(id, started))
            }
            Self::Note(id, started) => {
                store.note(&id, field::RUNTIME_ID, &started).await.unwrap();
                None
            }
            Self::Promote(id, fence) => {
                store.promote(&id, false, fence).await.unwrap();
                None
            }
            Self::Deliver(container) => {
                if let Some(claim) = container.claim {
                    store.deliver(&container.id, claim);
                }
                None
            }
            Self::Adopt(container, fence) => {
                store.adopt(&container, me, fence).await.unwrap();
                None
            }
            Self::Retire(container, reason, to, fence) => {
                let condition = match (&container.session, &container.activity) {
                    _ if to == ContainerState::Failed => Condition::None,
                    _ if container.state == ContainerState::Draining => Condition::None,
                    (Some(session), Some(activity)) => {
                        Condition::Quiet(session, activity.last_activity)
                    }
                    _ => Condition::None,
                };
                let retired = store.retire(&container.id, to, &reason, condition, fence);
                match retired.await.unwrap() {
                    Retired::Out(session) if steward(&container.host) => {
                        Some(Self::Remove(Container {
                            session: session.or(container.session.clone()),
                            ..container
                        }))
                    }
                    Retired::Out(_) | Retired::Gone | Retired::Moved => None,
                }
            }
            Self::Remove(container) => {
                if container.host == me.host() {
                    own.remove(&container.id, RETAIN).await.unwrap();
                } else {
                    // Its wrapper hears that it is to stop.
                    hosts.stop(&container);
                }
                Some(Self::Release(container))
            }
            Self::Release(container) => {
                store.release(&container, RETAIN).await.unwrap();
                None
            }
            Self::Reap(id) => {
                if let Ok(None) = store.container(&id).await {
                    own.remove(&id, RETAIN).await.unwrap();
                }
                None
            }
        }
    }
}

pub(crate) fn launch(container: &ContainerId) -> Launch {
    let claude = ClaudeSpawn {
        path: "claude".to_owned(),
        cwd: "/workspace".to_owned(),
        home: "/home/agent".to_owned(),
        uid: None,
        mcp: None,
        model: None,
        append_system_prompt: None,
        permission_mode: None,
        allowed_tools: Vec::new(),
        disallowed_tools: Vec::new(),
        skip_permissions: false,
        background_tasks: false,
        extra_args: Vec::new(),
        env: BTreeMap::new(),
    };
    Launch {
        container: container.clone(),
        pool: POOL.to_owned(),
        fingerprint: "print".to_owned(),
        boot: Boot {
            container: container.clone(),
            redis_url: "redis://127.0.0.1:1".to_owned(),
            key_prefix: "test:cc:".to_owned(),
            output_buffer: 10,
            output_buffer_bytes: 1 << 20,
            retain_ms: 1000,
            stop_ms: 1000,
            heartbeat_ms: 1000,
            stall_ms: 60_000,
            turn_ms: None,
            permission_ms: None,
            function_ms: 600_000,
            on_permission_timeout: Behavior::Deny,
            follow_stdin: true,
            claude,
        },
    }
}
