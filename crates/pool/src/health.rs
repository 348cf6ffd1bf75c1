//! How the pool is, and who calls its tools.

use std::sync::atomic::Ordering;
use std::time::Duration;

use ccpool_protocol::ContainerId;
use ccpool_protocol::record::{ContainerState, field};

use crate::clock::unix_ms;
use crate::error::PoolError;
use crate::info::{
    Caller, Check, ContainerInfo, Counts, Health, HealthStatus, Limits, PoolSnapshot,
};
use crate::pool::Pool;
use crate::token;

/// A health check must not wait for what is broken.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

impl Pool {
    /// How the pool is. Cheap enough to ask every second; never fails, never waits long.
    pub async fn health(&self) -> Health {
        let inner = &*self.inner;
        let redis = tokio::time::timeout(CHECK_TIMEOUT, inner.store.ping());
        let (redis, runtime) = tokio::join!(redis, inner.runtime.ping());
        let redis = match redis {
            Ok(answer) => Check::of(answer),
            Err(_) => Check::of(Err("Redis does not answer within 2 s")),
        };
        let runtime = Check::of(runtime);
        let seen = inner.seen.borrow().clone();
        let draining = inner.draining.load(Ordering::Relaxed);
        let room = seen.counts.total < inner.config.pool.max_total as usize;
        let startable = runtime.ok && seen.trouble.is_none() && room;
        let can_claim = redis.ok && !draining && (seen.counts.warm > 0 || startable);
        let mut reasons: Vec<String> = [&redis, &runtime]
            .into_iter()
            .filter_map(|check| check.detail.clone())
            .collect();
        reasons.extend(seen.trouble.filter(|_| runtime.ok));
        if draining {
            reasons.push("the pool is draining".to_owned());
        }
        if inner.broken.load(Ordering::Relaxed) {
            reasons.push("the pool's reconciler has ended; restart the gateway".to_owned());
        }
        if !can_claim && reasons.is_empty() {
            reasons.push("all containers are taken and pool.maxTotal is reached".to_owned());
        }
        let status = if !redis.ok || (!can_claim && room && !draining) {
            HealthStatus::Unavailable
        } else if reasons.is_empty() {
            HealthStatus::Ok
        } else {
            HealthStatus::Degraded
        };
        Health {
            status,
            reasons,
            warnings: inner.warnings.clone(),
            can_claim,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            redis,
            runtime,
            runtime_kind: inner.runtime.name().to_owned(),
            isolation: inner.runtime.isolation().to_owned(),
            pool: seen.counts,
            image: inner.config.image.as_str().to_owned(),
            claude_version: inner.config.claude.version.clone(),
        }
    }

    /// The whole pool, read now.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn snapshot(&self) -> Result<PoolSnapshot, PoolError> {
        let inner = &*self.inner;
        let containers = inner.store.containers().await?;
        let (now, prefix) = (unix_ms(), &inner.config.docker.container_prefix);
        let mut shown: Vec<ContainerInfo> = containers
            .iter()
            .map(|c| ContainerInfo::of(c, prefix, now))
            .collect();
        shown.sort_by(|a, b| {
            b.age_ms
                .cmp(&a.age_ms)
                .then_with(|| a.container.cmp(&b.container))
        });
        let pool = &inner.config.pool;
        Ok(PoolSnapshot {
            runtime: inner.runtime.name().to_owned(),
            limits: Limits {
                min_warm: pool.min_warm,
                max_total: pool.max_total,
                max_per_agent: pool.max_per_agent,
            },
            counts: Counts::of(&containers),
            draining: inner.draining.load(Ordering::Relaxed),
            waiting: inner.waiting.load(Ordering::Relaxed),
            containers: shown,
            failures: inner.failures().into_iter().collect(),
        })
    }

    /// Whose bearer token this is. None: nobody's, or of a container that is gone.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn caller(&self, bearer: &str) -> Result<Option<Caller>, PoolError> {
        let Some(container) = token::container_of(bearer) else {
            return Ok(None);
        };
        let Some((found, hash)) = self.inner.store.container(&container).await? else {
            return Ok(None);
        };
        let serving = match found.state {
            ContainerState::Creating | ContainerState::Warm | ContainerState::Assigned => true,
            ContainerState::Draining | ContainerState::Failed => false,
        };
        let known = serving && token::matches(bearer, &hash);
        Ok(known.then_some(Caller {
            container,
            session: found.session,
            agent: found.agent,
        }))
    }

    /// The container's token has listed the gateway's tools.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn tools_listed(&self, container: &ContainerId) -> Result<(), PoolError> {
        let now = unix_ms().to_string();
        self.inner
            .store
            .note(container, field::TOOLS_LISTED_AT, &now)
            .await?;
        self.inner.nudge.notify_one();
        Ok(())
    }
}
