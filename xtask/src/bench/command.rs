use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::Args;

use crate::invocation;
use crate::progress::Step;
use crate::setup::{Needs, Parts};
use crate::workspace::{Workspace, cargo};

/// Built with optimisations, as they are shipped.
const PACKAGES: [&str; 3] = ["ccpool-gateway", "ccpool-scripted-model", "ccpool-benches"];

#[derive(Debug, Args)]
pub(crate) struct BenchArguments {
    /// Three rounds instead of ten.
    #[arg(long)]
    quick: bool,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Rounds to measure.
    #[arg(long, value_name = "COUNT")]
    rounds: Option<usize>,
    /// Measure only this: `turns` (prompts to first words), `stream` (what the stream carries, and
    /// interrupts), `pool` (claims, refill, thousands of sessions, and claims without Redis), `tools`
    /// (calls of the gateway's tools), or `provider` (the OpenAI API, many answers at once, fallback).
    #[arg(long, value_name = "PART", value_parser = ["turns", "stream", "pool", "tools", "provider"])]
    only: Option<String>,
    /// Draw what thousands of sessions cost into this file, as SVG.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Also measure what refilling the pool and a prompt right after the claim cost.
    #[arg(long)]
    diagnose: bool,
}

/// Gets the parts, builds them for release and measures the whole system. Slow is no failure:
/// the exit code tells only whether everything worked.
pub(crate) fn run(workspace: &Workspace, arguments: &BenchArguments) -> Result<ExitCode> {
    let parts = Parts::obtain(workspace, Needs::Everything)?;
    if let Err(reason) = parts.docker() {
        anyhow::bail!("the benchmark compares containers, and there is no Docker Engine: {reason}");
    }
    let step = Step::begin("building for release (minutes the first time)");
    let mut build = Command::new(cargo());
    build
        .args(["build", "--release", "--bins"])
        .current_dir(workspace.root());
    for package in PACKAGES {
        build.args(["--package", package]);
    }
    invocation::require(&mut build, "see the compiler's messages above")?;
    step.done();

    let built = |name: &str| workspace.target().join("release").join(name);
    let step = Step::begin("measuring (some seconds a round)");
    let mut command = Command::new(built("whole-system"));
    parts.describe_to(&mut command);
    command
        .env("CCPOOL_TEST_BIN", built("ccpool"))
        .env("CCPOOL_TEST_SCRIPTED_MODEL", built("scripted-model"));
    for (flag, given) in [
        ("--quick", arguments.quick),
        ("--json", arguments.json),
        ("--diagnose", arguments.diagnose),
    ] {
        if given {
            command.arg(flag);
        }
    }
    if let Some(rounds) = arguments.rounds {
        command.arg("--rounds").arg(rounds.to_string());
    }
    if let Some(part) = &arguments.only {
        command.arg("--only").arg(part);
    }
    if let Some(file) = &arguments.plot {
        command.arg("--plot").arg(file);
    }
    let status = invocation::run(&mut command)?;
    step.done();
    // What was started for this stops before the exit code is given.
    drop(parts);
    let code = status
        .code()
        .context("the benchmark was ended by a signal")?;
    Ok(u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from))
}
