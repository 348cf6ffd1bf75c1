//! SIGTERM and SIGINT as something to wait for.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::error::CliError;

/// Both signals, taken over from their default of ending the process.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes the signals over.
    pub(super) fn listen() -> Result<Self, CliError> {
        let take = |kind| {
            signal(kind)
                .map_err(|error| CliError::internal(format!("cannot handle signals: {error}")))
        };
        Ok(Self {
            terminate: take(SignalKind::terminate())?,
            interrupt: take(SignalKind::interrupt())?,
        })
    }

    /// The name of the next one. Cancel-safe: what was not received is received by the next call.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
