//! A runtime in memory, for tests of the pool: it can be told to fail.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ccpool_protocol::ContainerId;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::broadcast;

use super::{Exit, Launch, Presence, Runtime, RuntimeError};

/// Containers that exist only in a map.
#[derive(Debug)]
pub struct FakeRuntime {
    host: String,
    state: Mutex<State>,
    ended: broadcast::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    containers: BTreeMap<ContainerId, Presence>,
    names: BTreeMap<ContainerId, String>,
    launches: BTreeMap<ContainerId, Launch>,
    started: usize,
    listed: usize,
    failing: Option<&'static str>,
}

impl Default for FakeRuntime {
    fn default() -> Self {
        Self {
            host: "fake".to_owned(),
            state: Mutex::default(),
            ended: broadcast::channel(16).0,
        }
    }
}

impl FakeRuntime {
    /// Another one, on a host of this name.
    pub fn on(host: &str) -> Self {
        Self {
            host: host.to_owned(),
            ..Self::default()
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on every call fails with this detail, or none does.
    pub fn fail(&self, detail: Option<&'static str>) {
        self.state().failing = detail;
    }

    /// A container ends by itself.
    pub fn kill(&self, container: &ContainerId, exit: Exit) {
        if let Some(presence) = self.state().containers.get_mut(container) {
            *presence = Presence::Exited(exit);
        }
        let _ = self.ended.send(());
    }

    /// How many were ever started.
    pub fn started(&self) -> usize {
        self.state().started
    }

    /// How often they were listed.
    pub fn listed(&self) -> usize {
        self.state().listed
    }

    /// What a container was started with.
    pub fn launch_of(&self, container: &ContainerId) -> Option<Launch> {
        self.state().launches.get(container).cloned()
    }

    /// What a container was renamed to.
    pub fn name_of(&self, container: &ContainerId) -> Option<String> {
        self.state().names.get(container).cloned()
    }

    fn check(&self) -> Result<MutexGuard<'_, State>, RuntimeError> {
        let state = self.state();
        match state.failing {
            Some(detail) => Err(RuntimeError::Unreachable {
                detail: detail.to_owned(),
            }),
            None => Ok(state),
        }
    }
}

#[async_trait]
impl Runtime for FakeRuntime {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn host(&self) -> &str {
        &self.host
    }

    fn isolation(&self) -> &'static str {
        "none: nothing runs"
    }

    async fn ingredients(&self) -> Result<String, RuntimeError> {
        self.check().map(|_| "fake".to_owned())
    }

    async fn start(&self, launch: &Launch) -> Result<String, RuntimeError> {
        let mut state = self.check()?;
        state.started += 1;
        state
            .containers
            .insert(launch.container.clone(), Presence::Running);
        state
            .launches
            .insert(launch.container.clone(), launch.clone());
        Ok(format!("fake-{}", state.started))
    }

    async fn rename(&self, container: &ContainerId, suffix: &str) -> Result<(), RuntimeError> {
        self.check()?
            .names
            .insert(container.clone(), suffix.to_owned());
        Ok(())
    }

    async fn list(&self, _pool: &str) -> Result<BTreeMap<ContainerId, Presence>, RuntimeError> {
        self.state().listed += 1;
        self.check().map(|state| state.containers.clone())
    }

    async fn exit(
        &self,
        container: &ContainerId,
        _patience: Duration,
    ) -> Result<Option<Exit>, RuntimeError> {
        Ok(match self.check()?.containers.get(container) {
            Some(Presence::Exited(exit)) => Some(*exit),
            Some(Presence::Running) | None => None,
        })
    }

    async fn remove(&self, container: &ContainerId, _grace: Duration) -> Result<(), RuntimeError> {
        self.check()?.containers.remove(container);
        Ok(())
    }

    async fn log_tail(&self, container: &ContainerId) -> Result<Vec<String>, RuntimeError> {
        let there = self.check()?.containers.contains_key(container);
        Ok(there
            .then(|| "a fake line".to_owned())
            .into_iter()
            .collect())
    }

    fn ended(&self) -> BoxStream<'static, ()> {
        let receiver = self.ended.subscribe();
        futures::stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.ok().map(|()| ((), receiver))
        })
        .boxed()
    }

    async fn ping(&self) -> Result<Duration, RuntimeError> {
        self.check().map(|_| Duration::ZERO)
    }
}
