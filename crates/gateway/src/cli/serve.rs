//! `ccpool serve`.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use ccpool::config::{Loaded, RuntimeKind};
use serde_json::json;

use super::command::{Cli, Global, Serve};
use super::error::{CliError, Exit};
use super::place::load;
use super::signals::Signals;
use crate::gateway::{Front, Gateway};
use crate::logging;
use crate::traces::Traces;

/// The configuration with this command's flags on top.
pub(crate) fn configuration(global: &Global, arguments: &Serve) -> Result<Loaded, CliError> {
    let mut overrides = arguments.place.overrides();
    if let Some(listen) = &arguments.listen {
        overrides = overrides.set_text("--listen", "http.listen", listen);
    }
    let loaded = load(global, overrides)?;
    if !loaded.config.enabled {
        let message = "the configuration says `enabled: false`";
        return Err(CliError::new(Exit::Usage, "config", message).mend("set it to true"));
    }
    Ok(loaded)
}

/// Serves until a signal or a defect ends it.
pub(crate) async fn run(cli: &Cli, arguments: &Serve, loaded: Loaded) -> Result<Exit, CliError> {
    let traces = Traces::start(&loaded.config.telemetry)?;
    logging::start(cli, traces.as_ref());
    let outcome = serve(&cli.global, arguments, loaded).await;
    if let Some(traces) = traces {
        traces.shutdown().await;
    }
    outcome
}

async fn serve(global: &Global, arguments: &Serve, loaded: Loaded) -> Result<Exit, CliError> {
    let mut signals = Signals::listen()?;
    let config = loaded.config;
    let about = (config.runtime, config.redis.url.to_string());
    let starting = Gateway::start(config, arguments.place.wrapper.clone(), Front::Http);
    // Not cancel-safe, and need not be: a start that is cut off leaves children that die with it.
    let mut gateway = tokio::select! {
        started = starting => started?,
        signal = signals.next() => {
            return Err(CliError::new(Exit::Interrupted, "interrupted",
                format!("{signal} came before the gateway was up")));
        }
    };
    warn_without_isolation(about.0);
    let announced = announce(global, arguments.port_file.as_deref(), &gateway, &about);
    let outcome = match announced {
        Err(error) => Err(error),
        // Both are cancel-safe: a signal is kept, a server that ended stays ended.
        Ok(()) => tokio::select! {
            signal = signals.next() => {
                tracing::info!(signal, "stopping");
                Ok(Exit::Done)
            }
            error = gateway.broken() => Err(error.into()),
        },
    };
    let stopping = gateway.shutdown(Duration::from_secs(arguments.stop_timeout));
    // Who asks twice wants it now: what is left is cut, children die with this process.
    tokio::select! {
        () = stopping => outcome,
        signal = signals.next() => {
            Err(CliError::new(Exit::Interrupted, "interrupted",
                format!("{signal} came again before everything was stopped")))
        }
    }
}

/// Says so where nobody can overlook it.
pub(super) fn warn_without_isolation(runtime: RuntimeKind) {
    if runtime == RuntimeKind::Process {
        tracing::warn!(
            "NO ISOLATION: with the process runtime the agent runs as your own user, with your \
             files, your network and your processes in its reach"
        );
    }
}

fn announce(
    global: &Global,
    port_file: Option<&Path>,
    gateway: &Gateway,
    (runtime, redis): &(RuntimeKind, String),
) -> Result<(), CliError> {
    let Some(address) = gateway.address() else {
        return Ok(());
    };
    let version = env!("CARGO_PKG_VERSION");
    let mut out = std::io::stdout().lock();
    let written = if global.json {
        writeln!(
            out,
            "{}",
            json!({
                "listening": format!("http://{address}"),
                "version": version,
                "runtime": runtime.as_str(),
                "redis": redis,
                "pid": std::process::id(),
            })
        )
    } else {
        writeln!(
            out,
            "ccpool {version} listens on http://{address} (runtime {runtime}, Redis {redis})"
        )
    };
    written
        .and_then(|()| out.flush())
        .map_err(|error| CliError::stdout(&error))?;
    if let Some(path) = port_file {
        write_whole(path, &format!("{}\n", address.port()))?;
    }
    Ok(())
}

/// Whoever waits for the file never sees half of it.
fn write_whole(path: &Path, text: &str) -> Result<(), CliError> {
    let unwritable = |error: std::io::Error| {
        CliError::new(
            Exit::Failed,
            "internal",
            format!("cannot write {}: {error}", path.display()),
        )
        .mend("name a file in a folder that can be written")
    };
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    std::fs::write(&unfinished, text).map_err(unwritable)?;
    std::fs::rename(&unfinished, path).map_err(unwritable)
}
