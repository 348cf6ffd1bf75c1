use std::ffi::OsStr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

/// Starting a container takes a second, removing one that is busy a few.
const LIMIT: Duration = Duration::from_secs(60);

/// The Docker client, which finds its engine by the environment.
pub(crate) fn command() -> Command {
    let mut command = Command::new("docker");
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Runs it and returns what it prints, trimmed.
///
/// # Errors
/// It cannot be run, does not end, or fails; the message holds its own.
pub(crate) async fn run<A: AsRef<OsStr>>(arguments: &[A]) -> Result<String> {
    let output = tokio::time::timeout(LIMIT, command().args(arguments).output())
        .await
        .context("docker did not answer")?
        .context("cannot run docker")?;
    if !output.status.success() {
        let what: Vec<_> = arguments
            .iter()
            .take(2)
            .map(|a| a.as_ref().to_string_lossy())
            .collect();
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("docker {} failed: {}", what.join(" "), said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Removes all containers whose names begin with `prefix`.
pub(crate) async fn remove_containers(prefix: &str) -> Result<()> {
    let filter = format!("name={prefix}");
    let found = run(&["ps", "--all", "--quiet", "--filter", &filter]).await?;
    let mut arguments = vec!["rm", "--force", "--volumes"];
    arguments.extend(found.lines());
    if arguments.len() > 3 {
        run(&arguments).await?;
    }
    Ok(())
}

/// Removes all networks whose names begin with `prefix`.
pub(crate) async fn remove_networks(prefix: &str) -> Result<()> {
    let filter = format!("name={prefix}");
    let found = run(&["network", "ls", "--quiet", "--filter", &filter]).await?;
    for network in found.lines() {
        run(&["network", "rm", network]).await?;
    }
    Ok(())
}
