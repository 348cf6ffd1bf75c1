//! Docker, by its own command.

use std::net::IpAddr;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

/// A network for all runs of this program, and the containers on it.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) name: NetworkName,
    /// This machine, as containers see it.
    pub(crate) host: IpAddr,
}

impl Network {
    /// Makes it.
    ///
    /// # Errors
    /// There is no Docker Engine, or it refuses.
    pub(crate) async fn create() -> Result<Self> {
        let name = NetworkName::of_this_program();
        docker(&["network", "create", &name.0]).await?;
        let format = "{{range .IPAM.Config}}{{.Gateway}}{{end}}";
        let host = docker(&["network", "inspect", "--format", format, &name.0]).await?;
        let host = host.trim().parse();
        let host = host.context("the network has no gateway address")?;
        Ok(Self { name, host })
    }
}

/// The network's name.
#[derive(Debug, Clone)]
pub(crate) struct NetworkName(String);

impl NetworkName {
    /// Whether there is one or not.
    pub(crate) fn of_this_program() -> Self {
        Self(format!("ccpool-chaos-{}", std::process::id()))
    }

    /// As text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Removes the network.
    ///
    /// # Errors
    /// There is none, or something is still on it.
    pub(crate) async fn remove(&self) -> Result<()> {
        docker(&["network", "rm", &self.0]).await.map(drop)
    }
}

/// The names of the containers that begin with this, whatever their state.
///
/// # Errors
/// Docker does not answer.
pub(crate) async fn containers(prefix: &str) -> Result<Vec<String>> {
    let filter = format!("name=^/?{prefix}");
    let listed = docker(&["ps", "--all", "--format", "{{.Names}}", "--filter", &filter]).await?;
    Ok(listed.lines().map(str::to_owned).collect())
}

/// SIGKILL for the whole container.
///
/// # Errors
/// It does not run any more.
pub(crate) async fn kill(container: &str) -> Result<()> {
    docker(&["kill", container]).await.map(drop)
}

/// Removes a container, running or not.
///
/// # Errors
/// Docker refuses.
pub(crate) async fn remove(container: &str) -> Result<()> {
    docker(&["rm", "--force", container]).await.map(drop)
}

async fn docker(arguments: &[&str]) -> Result<String> {
    let output = Command::new("docker")
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("cannot run docker")?;
    ensure!(
        output.status.success(),
        "docker {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    String::from_utf8(output.stdout).context("docker prints no text")
}
