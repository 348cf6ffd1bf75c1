//! How many claims a second four gateways carry, all asked by many at once.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ccpool::{ClaimRequest, ContainerId, Pool, SessionId};
use tokio::task::JoinSet;

use super::paper;
use super::server::Server;
use super::shelf::Shelf;
use crate::samples::Samples;

/// Each with connections and tasks of its own.
pub(crate) const GATEWAYS: usize = 4;
/// Who ask each of them.
pub(crate) const CLAIMERS: usize = 16;

/// Measures the runs, each of so many claims; claims a second.
///
/// # Errors
/// Something does not work, or a container was claimed twice.
pub(crate) async fn measure(
    server: &Server,
    claims: usize,
    runs: usize,
    data: &Path,
) -> Result<Samples> {
    let prefix = "rate:";
    let mut pools = Vec::new();
    for _ in 0..GATEWAYS {
        pools.push(paper::gateway(server.url(), prefix, data).await?);
    }
    let mut shelf = Shelf::beside(server, prefix, &pools[0]).await?;
    let mut rates = Samples::default();
    for run in 0..=runs {
        shelf.fill(claims).await?;
        shelf.expect_warm(claims).await?;
        let began = Instant::now();
        let mut claimed = everything(&pools, run, claims).await?;
        let took = began.elapsed();
        // The first run warms up.
        if run > 0 {
            rates.add(claims as f64 / took.as_secs_f64());
        }
        for container in &claimed {
            shelf.remove(container).await?;
        }
        claimed.sort();
        claimed.dedup();
        ensure!(claimed.len() == claims, "a container was claimed twice");
    }
    for pool in pools {
        pool.shutdown(Duration::ZERO).await;
    }
    Ok(rates)
}

async fn everything(pools: &[Pool], run: usize, claims: usize) -> Result<Vec<ContainerId>> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut claimers = JoinSet::new();
    for pool in pools {
        for _ in 0..CLAIMERS {
            let (pool, next) = (pool.clone(), Arc::clone(&next));
            claimers.spawn(async move {
                let mut claimed = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= claims {
                        return anyhow::Ok(claimed);
                    }
                    let request = ClaimRequest {
                        session: Some(SessionId::new(format!("bench-{run}-{number}"))?),
                        ..ClaimRequest::default()
                    };
                    claimed.push(pool.claim(request).await?.container);
                }
            });
        }
    }
    let mut all = Vec::new();
    while let Some(claimed) = claimers.join_next().await {
        all.extend(claimed??);
    }
    Ok(all)
}
