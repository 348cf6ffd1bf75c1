//! Runs the stand-in Messages API as a process.

use std::{fs, io::Write, net::SocketAddr, path::PathBuf};

use anyhow::Context;
use ccpool_scripted_model::{ScriptFile, ScriptedModel};
use clap::Parser;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

/// A stand-in Anthropic Messages API whose answers are written in scenes.
#[derive(Debug, Parser)]
#[command(name = "scripted-model")]
struct Options {
    /// Address to listen on; may be given several times. Port 0 takes a free port.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: Vec<SocketAddr>,
    /// JSON file with named scenes, beside the built-in ones.
    #[arg(long)]
    script: Option<PathBuf>,
    /// Write the first port as a decimal number into this file when ready.
    #[arg(long)]
    port_file: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let script = match &options.script {
        Some(path) => {
            let json = fs::read_to_string(path)
                .with_context(|| format!("cannot read the script {}", path.display()))?;
            ScriptFile::parse(&json)
                .with_context(|| format!("the script {} is not valid", path.display()))?
        }
        None => ScriptFile::builtin(),
    };
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let model = ScriptedModel::start_with(&options.listen, script).await?;
    if let Some(path) = &options.port_file {
        fs::write(path, model.addr().port().to_string())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let listening: Vec<_> = model
        .addrs()
        .iter()
        .map(|addr| format!("http://{addr}"))
        .collect();
    let mut out = std::io::stdout();
    writeln!(out, "{}", json!({ "listening": listening }))?;
    out.flush()?;
    tokio::select! {
        // Both are cancel-safe: a signal not received here ends nothing else.
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    model.shutdown().await;
    Ok(())
}
