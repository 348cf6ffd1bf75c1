//! How long a runtime takes, by operation.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use ccpool_protocol::ContainerId;
use futures::stream::BoxStream;

use super::{Exit, Launch, Presence, Runtime, RuntimeError};

/// A runtime whose calls are timed: `ccpool_runtime_seconds`, by `op` and `outcome`.
///
/// A call that is given up counts for nothing.
#[derive(Debug)]
pub struct Measured<R>(R);

impl<R: Runtime> Measured<R> {
    /// Times the calls to `runtime`.
    pub fn new(runtime: R) -> Self {
        Self(runtime)
    }
}

async fn timed<T>(
    op: &'static str,
    call: impl Future<Output = Result<T, RuntimeError>> + Send,
) -> Result<T, RuntimeError> {
    let asked = Instant::now();
    let answer = call.await;
    let outcome = if answer.is_ok() { "ok" } else { "error" };
    metrics::histogram!("ccpool_runtime_seconds", "op" => op, "outcome" => outcome)
        .record(asked.elapsed().as_secs_f64());
    answer
}

#[async_trait]
impl<R: Runtime> Runtime for Measured<R> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn host(&self) -> &str {
        self.0.host()
    }

    fn isolation(&self) -> &'static str {
        self.0.isolation()
    }

    async fn ingredients(&self) -> Result<String, RuntimeError> {
        timed("ingredients", self.0.ingredients()).await
    }

    async fn start(&self, launch: &Launch) -> Result<String, RuntimeError> {
        timed("start", self.0.start(launch)).await
    }

    async fn rename(&self, container: &ContainerId, suffix: &str) -> Result<(), RuntimeError> {
        timed("rename", self.0.rename(container, suffix)).await
    }

    async fn list(&self, pool: &str) -> Result<BTreeMap<ContainerId, Presence>, RuntimeError> {
        timed("list", self.0.list(pool)).await
    }

    /// Waits for a container, so its time says nothing of the runtime.
    async fn exit(
        &self,
        container: &ContainerId,
        patience: Duration,
    ) -> Result<Option<Exit>, RuntimeError> {
        self.0.exit(container, patience).await
    }

    async fn remove(&self, container: &ContainerId, grace: Duration) -> Result<(), RuntimeError> {
        timed("remove", self.0.remove(container, grace)).await
    }

    async fn log_tail(&self, container: &ContainerId) -> Result<Vec<String>, RuntimeError> {
        timed("log_tail", self.0.log_tail(container)).await
    }

    fn ended(&self) -> BoxStream<'static, ()> {
        self.0.ended()
    }

    async fn ping(&self) -> Result<Duration, RuntimeError> {
        timed("ping", self.0.ping()).await
    }
}
