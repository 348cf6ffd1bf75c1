//! How soon a claim fails when Redis is away.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ccpool::{ClaimRequest, FailureKind};

use super::paper;
use super::server::Server;
use super::shelf::Shelf;
use crate::Arguments;
use crate::samples::Samples;
use crate::site::Site;

/// Between two claims.
const PAUSE: Duration = Duration::from_millis(50);

/// How long claims took until they failed as `unavailable`, in ms.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    /// Redis was killed: connections are refused.
    pub(crate) killed: Samples,
    /// Redis was stopped: it takes connections and does not answer. The first one notices.
    pub(crate) frozen_first: Samples,
    /// Those that follow.
    pub(crate) frozen: Samples,
}

/// Measures so many claims of each kind.
///
/// # Errors
/// Something does not work, or a claim fails otherwise, or does not.
pub(crate) async fn measure(
    arguments: &Arguments,
    claims: usize,
    site: &mut Site,
    data: &Path,
) -> Result<Outage> {
    let mut outage = Outage::default();
    let program = &arguments.redis_server;

    let server = Server::start(site, program, "r-kill").await?;
    let pool = paper::gateway(server.url(), "killed:", data).await?;
    let mut shelf = Shelf::beside(&server, "killed:", &pool).await?;
    shelf.fill(1).await?;
    server.kill()?;
    for _ in 0..claims {
        outage.killed.add(failing(&pool).await?);
        tokio::time::sleep(PAUSE).await;
    }
    drop(pool);

    let server = Server::start(site, program, "r-stop").await?;
    let pool = paper::gateway(server.url(), "frozen:", data).await?;
    let mut shelf = Shelf::beside(&server, "frozen:", &pool).await?;
    shelf.fill(1).await?;
    server.freeze()?;
    let measured = async {
        outage.frozen_first.add(failing(&pool).await?);
        for _ in 1..claims {
            outage.frozen.add(failing(&pool).await?);
            tokio::time::sleep(PAUSE).await;
        }
        anyhow::Ok(())
    };
    let measured = measured.await;
    server.thaw()?;
    measured?;
    Ok(outage)
}

async fn failing(pool: &ccpool::Pool) -> Result<f64> {
    let began = Instant::now();
    let claimed = pool.claim(ClaimRequest::default()).await;
    let took = began.elapsed();
    match claimed {
        Ok(claimed) => anyhow::bail!("{} was claimed without Redis", claimed.session),
        Err(error) => ensure!(
            error.kind() == FailureKind::Unavailable,
            "a claim failed otherwise: {error}"
        ),
    }
    Ok(took.as_secs_f64() * 1e3)
}
