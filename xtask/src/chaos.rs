//! `cargo xtask chaos`: breaks every part of a running pool, and counts what must not happen.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use crate::invocation;
use crate::progress::{Step, warn};
use crate::setup::{Needs, Parts};
use crate::workspace::Workspace;

/// The set-up builds it with the workspace's other binaries.
const PROGRAM: &str = "ccpool-chaos";

#[derive(Debug, Args)]
pub(crate) struct ChaosArguments {
    /// How many runs.
    #[arg(long, default_value_t = 20, value_name = "COUNT")]
    runs: u64,
    /// The first run's seed; each further run has the next one. A random one if left out.
    #[arg(long)]
    seed: Option<u64>,
    /// Print one line of JSON on stdout.
    #[arg(long)]
    json: bool,
    /// Where containers run. With `mixed` every fourth seed is Docker's, if there is an Engine.
    #[arg(long, value_enum, default_value_t = Where::Mixed)]
    runtime: Where,
    /// Gateways on one Redis, 1 to 3.
    #[arg(long, value_name = "COUNT")]
    gateways: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Where {
    Process,
    Docker,
    Mixed,
}

impl Where {
    fn word(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Docker => "docker",
            Self::Mixed => "mixed",
        }
    }
}

/// Gets the parts and runs it. The exit code is 1 when something was violated.
pub(crate) fn run(workspace: &Workspace, arguments: &ChaosArguments) -> Result<ExitCode> {
    let needs = match arguments.runtime {
        Where::Process => Needs::Processes,
        Where::Docker | Where::Mixed => Needs::Everything,
    };
    let parts = Parts::obtain(workspace, needs)?;
    match (parts.docker(), arguments.runtime) {
        (Err(reason), Where::Docker) => bail!("there is no Docker Engine: {reason}"),
        (Err(_), Where::Mixed) => warn("there is no Docker Engine: no run has containers"),
        (Err(_), Where::Process) | (Ok(_), _) => {}
    }
    let mut command = program(workspace, &parts);
    command
        .args(["--runs", &arguments.runs.to_string()])
        .args(["--runtime", arguments.runtime.word()]);
    if let Some(seed) = arguments.seed {
        command.args(["--seed", &seed.to_string()]);
    }
    if let Some(gateways) = arguments.gateways {
        command.args(["--gateways", &gateways.to_string()]);
    }
    if arguments.json {
        command.arg("--json");
    }
    let step = Step::begin("breaking things (some seconds a run)");
    let status = invocation::run(&mut command)?;
    step.done();
    // What was started for this stops before the exit code is given.
    drop(parts);
    let code = status
        .code()
        .context("the chaos runs were ended by a signal")?;
    Ok(u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// A few runs, always the same ones, as one of the checks.
pub(crate) fn short(workspace: &Workspace, parts: &Parts) -> Command {
    let mut command = program(workspace, parts);
    command.args(["--runs", "6", "--seed", "1"]);
    command
}

fn program(workspace: &Workspace, parts: &Parts) -> Command {
    let mut command = Command::new(workspace.debug_binary(PROGRAM));
    parts.describe_to(&mut command);
    command
}
