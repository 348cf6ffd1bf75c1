//! How the pool is.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::unix_ms;
use crate::error::PoolError;
use crate::info::{Check, ContainerInfo, Counts, GatewayInfo, Health, HealthStatus, PoolSnapshot};
use crate::pool::{Inner, Pool};
use crate::standing::{LimitsOverride, Settings};
use crate::store::StoreError;

/// A health check must not wait for what is broken.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// One or two may be bad luck.
const TELL_FAILURES: u32 = 3;

impl Inner {
    /// What should be otherwise, and is in the way of nothing.
    fn warnings(&self, settings: &Settings) -> Vec<String> {
        let mut warnings = self.warnings.clone();
        if settings.limits != LimitsOverride::default() {
            warnings.push(
                "limits were changed while the pool runs and go before the configured ones; \
                 `ccpool pool resize --reset` undoes it"
                    .to_owned(),
            );
        }
        warnings
    }
}

impl Pool {
    /// How the pool is. Cheap enough to ask every second; never fails, never waits long.
    pub async fn health(&self) -> Health {
        let inner = &*self.inner;
        // At once where it is known already that Redis does not answer anybody.
        let redis = inner.unless_lost(inner.store.ping());
        let redis = tokio::time::timeout(CHECK_TIMEOUT, redis);
        let (redis, runtime) = tokio::join!(redis, inner.runtime.ping());
        let redis = match redis {
            Ok(answer) => Check::of(answer),
            Err(_) => Check::of(Err("Redis does not answer within 2 s")),
        };
        let runtime = Check::of(runtime);
        let seen = inner.seen.borrow().clone();
        let standing = inner.attendance.known().standing(Instant::now());
        let closed = inner.closed.load(Ordering::Relaxed);
        let draining = closed || standing.settings.draining;
        let limits = inner.limits(&standing.settings);
        let room = seen.counts.total < limits.max_total as usize;
        // Who leads starts containers for everybody.
        let leads = standing.fence.is_some();
        let leaders = standing.trouble.filter(|_| !leads);
        let startable = runtime.ok && seen.trouble.is_none() && leaders.is_none() && room;
        let can_claim = redis.ok && !draining && (seen.counts.warm > 0 || startable);
        let mut reasons: Vec<String> = [&redis, &runtime]
            .into_iter()
            .filter_map(|check| check.detail.clone())
            .collect();
        if let Some(trouble) = leaders.filter(|leaders| seen.trouble.as_ref() != Some(leaders)) {
            reasons.push(format!(
                "the gateway that leads can start no container: {trouble}"
            ));
        }
        reasons.extend(seen.trouble.filter(|_| runtime.ok));
        if seen.pausing >= TELL_FAILURES {
            let failures = seen.pausing;
            reasons.push(format!(
                "{failures} containers in a row did not become warm, so few are started; \
                 see the failures in `ccpool status`"
            ));
        }
        if draining {
            reasons.push("the pool is draining".to_owned());
        }
        if inner.broken.load(Ordering::Relaxed) {
            reasons.push("the pool's reconciler has ended; restart the gateway".to_owned());
        }
        if standing.emptied {
            reasons.push(StoreError::Emptied.to_string());
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
            warnings: inner.warnings(&standing.settings),
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
        let standing = inner.attendance.known().standing(Instant::now());
        let me = &inner.attendance.me;
        let gateways = standing.gateways.iter().map(|gateway| GatewayInfo {
            gateway: gateway.to_string(),
            leads: standing.leader.as_ref() == Some(gateway),
            me: gateway == me,
        });
        Ok(PoolSnapshot {
            runtime: inner.runtime.name().to_owned(),
            limits: inner.limits(&standing.settings),
            overridden: standing.settings.limits,
            gateways: gateways.collect(),
            counts: Counts::of(&containers),
            draining: standing.settings.draining,
            waiting: inner.store.queue().await?.waiting,
            containers: shown,
            failures: inner.failures().into_iter().collect(),
        })
    }
}
