//! The whole-system benchmark: how long from a prompt to the first words of its answer, by ccpool
//! and by every other way of asking the same Claude Code; what the stream behind it carries; and what the OpenAI
//! API and the fallback chain cost.
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
mod pool;
mod provider;
mod quiet;
mod recipe;
mod redis_hop;
mod report;
mod rounds;
mod samples;
mod site;
mod sse;
mod stream;
mod tools;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::pool::Pooled;
use crate::provider::Provided;
use crate::rounds::{Measured, Plan};
use crate::site::Site;
use crate::stream::{Extent, Streamed};
use crate::tools::Called;

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
    /// Measure only this.
    #[arg(long)]
    only: Option<Part>,
    /// Draw what thousands of sessions cost into this file, as SVG.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
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

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// From prompts to first words.
    Turns,
    /// What the stream carries, and interrupts.
    Stream,
    /// Claims, refill, thousands of sessions, and claims without Redis.
    Pool,
    /// Calls of the gateway's tools.
    Tools,
    /// The OpenAI API beside the gateway's own routes, many answers at once, and fallback.
    Provider,
}

impl Arguments {
    fn wants(&self, part: Part) -> bool {
        self.only.is_none_or(|only| only == part)
    }

    fn extent(&self) -> Extent {
        if self.quick {
            Extent {
                burst: 20_000,
                bursts: 2,
                paced: 3000,
                long: 100_000,
                interrupts: 5,
            }
        } else {
            Extent {
                burst: 100_000,
                bursts: 5,
                paced: 20_000,
                long: 1_000_000,
                interrupts: 20,
            }
        }
    }

    fn pool_extent(&self) -> pool::Extent {
        match self.quick {
            true => pool::Extent::quick(),
            false => pool::Extent::usual(),
        }
    }

    fn provider_extent(&self) -> provider::Extent {
        match self.quick {
            true => provider::Extent::quick(),
            false => provider::Extent::usual(),
        }
    }

    fn plan(&self) -> Plan {
        let usual = if self.quick { 3 } else { 10 };
        Plan {
            rounds: self.rounds.unwrap_or(usual).max(1),
            hops: if self.quick { 200 } else { 1000 },
            diagnose: self.diagnose,
        }
    }
}

fn main() -> ExitCode {
    let done = match std::env::var(pool::ROLE) {
        Ok(role) => pool::serve(&role),
        Err(_) => begin(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn begin() -> Result<()> {
    run(&Arguments::parse()).await
}

async fn run(arguments: &Arguments) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut site = Site::clear_ground()?;
    // Neither signal needs to be kept, and a measurement that is cut off is cleared away below.
    let measured = tokio::select! {
        measured = tokio::time::timeout(LIMIT, measure(arguments, &mut site)) => {
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
    let All {
        turns,
        streamed,
        pooled,
        called,
        provided,
    } = measured?;
    left?;
    if let (Some(file), Some(pooled)) = (&arguments.plot, &pooled) {
        let drawn = std::fs::write(file, pool::svg(&pooled.crowd));
        drawn.with_context(|| format!("cannot write {}", file.display()))?;
    }
    if turns.as_ref().is_some_and(Measured::is_empty) {
        bail!("nothing was measured");
    }
    let report = turns.as_ref().map(report::Report::of);
    if arguments.json {
        let mut object = report.map_or_else(|| json!({}), |report| report.to_json());
        if let Some(streamed) = streamed {
            object["stream"] = streamed.to_json();
        }
        if let Some(pooled) = &pooled {
            object["pool"] = pooled.to_json();
        }
        if let Some(called) = &called {
            object["tools"] = called.to_json();
        }
        if let Some(provided) = &provided {
            object["provider"] = provided.to_json();
        }
        println!("{object}");
    } else {
        report.into_iter().for_each(|report| print!("{report}"));
        streamed
            .into_iter()
            .for_each(|streamed| print!("{streamed}"));
        pooled.iter().for_each(|pooled| print!("{pooled}"));
        called.iter().for_each(|called| print!("{called}"));
        provided.iter().for_each(|provided| print!("{provided}"));
    }
    Ok(())
}

/// What was measured.
struct All {
    turns: Option<Measured>,
    streamed: Option<Streamed>,
    pooled: Option<Pooled>,
    called: Option<Called>,
    provided: Option<Provided>,
}

async fn measure(arguments: &Arguments, site: &mut Site) -> Result<All> {
    let pooled = match arguments.wants(Part::Pool) {
        true => Some(pool::measure(arguments, arguments.pool_extent(), site).await?),
        false => None,
    };
    let streamed = match arguments.wants(Part::Stream) {
        true => Some(stream::measure(arguments, arguments.extent(), site).await?),
        false => None,
    };
    let turns = match arguments.wants(Part::Turns) {
        true => Some(rounds::measure(arguments, site).await?),
        false => None,
    };
    let calls = if arguments.quick { 200 } else { 1000 };
    let called = match arguments.wants(Part::Tools) {
        true => Some(tools::measure(arguments, calls, site).await?),
        false => None,
    };
    let provided = match arguments.wants(Part::Provider) {
        true => Some(provider::measure(arguments, arguments.provider_extent(), site).await?),
        false => None,
    };
    Ok(All {
        turns,
        streamed,
        pooled,
        called,
        provided,
    })
}
