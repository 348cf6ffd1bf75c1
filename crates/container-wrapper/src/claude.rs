//! The `claude` process: its stdin, its lines, its end.

use std::io;
use std::process::ExitStatus;

use ccpool_cli_process::{Event, Output, Process, spawn};
use nix::sys::signal::Signal;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::board::Board;
use crate::log;
use crate::news::News;

/// What could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start {program}: {source}; check claude.path and that the file can be executed")]
pub(crate) struct SpawnError {
    program: String,
    source: io::Error,
}

/// The running process. Its output goes to the supervisor as [`News`].
#[derive(Debug)]
pub(crate) struct Claude(Process);

impl Claude {
    /// Starts it; what listens to it goes into `tasks`.
    pub(crate) fn spawn(
        command: Command,
        tasks: &mut JoinSet<()>,
        news: mpsc::Sender<News>,
        board: Board,
    ) -> Result<Self, SpawnError> {
        let program = command.as_std().get_program();
        let program = program.to_string_lossy().into_owned();
        let (process, output) = spawn(command).map_err(|source| SpawnError { program, source })?;
        tasks.spawn(listen(output, news, board));
        Ok(Self(process))
    }

    /// Hands over whole lines. One that does not read any more is killed, and its end is told like any
    /// other.
    pub(crate) fn write(&self, lines: Vec<u8>) {
        if let Err(stuck) = self.0.write(lines) {
            log::error(stuck);
            self.kill();
        }
    }

    /// End of input: it finishes what it does, then exits.
    pub(crate) fn close_stdin(&mut self) {
        self.0.close_stdin();
    }

    /// Asks the whole group to end.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Ends the whole group.
    pub(crate) fn kill(&self) {
        self.signal(Signal::SIGKILL);
    }

    fn signal(&self, signal: Signal) {
        if let Err(error) = self.0.signal(signal) {
            log::warn(format_args!("cannot send {signal} to claude: {error}"));
        }
    }
}

/// Tells the supervisor what `claude` does until its end: no faster than Redis takes what its lines lead
/// to. A supervisor that is gone aborts this task, and needs no news.
async fn listen(mut output: Output, news: mpsc::Sender<News>, board: Board) {
    loop {
        match output.next().await {
            Event::Line(line) => {
                let line = line.unwrap_or_else(|error| {
                    log::error(format_args!("claude's stdout: {error}"));
                    error.to_string().into_bytes()
                });
                board.room().await;
                let _ = news.send(News::Line(line)).await;
            }
            Event::Words(words) => log::info(format_args!("claude: {words}")),
            Event::Deaf(error) => log::warn(format_args!("cannot write to claude: {error}")),
            Event::Exited { status, last_words } => {
                let status = status.unwrap_or_else(|error| {
                    log::error(format_args!("cannot wait for claude: {error}"));
                    ExitStatus::default()
                });
                let exited = News::Exited {
                    status,
                    last_stderr: last_words,
                };
                let _ = news.send(exited).await;
                return;
            }
        }
    }
}
