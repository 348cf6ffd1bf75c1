//! The whole-system benchmark: how long from a prompt to the first words of its answer, by ccpool
//! and by every other way of asking the same Claude Code.
//!
//! `cargo xtask bench` gets the parts, builds them and starts this with their paths. Everything is
//! real but the model, which answers at once. docs/performance.md says what the figures mean.

mod docker;
mod first_delta;
mod floor;
mod gateway;
mod machine;
mod model;
mod one_shot;
mod quiet;
mod recipe;
mod redis_hop;
mod report;
mod rounds;
mod samples;
mod site;
mod sse;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::rounds::Plan;
use crate::site::Site;

/// No run takes longer than this; a hanging one must not hang a CI.
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// The parts to measure; `cargo xtask bench` fills them in.
#[derive(Debug, Parser)]
#[command(
    name = "whole-system",
    about = "Measures ccpool beside its alternatives"
)]
pub(crate) struct Arguments {
    /// Three rounds instead of ten.
    #[arg(long)]
    quick: bool,
    /// Rounds to measure, after one that is not counted.
    #[arg(long)]
    rounds: Option<usize>,
    /// One JSON object on standard output instead of a table.
    #[arg(long)]
    json: bool,
    /// Also measure what refilling the pool and a prompt right after the claim cost.
    #[arg(long)]
    diagnose: bool,
    /// The `ccpool` program.
    #[arg(long, env = "CCPOOL_TEST_BIN")]
    ccpool: PathBuf,
    /// The `scripted-model` program.
    #[arg(long, env = "CCPOOL_TEST_SCRIPTED_MODEL")]
    scripted_model: PathBuf,
    /// The `claude` program.
    #[arg(long, env = "CCPOOL_TEST_CLAUDE")]
    claude: PathBuf,
    /// The wrapper that is in the image.
    #[arg(long, env = "CCPOOL_TEST_WRAPPER")]
    wrapper: PathBuf,
    /// The `redis-server` program.
    #[arg(long, env = "CCPOOL_TEST_REDIS_SERVER")]
    redis_server: PathBuf,
    /// The agent's image.
    #[arg(long, env = "CCPOOL_TEST_IMAGE")]
    image: String,
}

impl Arguments {
    fn plan(&self) -> Plan {
        let usual = if self.quick { 3 } else { 10 };
        Plan {
            rounds: self.rounds.unwrap_or(usual).max(1),
            hops: if self.quick { 200 } else { 1000 },
            diagnose: self.diagnose,
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut site = Site::clear_ground()?;
    // Neither signal needs to be kept, and a measurement that is cut off is cleared away below.
    let measured = tokio::select! {
        measured = tokio::time::timeout(LIMIT, rounds::measure(arguments, &mut site)) => {
            measured.context("the benchmark took too long").flatten()
        }
        _ = terminate.recv() => Err(anyhow::anyhow!("stopped by SIGTERM")),
        _ = interrupt.recv() => Err(anyhow::anyhow!("stopped by SIGINT")),
    };
    let measured = match measured {
        Ok(measured) => Ok(measured),
        Err(error) => Err(site.with_logs(&error)),
    };
    let left = site.clear().await;
    let measured = measured?;
    left?;
    let report = report::Report::of(&measured);
    if arguments.json {
        println!("{}", report.to_json());
    } else {
        print!("{report}");
    }
    if measured.is_empty() {
        bail!("nothing was measured");
    }
    Ok(())
}
