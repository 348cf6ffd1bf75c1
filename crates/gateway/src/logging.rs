//! Logs go to stderr; stdout carries results only.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::cli::Cli;

/// Chooses what is logged, in the notation of `tracing` (`debug`, `ccpool=trace,warn`, …).
const VARIABLE: &str = "CCPOOL_LOG";

/// Starts logging. `CCPOOL_LOG` wins over `-v` and `--quiet`.
pub(crate) fn start(cli: &Cli) {
    let global = &cli.global;
    let by_flags = match (global.quiet, global.verbose) {
        (true, _) => "error",
        // A server tells what it does; other commands print a result.
        (false, 0) if cli.serves() => "warn,ccpool=info",
        (false, 0) => "warn",
        (false, 1) => "info,ccpool=debug",
        (false, 2) => "debug",
        (false, 3..) => "trace",
    };
    let filter = std::env::var(VARIABLE)
        .ok()
        .filter(|directives| !directives.is_empty())
        .and_then(|directives| EnvFilter::try_new(directives).ok())
        .unwrap_or_else(|| EnvFilter::new(by_flags));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    if global.log_json {
        lines.json().flatten_event(true).init();
    } else {
        lines.init();
    }
}
