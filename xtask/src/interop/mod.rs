//! `cargo xtask interop`: clients of the OpenAI API, as their users have them, on a real gateway.

mod case;
mod script;
mod site;
mod stage;

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use crate::cleanup;
use crate::progress::{Step, say, warn};
use crate::setup::{Clients, Containers, Needs, Parts};
use crate::workspace::Workspace;
use case::Outcome;
use script::Script;
use stage::Stage;

#[derive(Debug, Args)]
pub(crate) struct InteropArguments {
    /// Only this client; may be given several times [all but those that are large].
    #[arg(long, value_enum, value_name = "CLIENT")]
    only: Vec<Client>,
    /// Only cases whose name holds this; may be given several times.
    #[arg(long, value_name = "TEXT")]
    case: Vec<String>,
    /// Print one JSON object on stdout.
    #[arg(long)]
    json: bool,
    /// Where containers run [docker; process where there is no Docker Engine and none can be had].
    #[arg(long, value_enum)]
    runtime: Option<RuntimeChoice>,
    /// Keep the gateways' logs and configuration, also when everything held.
    #[arg(long)]
    keep_logs: bool,
}

/// A client, each with a script in `xtask/interop`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Client {
    /// The official Python client.
    Openai,
    /// LiteLLM, as a library, a router and a proxy.
    Litellm,
    /// OpenClaw, a chat-bot with tools of its own.
    Openclaw,
    /// Open WebUI, pages for chats: five gigabytes, so only when it is named.
    Openwebui,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RuntimeChoice {
    /// Docker containers.
    Docker,
    /// Plain processes of this user: no isolation.
    Process,
}

impl InteropArguments {
    fn wanted(&self) -> Vec<Client> {
        let all = Client::value_variants().iter().copied();
        let wanted = all.filter(|client| match &self.only[..] {
            [] => client.by_default(),
            only => only.contains(client),
        });
        wanted.collect()
    }
}

impl Client {
    fn word(self) -> &'static str {
        match self {
            Self::Openai => "openai",
            Self::Litellm => "litellm",
            Self::Openclaw => "openclaw",
            Self::Openwebui => "openwebui",
        }
    }

    /// Whether it is run unless others are named.
    fn by_default(self) -> bool {
        match self {
            Self::Openai | Self::Litellm | Self::Openclaw => true,
            Self::Openwebui => false,
        }
    }
}

/// Gets clients and parts and runs the cases; the exit code is 1 when one did not hold.
pub(crate) fn run(workspace: &Workspace, arguments: &InteropArguments) -> Result<ExitCode> {
    let wanted = arguments.wanted();
    let clients = Clients::obtain(workspace.state(), wanted.contains(&Client::Openwebui))?;
    let needs = match arguments.runtime {
        Some(RuntimeChoice::Process) => Needs::Processes,
        Some(RuntimeChoice::Docker) | None => Needs::Everything,
    };
    let parts = Parts::obtain(workspace, needs)?;
    let containers = choose(&parts, arguments.runtime)?;
    let mut outcome = Outcome::new(containers.is_some());

    let step = Step::begin("starting two gateways, each with a Redis and a scripted model");
    let stage = Stage::set(workspace, &parts, containers)?;
    step.done();
    if arguments.keep_logs {
        stage.keep_logs();
    }
    let played = play(workspace, arguments, &clients, &stage, &mut outcome);
    cleanup::give_way_to_signal();
    if played.is_err() || !outcome.holds() {
        stage.keep_logs();
    }
    outcome.left_over = stage.strike();
    drop(parts);
    played?;
    if arguments.json {
        println!("{}", outcome.to_json(&clients.versions()));
    } else {
        print!("{outcome}");
    }
    Ok(if outcome.holds() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn play(
    workspace: &Workspace,
    arguments: &InteropArguments,
    clients: &Clients,
    stage: &Stage,
    outcome: &mut Outcome,
) -> Result<()> {
    for client in arguments.wanted() {
        let step = Step::begin(format!("cases of {}", client.word()));
        let script = Script::new(workspace, clients, stage, client.word())?;
        script.play(&arguments.case, |case| {
            case.tell();
            outcome.cases.push(case);
        })?;
        step.done();
    }
    Ok(())
}

/// The engine to use, or none for the process runtime.
fn choose(parts: &Parts, runtime: Option<RuntimeChoice>) -> Result<Option<&Containers>> {
    match (runtime, parts.docker()) {
        (Some(RuntimeChoice::Docker) | None, Ok(containers)) => {
            say(format!("in containers, image {}", containers.image()));
            Ok(Some(containers))
        }
        (Some(RuntimeChoice::Docker), Err(reason)) => {
            bail!("no Docker Engine: {reason} (without it: --runtime process)")
        }
        (None, Err(reason)) => {
            warn(format!("without containers, no Docker Engine: {reason}"));
            Ok(None)
        }
        (Some(RuntimeChoice::Process), _) => {
            say("without containers: the agent runs as a process of this user");
            Ok(None)
        }
    }
}
