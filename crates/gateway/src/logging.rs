//! Logs go to stderr; stdout carries results only.

use std::io::IsTerminal;

use tracing::Subscriber;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt, registry};

use crate::cli::Cli;
use crate::traces::Traces;

/// Chooses what is logged, in the notation of `tracing` (`debug`, `ccpool=trace,warn`, …).
const VARIABLE: &str = "CCPOOL_LOG";

/// Starts logging, and the making of spans for `traces`. `CCPOOL_LOG` wins over `-v` and `--quiet`.
pub(crate) fn start(cli: &Cli, traces: Option<&Traces>) {
    match traces {
        Some(traces) => registry()
            .with(lines(cli).with_filter(filter(cli)))
            .with(traces.layer())
            .init(),
        None => registry().with(lines(cli)).with(filter(cli)).init(),
    }
}

/// Logs what `early` says, which runs before logging can be started: whether traces are sent, only
/// the configuration tells.
pub(crate) fn before<T>(cli: &Cli, early: impl FnOnce() -> T) -> T {
    let for_now = registry().with(lines(cli)).with(filter(cli));
    tracing::subscriber::with_default(for_now, early)
}

fn lines<S>(cli: &Cli) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    if cli.global.log_json {
        lines.json().flatten_event(true).boxed()
    } else {
        lines.boxed()
    }
}

fn filter(cli: &Cli) -> EnvFilter {
    let global = &cli.global;
    let by_flags = match (global.quiet, global.verbose) {
        (true, _) => "error",
        // A server tells what it does; other commands print a result.
        (false, 0) if cli.serves() => "warn,ccpool=info",
        (false, 0) => "warn",
        // It tells the life of a server for every call of a tool.
        (false, 1) => "info,ccpool=debug,rmcp=warn",
        (false, 2) => "debug",
        (false, 3..) => "trace",
    };
    std::env::var(VARIABLE)
        .ok()
        .filter(|directives| !directives.is_empty())
        .and_then(|directives| EnvFilter::try_new(directives).ok())
        .unwrap_or_else(|| EnvFilter::new(by_flags))
}
