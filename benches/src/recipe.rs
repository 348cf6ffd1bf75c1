use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::docker;

/// The agent of the image.
pub(crate) const AGENT: &str = "1001:1001";

const CLAUDE: &str = "/usr/local/bin/claude";

/// How ccpool starts `claude`, read off one that it has started: the same limits, arguments,
/// environment and MCP server, whatever they are.
#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    /// Without the program.
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: BTreeMap<String, String>,
    /// The content of the file that `--mcp-config` names.
    mcp: String,
    limits: Vec<String>,
}

impl Recipe {
    /// Reads it in the container with this id.
    pub(crate) async fn of(container: &str) -> Result<Self> {
        let inside = async |command: &[&str]| {
            let mut arguments = vec!["exec", "--user", AGENT, container];
            arguments.extend(command);
            docker::run(&arguments).await
        };
        let find = format!(
            "for p in /proc/[0-9]*; do \
             [ \"$(readlink $p/exe)\" = {CLAUDE} ] && echo ${{p#/proc/}}; done 2>/dev/null; true"
        );
        let pid = inside(&["sh", "-c", &find]).await?;
        let pid = pid
            .lines()
            .next()
            .context("no claude runs in ccpool's container")?;
        let words = |text: String| -> Vec<String> {
            text.split('\0')
                .map(str::to_owned)
                .filter(|word| !word.is_empty())
                .collect()
        };
        let mut arguments = words(inside(&["cat", &format!("/proc/{pid}/cmdline")]).await?);
        arguments.remove(0);
        let environment = words(inside(&["cat", &format!("/proc/{pid}/environ")]).await?)
            .into_iter()
            .filter_map(|word| {
                let (name, value) = word.split_once('=')?;
                Some((name.to_owned(), value.to_owned()))
            })
            .collect();
        let file = arguments
            .iter()
            .position(|argument| argument == "--mcp-config")
            .and_then(|at| arguments.get(at + 1))
            .context("ccpool's claude has no --mcp-config")?;
        let mcp = inside(&["cat", file]).await?;
        let form = "--memory={{.HostConfig.Memory}} --memory-swap={{.HostConfig.MemorySwap}} \
                    --pids-limit={{.HostConfig.PidsLimit}} nano={{.HostConfig.NanoCpus}}";
        let limits = docker::run(&["inspect", "--format", form, container]).await?;
        let limits = limits
            .split_whitespace()
            .map(|limit| match limit.strip_prefix("nano=") {
                Some(nano) => format!("--cpus={}", nano.parse().unwrap_or(0.0) / 1e9),
                None => limit.to_owned(),
            })
            .chain(["--cap-drop=ALL", "--security-opt=no-new-privileges"].map(str::to_owned))
            .collect();
        Ok(Self {
            arguments,
            environment,
            mcp,
            limits,
        })
    }

    /// The arguments for another process, with its MCP configuration in `file`.
    pub(crate) fn arguments(&self, file: &str) -> Result<Vec<String>> {
        let mut arguments = self.arguments.clone();
        let id = uuid::Uuid::new_v4().to_string();
        for (name, value) in [("--session-id", id.as_str()), ("--mcp-config", file)] {
            let at = arguments.iter().position(|argument| argument == name);
            let given = at.and_then(|at| arguments.get_mut(at + 1));
            *given.with_context(|| format!("ccpool's claude has no {name}"))? = value.to_owned();
        }
        Ok(arguments)
    }

    /// `docker run`'s flags for a container like ccpool's.
    pub(crate) fn container_flags(&self, network: &str, environment: &Path) -> Vec<String> {
        let mut flags = vec![
            format!("--network={network}"),
            format!("--user={AGENT}"),
            format!("--env-file={}", environment.display()),
        ];
        flags.extend(self.limits.iter().cloned());
        flags
    }

    /// Writes the environment where `docker run --env-file` reads it.
    pub(crate) fn write_environment(&self, file: &Path) -> Result<()> {
        let mut text = String::new();
        for (name, value) in &self.environment {
            ensure!(!value.contains('\n'), "{name} has more than one line");
            // A folder that only ccpool's wrapper makes.
            if name != "TMPDIR" {
                text.push_str(&format!("{name}={value}\n"));
            }
        }
        fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
    }

    /// Writes the MCP configuration.
    pub(crate) fn write_mcp(&self, file: &Path) -> Result<()> {
        fs::write(file, &self.mcp).with_context(|| format!("cannot write {}", file.display()))
    }
}
