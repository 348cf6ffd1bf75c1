//! What the way from the wrapper to an SSE reader carries, beside Redis alone: envelopes a second,
//! what it adds to the time of each, and what memory a very long turn takes.

mod bare;
mod interrupts;
mod memory;
mod pool;
mod reader;
mod report;

use anyhow::{Context, Result};

pub(crate) use memory::resident;
pub(crate) use pool::{Running, StreamPool, serve};
pub(crate) use reader::now_us;

use crate::Arguments;
use crate::samples::Samples;
use crate::site::Site;
use crate::stream::interrupts::Interrupts;
use crate::stream::memory::Memory;

/// Envelopes a second of the paced measurement.
const PACE: u64 = 1000;
/// Envelopes a second of the long turn: at full speed a reader that is slower than the wrapper would be
/// told of a gap sooner or later.
const LONG_PACE: u64 = 50_000;
/// Envelopes that a buffer keeps, in both ways.
const KEEP: isize = 50_000;

/// How much to measure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    /// Envelopes of one run at full speed.
    pub(crate) burst: u64,
    /// Runs at full speed, one more of each that is not counted.
    pub(crate) bursts: usize,
    /// Envelopes at [`PACE`].
    pub(crate) paced: u64,
    /// Envelopes of the long turn.
    pub(crate) long: u64,
    /// Interrupted turns, each way.
    pub(crate) interrupts: usize,
}

/// All that was measured.
#[derive(Debug)]
pub(crate) struct Streamed {
    pub(crate) extent: Extent,
    /// Envelopes a second.
    pub(crate) bare: Samples,
    pub(crate) ccpool: Samples,
    /// From being written until a reader has it, ms.
    pub(crate) bare_delay: Samples,
    pub(crate) ccpool_delay: Samples,
    /// Of the gateway, the wrapper and Redis over the long turn.
    pub(crate) memory: Vec<Memory>,
    pub(crate) interrupts: Interrupts,
}

/// Measures bare Redis and ccpool in turns, so that noise hits both alike.
///
/// # Errors
/// Something does not work, or an envelope is lost or doubled; being slow is no error.
pub(crate) async fn measure(
    arguments: &Arguments,
    extent: Extent,
    site: &mut Site,
) -> Result<Streamed> {
    eprintln!("    stream: starting a gateway on the process runtime");
    let interrupts = interrupts::measure(arguments, extent.interrupts, site)
        .await
        .context("interrupts")?;
    let pool = StreamPool::start(arguments, site).await?;
    let mut streamed = Streamed {
        extent,
        bare: Samples::default(),
        ccpool: Samples::default(),
        bare_delay: Samples::default(),
        ccpool_delay: Samples::default(),
        memory: Vec::new(),
        interrupts,
    };
    for run in 0..=extent.bursts {
        eprintln!("    stream: full speed, run {run} of {}", extent.bursts);
        let bare = bare::burst(pool.redis_url(), &site.name("bare"), extent.burst).await?;
        let ccpool = pool.burst(extent.burst).await?;
        // The first of each warms up.
        if run > 0 {
            streamed.bare.add(bare);
            streamed.ccpool.add(ccpool);
        }
    }
    eprintln!("    stream: {PACE} envelopes a second");
    streamed.bare_delay =
        bare::paced(pool.redis_url(), &site.name("bare"), extent.paced, PACE).await?;
    streamed.ccpool_delay = pool.paced(extent.paced, PACE).await?;
    eprintln!("    stream: one turn of {} envelopes", extent.long);
    streamed.memory = pool.long(extent.long).await?;
    Ok(streamed)
}
