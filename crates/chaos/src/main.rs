//! Breaks every part of a running pool, at random steps under load, and counts what must not
//! happen: `ccpool-chaos --runs N --seed S`. It knows a pool only from outside.

mod client;
mod docker;
mod endings;
mod gateway;
mod history;
mod lives;
mod outcome;
mod parts;
mod patience;
mod plan;
mod processes;
mod proxy;
mod redis;
mod run;
mod sse;
mod steps;
mod strike;
mod verdict;
mod witness;

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use crate::docker::Network;
use crate::outcome::{Run, Totals};
use crate::parts::Parts;
use crate::plan::{Plan, Runtime};
use crate::run::Surroundings;

/// Break every part of a running pool, and count what must not happen.
#[derive(Debug, Parser)]
#[command(name = "ccpool-chaos")]
struct Arguments {
    /// How many runs.
    #[arg(long, default_value_t = 20, value_name = "COUNT")]
    runs: u64,
    /// The first run's seed; each further run has the next one. A random one if left out.
    #[arg(long)]
    seed: Option<u64>,
    /// Print one line of JSON on stdout.
    #[arg(long)]
    json: bool,
    /// Where containers run. With `mixed` every fourth seed is Docker's, if there is an image.
    #[arg(long, value_enum, default_value_t = Where::Mixed)]
    runtime: Where,
    /// Gateways on one Redis; 1 to 3 by the seed if left out.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=3))]
    gateways: Option<u8>,
    /// Keep logs and history also of runs without a violation.
    #[arg(long)]
    keep: bool,
    /// Print what the runs would do, and do nothing.
    #[arg(long)]
    plan: bool,
    /// Stop after so many runs with a violation.
    #[arg(long, value_name = "COUNT")]
    max_failures: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Where {
    Process,
    Docker,
    Mixed,
}

impl Where {
    /// Depends on the seed alone, so that a run can be had again.
    fn runtime(self, seed: u64) -> Runtime {
        match self {
            Self::Process => Runtime::Process,
            Self::Docker => Runtime::Docker,
            Self::Mixed if seed % 4 == 3 => Runtime::Docker,
            Self::Mixed => Runtime::Process,
        }
    }
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // What is cut off kills its children as it is dropped, and the rest is swept away.
    tokio::select! {
        code = all(&arguments) => return code,
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    run::sweep().await;
    Ok(ExitCode::FAILURE)
}

async fn all(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.plan {
        print_plans(arguments)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut parts = Parts::find()?;
    if arguments.runtime == Where::Process {
        parts.image = None;
    }
    let network = match parts.image {
        Some(_) => Some(Network::create().await?),
        None => None,
    };
    let wanted = match (arguments.runtime, &network) {
        (Where::Mixed, None) => {
            eprintln!("no containers: CCPOOL_TEST_IMAGE is not set; processes alone");
            Where::Process
        }
        (wanted, _) => wanted,
    };
    let surroundings = Surroundings { parts, network };
    let began = Instant::now();
    let mut totals = Totals::default();
    let mut failures = 0;
    for plan in plans(arguments, wanted)? {
        let run = one(&surroundings, &plan, arguments.keep).await?;
        totals.add(&run);
        failures += u64::from(!run.violations.is_empty());
        if arguments.max_failures.is_some_and(|most| failures >= most) {
            break;
        }
    }
    totals.took(began.elapsed());
    if let Some(network) = surroundings.network {
        network.name.remove().await?;
    }
    if arguments.json {
        println!("{}", totals.to_json());
    } else {
        eprintln!("{}", totals.to_json());
    }
    Ok(if totals.is_clean() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn plans(arguments: &Arguments, wanted: Where) -> Result<impl Iterator<Item = Plan>> {
    let first = arguments.seed;
    let first = first.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let given = arguments.gateways;
    let gateways = move |seed| usize::from(given.unwrap_or(1 + (seed % 3) as u8));
    let seeds = (first..).take(usize::try_from(arguments.runs)?);
    Ok(seeds.map(move |seed| Plan::new(seed, wanted.runtime(seed), gateways(seed))))
}

fn print_plans(arguments: &Arguments) -> Result<()> {
    let mut out = std::io::stdout().lock();
    for plan in plans(arguments, arguments.runtime)? {
        write!(out, "{plan}")?;
    }
    Ok(())
}

/// Runs it, says a line about it, and more when something was violated.
async fn one(surroundings: &Surroundings, plan: &Plan, keep: bool) -> Result<Run> {
    let began = Instant::now();
    // Short: a Unix socket's path has 107 bytes.
    let dir = tempfile::Builder::new().prefix("ccpc-").tempdir();
    let dir = dir.context("a temporary folder cannot be made")?;
    let run = surroundings.run(plan, dir.path()).await;
    let run = run.with_context(|| format!("seed {}: it cannot be set up", plan.seed))?;
    let Run { faults, turns, .. } = run;
    eprintln!(
        "seed {} ({:?}): {faults} faults, {turns} turns, {:.1} s, {} violations",
        plan.seed,
        plan.runtime,
        began.elapsed().as_secs_f64(),
        run.violations.len()
    );
    if !run.violations.is_empty() {
        eprint!("{plan}");
        for violation in &run.violations {
            eprintln!("  VIOLATION {violation}");
        }
    }
    if keep || !run.violations.is_empty() {
        eprintln!("  logs are kept in {}", dir.keep().display());
    }
    Ok(run)
}
