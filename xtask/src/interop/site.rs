use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::demo::folder::RunFolder;
use crate::demo::gateway::{Gateway, Settings};
use crate::demo::model::Model;
use crate::demo::network::Network;
use crate::demo::processes;
use crate::setup::{Containers, Parts};
use crate::workspace::Workspace;

/// From nothing to warm containers, on a slow machine.
const WARM_UP: Duration = Duration::from_secs(120);

/// A gateway with all that is its own. Dropped, it stops: fields go from the first to the last.
#[derive(Debug)]
pub(crate) struct Site {
    gateway: Gateway,
    model: Model,
    folder: RunFolder,
}

/// What sites differ in.
#[derive(Debug)]
pub(crate) struct Plan {
    /// In the names of its folder, its containers and its keys.
    pub(crate) name: &'static str,
    /// Its model's scenes, a file in `xtask/interop`.
    pub(crate) scenes: &'static str,
    /// How many warm containers it begins with.
    pub(crate) warm: usize,
    /// Its configuration, beyond the usual.
    pub(crate) own: Value,
}

impl Site {
    /// Starts it and waits until its containers are warm.
    ///
    /// # Errors
    /// A part does not start; what has been started before is stopped then.
    pub(crate) fn set(
        workspace: &Workspace,
        parts: &Parts,
        containers: Option<(&Containers, &Network)>,
        plan: &Plan,
    ) -> Result<Self> {
        let folder = RunFolder::create(workspace.state(), plan.name)?;
        let host = containers.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |(_, network)| {
            network.gateway()
        });
        let scenes = scripts(workspace).join(plan.scenes);
        let program = workspace.debug_binary("scripted-model");
        let model = Model::scripted(&program, host, folder.path(), Some(&scenes))?;
        let network = Network::own_name();
        let started = Gateway::start(&Settings {
            program: workspace.debug_binary("ccpool"),
            containers: containers.map(|(containers, _)| containers),
            wrapper: parts.wrapper(),
            claude: parts.claude(),
            name: &format!("{network}-{}", plan.name),
            network: &network,
            folder: folder.path(),
            environment: model.environment(),
            own: plan.own.clone(),
        })
        .and_then(|gateway| {
            gateway.wait_for(WARM_UP, |view| view.warm().len() >= plan.warm)?;
            Ok(gateway)
        })
        .with_context(|| format!("the gateway `{}`", plan.name));
        match started {
            Ok(gateway) => Ok(Self {
                gateway,
                model,
                folder,
            }),
            Err(error) => {
                folder.keep_logs();
                Err(error)
            }
        }
    }

    /// Where the gateway answers.
    pub(crate) fn url(&self) -> &str {
        self.gateway.url()
    }

    /// Where the scripted model answers, its control routes too.
    pub(crate) fn model(&self) -> Option<&str> {
        match &self.model {
            Model::Scripted { url, .. } => Some(url),
            Model::Anthropic { .. } => None,
        }
    }

    /// For its files, and for those of its clients.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Logs stay when the rest goes.
    pub(crate) fn keep_logs(&self) {
        self.folder.keep_logs();
    }

    /// Stops and removes it; what processes are left over.
    pub(crate) fn strike(self) -> Vec<String> {
        let Self {
            gateway,
            model,
            folder,
        } = self;
        drop(gateway);
        drop(model);
        let left = processes::all_within(folder.path());
        folder.remove();
        left.into_iter()
            .map(|(pid, name)| format!("{name} (pid {pid})"))
            .collect()
    }
}

/// Where scripts and scenes lie.
pub(crate) fn scripts(workspace: &Workspace) -> std::path::PathBuf {
    workspace.root().join("xtask").join("interop")
}
