use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::docker::DockerView;
use super::folder::RunFolder;
use super::gateway::{Gateway, Settings, WARM};
use super::model::Model;
use super::network::Network;
use super::story::Story;
use super::witness::Witness;
use crate::cleanup;
use crate::invocation;
use crate::progress::Step;
use crate::setup::{Containers, Parts};
use crate::workspace::{Workspace, cargo};

/// All that runs during a demo. Dropped, it stops in the right order: fields go from the first
/// to the last.
#[derive(Debug)]
pub(crate) struct Stage {
    /// The gateway, with its containers and its Redis.
    pub(crate) gateway: Gateway,
    /// What answers behind the CLI.
    pub(crate) model: Model,
    network: Option<Network>,
    /// Looks past the gateway.
    pub(crate) witness: Witness,
    docker: Option<DockerView>,
    name: String,
    folder: RunFolder,
}

/// Where the binaries come from.
#[derive(Debug)]
pub(crate) struct Binaries {
    ccpool: PathBuf,
    scripted_model: PathBuf,
}

impl Binaries {
    /// Those that the set-up has built, or optimised ones, which are built now.
    ///
    /// # Errors
    /// They cannot be built.
    pub(crate) fn obtain(workspace: &Workspace, release: bool) -> Result<Self> {
        if !release {
            return Ok(Self {
                ccpool: workspace.debug_binary("ccpool"),
                scripted_model: workspace.debug_binary("scripted-model"),
            });
        }
        let step = Step::begin("building optimised binaries (minutes the first time)");
        invocation::require(
            Command::new(cargo())
                .args(["build", "--release", "--bin", "ccpool"])
                .args(["--bin", "scripted-model"])
                .current_dir(workspace.root()),
            "see the compiler's messages above",
        )?;
        step.done();
        Ok(Self {
            ccpool: workspace.release_binary("ccpool"),
            scripted_model: workspace.release_binary("scripted-model"),
        })
    }
}

impl Stage {
    /// Starts everything, in a folder below the workspace's state.
    ///
    /// # Errors
    /// A part does not start; what has been started before is stopped then.
    pub(crate) fn set(
        workspace: &Workspace,
        parts: &Parts,
        containers: Option<&Containers>,
        binaries: &Binaries,
        keep_log: bool,
        story: &mut Story,
    ) -> Result<Self> {
        let name = Network::own_name();
        let folder = RunFolder::create(workspace.state(), "demo")?;
        if keep_log {
            folder.keep_logs();
        }
        let set = Self::set_in(&folder, &name, parts, containers, binaries, story);
        match set {
            Ok((gateway, model, network, docker)) => Ok(Self {
                gateway,
                model,
                network,
                witness: match &docker {
                    Some(docker) => Witness::Docker(docker.clone()),
                    None => Witness::Process(folder.path().join("containers")),
                },
                docker,
                name,
                folder,
            }),
            Err(error) => {
                cleanup::give_way_to_signal();
                folder.keep_logs();
                Err(error)
            }
        }
    }

    fn set_in(
        folder: &RunFolder,
        name: &str,
        parts: &Parts,
        containers: Option<&Containers>,
        binaries: &Binaries,
        story: &mut Story,
    ) -> Result<(Gateway, Model, Option<Network>, Option<DockerView>)> {
        let docker = containers.map(|containers| {
            let engine = containers.engine().address().clone();
            DockerView::new(engine, Network::container_prefix(name))
        });
        let network = match &docker {
            Some(docker) => Some(Network::create(docker, name)?),
            None => None,
        };
        if let Some(network) = &network {
            let ip = network.gateway();
            story.line(format_args!("network   {name}; this host is {ip} on it"));
        }
        let model = match Model::credential() {
            Some(credential) => Model::Anthropic { credential },
            None => {
                let host = network
                    .as_ref()
                    .map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), Network::gateway);
                Model::scripted(&binaries.scripted_model, host, folder.path(), None)?
            }
        };
        match &model {
            Model::Anthropic { credential } => story.warn(format_args!(
                "the model is Anthropic's, with the credentials in {credential}: \
                 this costs a few cents"
            )),
            Model::Scripted { url, daemon } => {
                let pid = daemon.pid();
                story.line(format_args!(
                    "model     SCRIPTED, a stand-in at {url} (pid {pid})"
                ));
                story.warn("no Anthropic credentials in the environment: the model is scripted");
            }
        }
        let gateway = Gateway::start(&Settings {
            program: binaries.ccpool.clone(),
            containers,
            wrapper: parts.wrapper(),
            claude: parts.claude(),
            name,
            network: name,
            folder: folder.path(),
            environment: model.environment(),
            own: own(),
        })?;
        story.line(format_args!(
            "gateway   {} (pid {}), with a private Redis",
            gateway.url(),
            gateway.pid()
        ));
        Ok((gateway, model, network, docker))
    }

    /// Logs stay when the rest goes.
    pub(crate) fn keep_logs(&self) {
        self.folder.keep_logs();
    }

    /// Stops and removes everything, and says so; what is left over, if anything is.
    pub(crate) fn strike(self, story: &mut Story) -> Option<String> {
        let Self {
            gateway,
            model,
            network,
            witness: _,
            docker,
            name,
            folder,
        } = self;
        drop(gateway);
        story.line("gateway stopped, with its containers and its Redis");
        if let Model::Scripted { .. } = model {
            drop(model);
            story.line("scripted model stopped");
        }
        if let Some(network) = network {
            network.remove();
            story.line(format_args!("network {name} removed"));
        }
        let path = folder.path().to_owned();
        folder.remove();
        let kept = path.join("containers");
        if kept.exists() {
            return Some(format!("{} is left over", kept.display()));
        }
        let docker = docker?;
        let left = left_over(&docker, &name);
        if left.is_none() {
            story.line("`docker ps -a` and `docker network ls` know nothing of it any more");
        }
        left
    }
}

/// The smallest model is enough to remember a colour.
fn own() -> serde_json::Value {
    serde_json::json!({
        "pool": { "minWarm": WARM, "maxTotal": 2 * WARM, "maxPerAgent": 1 },
        "timeouts": { "turnMs": 120_000 },
        "model": { "primary": "docker-claude-code/haiku" },
    })
}

fn left_over(docker: &DockerView, name: &str) -> Option<String> {
    let looked = || {
        let containers = docker.containers()?.len();
        anyhow::Ok((containers, docker.has_network(name)?))
    };
    match looked() {
        Ok((0, false)) => None,
        Ok((0, true)) => Some(format!("the network {name} is left over")),
        Ok((count, _)) => Some(format!("{count} containers are left over")),
        Err(error) => Some(format!(
            "cannot see whether anything is left over: {error:#}"
        )),
    }
}
