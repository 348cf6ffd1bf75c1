use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::site::{Plan, Site};
use crate::demo::docker::DockerView;
use crate::demo::network::Network;
use crate::setup::{Containers, Parts};
use crate::workspace::Workspace;

/// Two gateways that know nothing of each other. Dropped, they stop, and then the network goes.
#[derive(Debug)]
pub(crate) struct Stage {
    /// The one that clients talk to.
    main: Site,
    /// The one that they fall back to. It has a single container, and answers what the other
    /// one's model refuses.
    other: Site,
    network: Option<Network>,
    docker: Option<DockerView>,
    records: PathBuf,
}

/// The CLI tells at once what the model's service says.
const AT_ONCE: (&str, &str) = ("CLAUDE_CODE_MAX_RETRIES", "0");

fn main_plan() -> Plan {
    Plan {
        name: "interop",
        scenes: "scenes.json",
        warm: 2,
        own: json!({
            // Whoever has another provider goes there at once.
            "openai": { "unavailableRetryAfterMs": 121_000 },
            "pool": { "minWarm": 2, "maxTotal": 6, "maxPerAgent": 6, "claimTimeoutMs": 60_000 },
            "claude": {
                "env": { AT_ONCE.0: AT_ONCE.1 },
                // Clients bring tools of the same purpose.
                "extraArgs": ["--disallowedTools", "Bash,Read,Write,Edit"],
            },
        }),
    }
}

fn other_plan() -> Plan {
    Plan {
        name: "other",
        scenes: "scenes-other.json",
        warm: 1,
        own: json!({
            "pool": { "minWarm": 1, "maxTotal": 1, "claimTimeoutMs": 0 },
            "timeouts": { "stallMs": 15_000 },
            "openai": { "keepAliveMs": 1_000 },
            "claude": { "env": { AT_ONCE.0: AT_ONCE.1 } },
        }),
    }
}

impl Stage {
    /// Starts everything, in folders below the workspace's state.
    ///
    /// # Errors
    /// A part does not start; what has been started before is stopped then.
    pub(crate) fn set(
        workspace: &Workspace,
        parts: &Parts,
        containers: Option<&Containers>,
    ) -> Result<Self> {
        let records = workspace.state().join("interop-records");
        if records.exists() {
            std::fs::remove_dir_all(&records)
                .with_context(|| format!("cannot remove {}", records.display()))?;
        }
        std::fs::create_dir_all(&records)
            .with_context(|| format!("cannot create {}", records.display()))?;
        let name = Network::own_name();
        let docker = containers.map(|containers| {
            let engine = containers.engine().address().clone();
            DockerView::new(engine, Network::container_prefix(&name))
        });
        let network = match &docker {
            Some(docker) => Some(Network::create(docker, &name)?),
            None => None,
        };
        let containers = containers.zip(network.as_ref());
        let main = Site::set(workspace, parts, containers, &main_plan())?;
        let other = Site::set(workspace, parts, containers, &other_plan())?;
        Ok(Self {
            main,
            other,
            network,
            docker,
            records,
        })
    }

    /// What a script has to know, with a `home` of its own.
    pub(crate) fn described(&self, home: &Path, records: &Path) -> Value {
        let site = |site: &Site| json!({ "url": site.url(), "model": site.model() });
        json!({
            "main": site(&self.main),
            "other": site(&self.other),
            "home": home,
            "records": records,
        })
    }

    /// A folder for a client's files, which goes with the rest.
    pub(crate) fn folder(&self) -> &Path {
        self.main.folder()
    }

    /// A folder for what a failing case leaves, which stays until the next run.
    pub(crate) fn records(&self) -> &Path {
        &self.records
    }

    /// Logs stay when the rest goes.
    pub(crate) fn keep_logs(&self) {
        self.main.keep_logs();
        self.other.keep_logs();
    }

    /// Stops and removes everything; what is left over, if anything is.
    pub(crate) fn strike(self) -> Option<String> {
        let Self {
            main,
            other,
            network,
            docker,
            records: _,
        } = self;
        let mut left = main.strike();
        left.extend(other.strike());
        drop(network);
        if let Some(docker) = docker {
            match docker.containers() {
                Ok(containers) => left.extend(
                    containers
                        .iter()
                        .map(|container| format!("the container {}", container.name())),
                ),
                Err(error) => left.push(format!("perhaps containers: {error:#}")),
            }
        }
        (!left.is_empty()).then(|| left.join(", "))
    }
}
