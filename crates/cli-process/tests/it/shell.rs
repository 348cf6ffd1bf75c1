//! A script that runs as `claude` would.

use std::process::ExitStatus;
use std::time::Duration;

use ccpool_cli_process::{Event, Output, Process, spawn};
use nix::sys::signal::Signal;
use tokio::process::Command;
use tokio::time::timeout;

/// Until something has happened.
const PATIENCE: Duration = Duration::from_secs(20);

/// Its group is killed with the value.
pub(crate) struct Shell {
    pub(crate) process: Process,
    pub(crate) output: Output,
}

impl Shell {
    pub(crate) fn run(script: &str) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let (process, output) = spawn(command).unwrap();
        Self { process, output }
    }

    pub(crate) async fn next(&mut self) -> Event {
        let next = timeout(PATIENCE, self.output.next()).await;
        next.expect("it does something in time")
    }

    /// The next line of stdout; nothing else comes before it.
    pub(crate) async fn line(&mut self) -> String {
        match self.next().await {
            Event::Line(Ok(line)) => String::from_utf8(line).unwrap(),
            other => panic!("not a line: {other:?}"),
        }
    }

    /// How it has exited, and its last words; nothing else comes before it.
    pub(crate) async fn exit(&mut self) -> (ExitStatus, Option<String>) {
        match self.next().await {
            Event::Exited { status, last_words } => (status.unwrap(), last_words),
            other => panic!("not its end: {other:?}"),
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        self.process.signal(Signal::SIGKILL).unwrap();
    }
}
