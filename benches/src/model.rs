use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;
use tokio::process::Command;

use crate::site::Site;

#[derive(Deserialize)]
struct Announced {
    listening: Vec<String>,
}

/// Starts a stand-in of this name for the Messages API on all these addresses of this host. It
/// answers at once, a word per delta. Returns its URLs in the same order.
pub(crate) async fn start(
    site: &mut Site,
    name: &str,
    program: &Path,
    on: &[&str],
) -> Result<Vec<String>> {
    let mut command = Command::new(program);
    for address in on {
        command.arg("--listen").arg(format!("{address}:0"));
    }
    site.start(name, &mut command)?;
    let line = site.first_line(name, Duration::from_secs(10)).await?;
    let announced: Announced =
        serde_json::from_str(&line).context("scripted-model did not say where it listens")?;
    Ok(announced.listening)
}
