//! A gateway whose containers exist on paper: everything that Redis is asked is real, and nothing is
//! started.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use ccpool::config::{Config, RedisTarget, Secret};
use ccpool::runtime::{Exit, Launch, Presence, Runtime, RuntimeError};
use ccpool::{ContainerId, Pool, PoolParts, RedisAddress};
use futures::StreamExt;
use futures::stream::BoxStream;

/// The host on which nothing runs.
pub(crate) const HOST: &str = "paper";
/// More than are ever there.
const MANY: u32 = 100_000;

/// Starts a gateway on this Redis. It starts no containers of its own.
///
/// # Errors
/// When Redis does not answer.
pub(crate) async fn gateway(redis: &str, prefix: &str, data: &Path) -> Result<Pool> {
    over(Arc::new(Paper::default()), redis, prefix, data).await
}

/// The same over another runtime.
///
/// # Errors
/// When Redis does not answer.
pub(crate) async fn over(
    runtime: Arc<dyn Runtime>,
    redis: &str,
    prefix: &str,
    data: &Path,
) -> Result<Pool> {
    let mut config = Config::default();
    config.redis.url = RedisTarget::Embedded;
    prefix.clone_into(&mut config.redis.key_prefix);
    config.pool.min_warm = 0;
    config.pool.max_total = MANY;
    config.pool.max_per_agent = MANY;
    config.pool.claim_timeout = Duration::from_secs(10);
    config.data_dir = data.to_owned();
    let address = RedisAddress::resolve(&config, Some(&Secret::new(redis)), None)?;
    let parts = PoolParts {
        config: Arc::new(config),
        runtime,
        redis: address,
        mcp_url: None,
        credentials: BTreeMap::new(),
    };
    Ok(Pool::start(parts).await?)
}

/// It remembers what was started, and that is all.
#[derive(Debug, Default)]
struct Paper(Mutex<BTreeMap<ContainerId, Presence>>);

impl Paper {
    fn all(&self) -> MutexGuard<'_, BTreeMap<ContainerId, Presence>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Runtime for Paper {
    fn name(&self) -> &'static str {
        "paper"
    }

    fn host(&self) -> &str {
        HOST
    }

    fn isolation(&self) -> &'static str {
        "none: nothing runs"
    }

    async fn ingredients(&self) -> Result<String, RuntimeError> {
        Ok("paper".to_owned())
    }

    async fn start(&self, launch: &Launch) -> Result<String, RuntimeError> {
        let container = launch.container.clone();
        self.all().insert(container, Presence::Running);
        Ok("paper".to_owned())
    }

    async fn rename(&self, _container: &ContainerId, _suffix: &str) -> Result<(), RuntimeError> {
        Ok(())
    }

    async fn list(&self, _pool: &str) -> Result<BTreeMap<ContainerId, Presence>, RuntimeError> {
        Ok(self.all().clone())
    }

    async fn exit(
        &self,
        _container: &ContainerId,
        _patience: Duration,
    ) -> Result<Option<Exit>, RuntimeError> {
        Ok(None)
    }

    async fn remove(&self, container: &ContainerId, _grace: Duration) -> Result<(), RuntimeError> {
        self.all().remove(container);
        Ok(())
    }

    async fn log_tail(&self, _container: &ContainerId) -> Result<Vec<String>, RuntimeError> {
        Ok(Vec::new())
    }

    fn ended(&self) -> BoxStream<'static, ()> {
        futures::stream::pending().boxed()
    }

    async fn ping(&self) -> Result<Duration, RuntimeError> {
        Ok(Duration::ZERO)
    }
}
