//! `cargo xtask demo`: a warm pool, two prompts in one session, and where their time went.

mod client;
pub(crate) mod docker;
pub(crate) mod folder;
pub(crate) mod gateway;
pub(crate) mod model;
pub(crate) mod network;
mod outcome;
mod play;
pub(crate) mod processes;
mod sse;
mod stage;
mod story;
mod timing;
mod turn;
mod witness;

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use crate::cleanup;
use crate::setup::{Containers, Needs, Parts};
use crate::workspace::Workspace;
use outcome::Outcome;
use stage::{Binaries, Stage};
use story::Story;

#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// Tell the story on stderr; the last line of stdout is one JSON object.
    #[arg(long)]
    json: bool,
    /// Where containers run [docker; process where there is no Docker Engine and none can be had].
    #[arg(long, value_enum)]
    runtime: Option<RuntimeChoice>,
    /// Run optimised binaries.
    #[arg(long)]
    release: bool,
    /// Keep the gateway's log and configuration.
    #[arg(long)]
    keep_log: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RuntimeChoice {
    /// Docker containers.
    Docker,
    /// Plain processes of this user: no isolation.
    Process,
}

/// Runs the demo and cleans up; the exit code is 1 when anything did not hold.
pub(crate) fn run(workspace: &Workspace, arguments: &DemoArguments) -> Result<ExitCode> {
    let mut story = Story::new(arguments.json);
    let mut outcome = Outcome::default();
    let told = tell(workspace, arguments, &mut story, &mut outcome);
    let failure = match told {
        Ok(()) => outcome.shortfall(),
        Err(error) => Some(format!("{error:#}")),
    };
    match &failure {
        None => story.chapter("Everything held, and nothing is left behind."),
        Some(failure) => eprintln!("error: {failure}"),
    }
    if arguments.json {
        println!("{}", outcome.to_json(failure.as_deref()));
    }
    Ok(match failure {
        None => ExitCode::SUCCESS,
        Some(_) => ExitCode::FAILURE,
    })
}

fn tell(
    workspace: &Workspace,
    arguments: &DemoArguments,
    story: &mut Story,
    outcome: &mut Outcome,
) -> Result<()> {
    story.chapter("Set-up (what is missing is fetched and built; its progress is on stderr)");
    let needs = match arguments.runtime {
        Some(RuntimeChoice::Process) => Needs::Processes,
        Some(RuntimeChoice::Docker) | None => Needs::Everything,
    };
    let parts = Parts::obtain(workspace, needs)?;
    let binaries = Binaries::obtain(workspace, arguments.release)?;
    let containers = choose(&parts, arguments.runtime, story)?;
    outcome.runtime = Some(match containers {
        Some(_) => "docker",
        None => "process",
    });

    story.chapter("Starting a pool of its own");
    let stage = Stage::set(
        workspace,
        &parts,
        containers,
        &binaries,
        arguments.keep_log,
        story,
    )?;
    outcome.model = Some(stage.model.word());
    let played = play::play(&stage, story, outcome);
    cleanup::give_way_to_signal();
    if played.is_err() || outcome.shortfall().is_some() {
        stage.keep_logs();
    }
    story.chapter("Cleaning up");
    outcome.left_over = stage.strike(story);
    drop(parts);
    played
}

/// The engine to use, or none for the process runtime.
fn choose<'a>(
    parts: &'a Parts,
    runtime: Option<RuntimeChoice>,
    story: &mut Story,
) -> Result<Option<&'a Containers>> {
    match (runtime, parts.docker()) {
        (Some(RuntimeChoice::Docker) | None, Ok(containers)) => {
            story.line(format_args!(
                "docker    {}, image {}",
                containers.engine().address(),
                containers.image()
            ));
            return Ok(Some(containers));
        }
        (Some(RuntimeChoice::Docker), Err(reason)) => {
            bail!("no Docker Engine: {reason} (without it: --runtime process)")
        }
        (None, Err(reason)) => story.warn(format_args!("NO DOCKER ENGINE: {reason}")),
        (Some(RuntimeChoice::Process), _) => {}
    }
    story.warn("PROCESS RUNTIME, NO ISOLATION: the agent runs as your own user,");
    story.warn("with your files, your network and your processes in its reach.");
    Ok(None)
}
