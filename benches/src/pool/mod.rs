//! What the pool itself costs: claims beside a bare Redis script, how many a second, what thousands of
//! sessions cost a gateway, how soon a spare is replaced, and how soon claims fail without Redis.

mod crowd;
mod hall;
mod looks;
mod outage;
pub(crate) mod paper;
mod plot;
mod rate;
mod refill;
mod report;
mod script;
mod server;
mod shelf;
mod whole;

use anyhow::{Context, Result};

pub(crate) use hall::{ROLE, serve};
pub(crate) use plot::svg;
pub(crate) use server::Server;

use self::crowd::Crowd;
use self::outage::Outage;
use self::refill::Refill;
use self::script::Scripts;
use self::whole::Whole;
use crate::Arguments;
use crate::quiet::quiet;
use crate::samples::Samples;
use crate::site::Site;

/// Of a gateway, as many as a small machine has cores.
const THREADS: usize = 2;

/// How much to measure.
#[derive(Debug, Clone)]
pub(crate) struct Extent {
    /// Rounds of the script beside the bare one.
    pub(crate) scripts: usize,
    /// Rounds of the whole claim.
    pub(crate) claims: usize,
    /// Claims of one run at full speed.
    pub(crate) burst: usize,
    /// Runs at full speed, one more that is not counted.
    pub(crate) bursts: usize,
    /// Claims without Redis, of each kind.
    pub(crate) outages: usize,
    /// Containers that are replaced.
    pub(crate) refills: usize,
    /// Sessions on one gateway, rising.
    pub(crate) crowds: Vec<usize>,
    /// Events at each of those steps.
    pub(crate) events: usize,
}

impl Extent {
    /// A minute or two.
    pub(crate) fn quick() -> Self {
        Self {
            scripts: 500,
            claims: 100,
            burst: 500,
            bursts: 2,
            outages: 5,
            refills: 2,
            crowds: vec![10, 100],
            events: 100,
        }
    }

    /// As in docs/performance.md.
    pub(crate) fn usual() -> Self {
        Self {
            scripts: 5000,
            claims: 1000,
            burst: 2000,
            bursts: 7,
            outages: 20,
            refills: 8,
            crowds: vec![10, 100, 1000, 10_000],
            events: 2000,
        }
    }
}

/// All that was measured.
#[derive(Debug)]
pub(crate) struct Pooled {
    pub(crate) extent: Extent,
    pub(crate) scripts: Scripts,
    /// Over TCP, where the floor is higher.
    pub(crate) scripts_tcp: Scripts,
    pub(crate) whole: Whole,
    /// Claims a second.
    pub(crate) rate: Samples,
    pub(crate) crowd: Crowd,
    pub(crate) outage: Outage,
    pub(crate) refill: Refill,
}

/// Measures all of it, one after the other.
///
/// # Errors
/// Something does not work; being slow is no error.
pub(crate) async fn measure(
    arguments: &Arguments,
    extent: Extent,
    site: &mut Site,
) -> Result<Pooled> {
    let data = site.folder("pool")?;
    let server = Server::start(site, &arguments.redis_server, "r").await?;
    let begin = |what: String| eprintln!("    pool: {what}");

    begin(format!("{} rounds of the claim's script", extent.scripts));
    quiet().await?;
    let scripts = script::measure(&server, "script:", extent.scripts);
    let scripts = scripts.await.context("the claim's script")?;
    let tcp = server.over_tcp();
    let scripts_tcp = script::measure(&tcp, "script-tcp:", extent.scripts);
    let scripts_tcp = scripts_tcp.await.context("the claim's script over TCP")?;
    begin(format!("{} whole claims", extent.claims));
    quiet().await?;
    let whole = {
        let (server, data, rounds) = (server.clone(), data.clone(), extent.claims);
        as_gateways_run(async move { whole::measure(&server, rounds, &data).await })
    };
    let whole = whole.await.context("whole claims")?;
    begin(format!("{} claims at full speed", extent.burst));
    quiet().await?;
    let rate = {
        let (server, data) = (server.clone(), data.clone());
        let (claims, runs) = (extent.burst, extent.bursts);
        as_gateways_run(async move { rate::measure(&server, claims, runs, &data).await })
    };
    let rate = rate.await.context("claims at full speed")?;
    quiet().await?;
    let crowd = crowd::measure(&server, &extent.crowds, extent.events, &data);
    let crowd = crowd.await.context("many sessions")?;
    begin("claims without Redis".to_owned());
    let outage = outage::measure(arguments, extent.outages, site, &data);
    let outage = outage.await.context("claims without Redis")?;
    begin(format!("{} refills beside docker run", extent.refills));
    let refill = refill::measure(arguments, extent.refills, site);
    let refill = refill.await.context("refill")?;
    Ok(Pooled {
        extent,
        scripts,
        scripts_tcp,
        whole,
        rate,
        crowd,
        outage,
        refill,
    })
}

/// Does this as a task on a runtime with as many threads as a small machine has cores.
async fn as_gateways_run<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .enable_all()
            .build()?;
        runtime.block_on(runtime.spawn(work))?
    });
    done.await?
}
