//! A `claude` that runs: its input and its group.

use std::io;
use std::process::Stdio;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::AsyncWriteExt;
use tokio::process::{ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::output::Output;

/// Writes that may wait for `claude` to read. It reads all the time; a full queue means that it
/// has stopped working.
const WRITES: usize = 256;

/// `claude` does not read its stdin any more.
#[derive(Debug, thiserror::Error)]
#[error("claude does not read its input any more")]
pub struct Stuck;

/// What is written to it, and its process group.
#[derive(Debug)]
pub struct Process {
    group: Pid,
    stdin: Option<mpsc::Sender<Vec<u8>>>,
}

/// Starts `claude` in a process group of its own, with all three streams piped. It lives as long as
/// its [`Output`], and is written to for as long.
///
/// # Errors
/// The program cannot be started.
pub fn spawn(mut command: Command) -> io::Result<(Process, Output)> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    let pid = child.id().expect("a child that was not awaited has a pid");
    let pid = i32::try_from(pid).expect("Linux' pids fit");
    let stdin = child.stdin.take().expect("stdin is piped");
    let (sender, writes) = mpsc::channel(WRITES);
    let mut writer = JoinSet::new();
    writer.spawn(write(stdin, writes));
    let process = Process {
        group: Pid::from_raw(pid),
        stdin: Some(sender),
    };
    Ok((process, Output::of(child, writer)))
}

impl Process {
    /// Its process group, which has its own number.
    pub fn pid(&self) -> Pid {
        self.group
    }

    /// Hands over whole lines; they are written at once and together. After the end of the input, or
    /// of the process, they go nowhere.
    ///
    /// # Errors
    /// It has not read for long.
    pub fn write(&self, lines: Vec<u8>) -> Result<(), Stuck> {
        let Some(stdin) = &self.stdin else {
            return Ok(());
        };
        match stdin.try_send(lines) {
            // A writer that is gone has met the end of the process, which is told elsewhere.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => Err(Stuck),
        }
    }

    /// End of input: it finishes what it does, then exits.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Signals the whole group, in which nobody may be left.
    ///
    /// # Errors
    /// The system does not allow it.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        match killpg(self.group, signal) {
            Ok(()) | Err(nix::Error::ESRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

async fn write(mut stdin: ChildStdin, mut writes: mpsc::Receiver<Vec<u8>>) -> io::Result<()> {
    while let Some(lines) = writes.recv().await {
        stdin.write_all(&lines).await?;
        stdin.flush().await?;
    }
    Ok(())
}
