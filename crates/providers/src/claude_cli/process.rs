//! The `claude` process: its stdin, its lines, its end.

use std::io;
use std::time::Duration;

use ccpool_cli_process::{Event, Output, spawn};
use ccpool_protocol::cli;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tokio::process::Command;
use tokio::time::timeout;

/// What it does.
#[derive(Debug)]
pub(super) enum News {
    /// It printed a line.
    Line(Vec<u8>),
    /// It has ended, and its last line was told: how, in one line.
    Ended(String),
}

/// The running process. Dropped, it is killed.
#[derive(Debug)]
pub(super) struct Process {
    process: ccpool_cli_process::Process,
    output: Output,
    ended: bool,
}

impl Process {
    /// Starts it in a process group of its own.
    pub(super) fn spawn(command: Command) -> io::Result<Self> {
        let (process, output) = spawn(command)?;
        Ok(Self {
            process,
            output,
            ended: false,
        })
    }

    /// Its process group, which has its own number.
    pub(super) fn pid(&self) -> Pid {
        self.process.pid()
    }

    /// Hands over whole lines. One that does not read any more is killed, and its end is told like any
    /// other.
    pub(super) fn write(&self, lines: Vec<u8>) {
        if let Err(stuck) = self.process.write(lines) {
            tracing::warn!(pid = %self.pid(), "{stuck}");
            self.signal(Signal::SIGKILL);
        }
    }

    /// What it does next; cancel-safe. After [`News::Ended`] nothing comes. While nobody asks, `claude`
    /// waits once the pipe is full.
    pub(super) async fn next(&mut self) -> News {
        if self.ended {
            return std::future::pending().await;
        }
        loop {
            match self.output.next().await {
                Event::Line(line) => {
                    let line = line.unwrap_or_else(|error| error.to_string().into_bytes());
                    return News::Line(line);
                }
                Event::Words(line) => tracing::debug!(line, "claude's stderr"),
                Event::Deaf(error) => tracing::debug!(%error, "cannot write to claude"),
                Event::Exited { status, last_words } => {
                    self.ended = true;
                    let how = match status {
                        Ok(status) => cli::ended(status),
                        Err(error) => format!("claude cannot be waited for: {error}"),
                    };
                    return News::Ended(match last_words {
                        Some(words) => format!("{how}: {words}"),
                        None => how,
                    });
                }
            }
        }
    }

    /// Ends the whole group: asks it to, and makes it when `grace` is over.
    pub(super) async fn end(mut self, grace: Duration) {
        if !self.ended {
            self.signal(Signal::SIGTERM);
            if timeout(grace, self.drained()).await.is_err() {
                self.signal(Signal::SIGKILL);
                // The end of a killed process cannot be waited for in vain.
                self.drained().await;
            }
        }
        // What it has started and left.
        self.signal(Signal::SIGKILL);
    }

    async fn drained(&mut self) {
        while !self.ended {
            self.next().await;
        }
    }

    fn signal(&self, signal: Signal) {
        if let Err(error) = self.process.signal(signal) {
            tracing::warn!(pid = %self.pid(), %signal, %error, "cannot send a signal");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.ended {
            self.signal(Signal::SIGKILL);
        }
    }
}
