//! The edge to whatever runs containers.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use ccpool_protocol::ContainerId;
use ccpool_protocol::boot::Boot;
use futures::stream::BoxStream;

use super::RuntimeError;

/// What a container is started with. Names and labels are the runtime's business.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Who it is.
    pub container: ContainerId,
    /// Whose container it is, for its label.
    pub pool: String,
    /// What it is made from, for its label.
    pub fingerprint: String,
    /// What its wrapper is told. Holds secrets.
    pub boot: Boot,
}

/// Whether a container runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It runs, or is about to.
    Running,
    /// It has ended and was not removed.
    Exited(Exit),
}

/// How a container ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// Its exit code; none when it was killed by a signal.
    pub code: Option<i64>,
    /// It was killed for using too much memory.
    pub oom: bool,
}

/// Where this host is, as seen from inside a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostAddress {
    /// The address of this host on the containers' network.
    pub ip: IpAddr,
}

/// Starts, names, lists and removes containers.
#[async_trait]
pub trait Runtime: Send + Sync + fmt::Debug {
    /// `docker` or `process`.
    fn name(&self) -> &'static str;

    /// On which host containers run. Gateways whose runtimes say the same see the same containers.
    fn host(&self) -> &str;

    /// One line on what separates a container from this host.
    fn isolation(&self) -> &'static str;

    /// What new containers are made from, as far as the runtime is concerned: image id, limits,
    /// mounts. Goes into the fingerprint.
    ///
    /// # Errors
    /// When the image or a program is missing, or the runtime does not answer.
    async fn ingredients(&self) -> Result<String, RuntimeError>;

    /// Creates and starts a container. Gives the runtime's own id.
    ///
    /// # Errors
    /// When it cannot; nothing is left behind then.
    async fn start(&self, launch: &Launch) -> Result<String, RuntimeError>;

    /// Gives a claimed container a name that a person can guess from the session.
    ///
    /// # Errors
    /// When the runtime refuses.
    async fn rename(&self, container: &ContainerId, suffix: &str) -> Result<(), RuntimeError>;

    /// All containers of `pool` that exist, whoever started them.
    ///
    /// # Errors
    /// When the runtime does not answer.
    async fn list(&self, pool: &str) -> Result<BTreeMap<ContainerId, Presence>, RuntimeError>;

    /// How it has ended, or None if it still runs after `patience`, or is not there.
    ///
    /// # Errors
    /// When the runtime does not answer.
    async fn exit(
        &self,
        container: &ContainerId,
        patience: Duration,
    ) -> Result<Option<Exit>, RuntimeError>;

    /// Stops it in order, kills it after `grace`, removes it. One that is gone already is fine.
    ///
    /// # Errors
    /// When it may still be there.
    async fn remove(&self, container: &ContainerId, grace: Duration) -> Result<(), RuntimeError>;

    /// The last lines of what it printed.
    ///
    /// # Errors
    /// When they cannot be had.
    async fn log_tail(&self, container: &ContainerId) -> Result<Vec<String>, RuntimeError>;

    /// Yields whenever a container has ended. May miss some; the list is the truth.
    fn ended(&self) -> BoxStream<'static, ()>;

    /// Whether the runtime answers, and how fast.
    ///
    /// # Errors
    /// When it does not.
    async fn ping(&self) -> Result<Duration, RuntimeError>;
}
