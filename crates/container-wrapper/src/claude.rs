//! The `claude` process: its stdin, its lines, its end.

use std::collections::VecDeque;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use ccpool_protocol::framing::LineFramer;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::board::Board;
use crate::log;
use crate::news::News;

/// Writes that may wait for `claude` to read. It reads all the time; a full queue means that it
/// has stopped working.
const WRITES: usize = 256;
/// Longest line of stderr that is kept, in bytes.
const STDERR_LINE: usize = 8 << 10;
/// How many lines of stderr are kept.
const STDERR_LINES: usize = 20;
/// How long output is still read after the exit; a child of `claude`'s may hold the pipe open.
const DRAIN: Duration = Duration::from_millis(300);

/// What could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start {program}: {source}; check claude.path and that the file can be executed")]
pub(crate) struct SpawnError {
    program: String,
    source: io::Error,
}

/// `claude` does not read its stdin any more.
#[derive(Debug, thiserror::Error)]
#[error("claude does not read its input any more")]
pub(crate) struct Stuck;

/// The running process. Its output goes to the supervisor as [`News`].
#[derive(Debug)]
pub(crate) struct Claude {
    group: Pid,
    stdin: Option<mpsc::Sender<Vec<u8>>>,
}

impl Claude {
    /// Starts it in a process group of its own; its tasks go into `tasks`.
    pub(crate) fn spawn(
        mut command: Command,
        tasks: &mut JoinSet<()>,
        news: mpsc::Sender<News>,
        board: Board,
    ) -> Result<Self, SpawnError> {
        let program = command
            .as_std()
            .get_program()
            .to_string_lossy()
            .into_owned();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| SpawnError { program, source })?;
        let pid = child.id().expect("a child that was not awaited has a pid");
        let pid = i32::try_from(pid).expect("Linux' pids fit");
        let stdin = child.stdin.take().expect("stdin is piped");
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        let (sender, writes) = mpsc::channel(WRITES);
        tasks.spawn(write(stdin, writes));
        tasks.spawn(watch(child, stdout, stderr, Onward { news, board }));
        Ok(Self {
            group: Pid::from_raw(pid),
            stdin: Some(sender),
        })
    }

    /// Hands over whole lines; they are written at once and together.
    pub(crate) fn write(&self, lines: Vec<u8>) -> Result<(), Stuck> {
        match &self.stdin {
            Some(stdin) => match stdin.try_send(lines) {
                // A writer that is gone has met the end of the process, which is told elsewhere.
                Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
                Err(mpsc::error::TrySendError::Full(_)) => Err(Stuck),
            },
            None => Ok(()),
        }
    }

    /// End of input: it finishes what it does, then exits.
    pub(crate) fn close_stdin(&mut self) {
        self.stdin = None;
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
        match killpg(self.group, signal) {
            // Nobody is left.
            Ok(()) | Err(nix::Error::ESRCH) => {}
            Err(error) => log::warn(format_args!("cannot send {signal} to claude: {error}")),
        }
    }
}

async fn write(mut stdin: ChildStdin, mut writes: mpsc::Receiver<Vec<u8>>) {
    while let Some(lines) = writes.recv().await {
        let written = async {
            stdin.write_all(&lines).await?;
            stdin.flush().await
        };
        if let Err(error) = written.await {
            log::warn(format_args!("cannot write to claude: {error}"));
            return;
        }
    }
}

/// Owns the child until its end.
async fn watch(mut child: Child, mut stdout: ChildStdout, mut stderr: ChildStderr, onward: Onward) {
    let mut lines = LineFramer::default();
    let mut words = LineFramer::new(STDERR_LINE);
    let mut last = VecDeque::new();
    let (mut out_buffer, mut err_buffer) = (vec![0; 64 << 10], vec![0; 4 << 10]);
    let (mut out_open, mut err_open) = (true, true);
    let mut exit: Option<(io::Result<ExitStatus>, Instant)> = None;
    while out_open || err_open || exit.is_none() {
        let deadline = exit.as_ref().map(|(_, deadline)| *deadline);
        // All are cancel-safe: nothing is read, and no exit taken, by a future that is dropped.
        tokio::select! {
            biased;
            got = read(&mut stdout, &mut out_buffer), if out_open => {
                out_open = got > 0;
                lines.feed(&out_buffer[..got]);
                while let Some(line) = lines.next_line() {
                    onward.pass(line).await;
                }
            }
            got = read(&mut stderr, &mut err_buffer), if err_open => {
                err_open = got > 0;
                words.feed(&err_buffer[..got]);
                while let Some(line) = words.next_line() {
                    remember(line, &mut last);
                }
            }
            status = child.wait(), if exit.is_none() => {
                exit = Some((status, Instant::now() + DRAIN));
            }
            () = expired(deadline) => break,
        }
    }
    if let Some(line) = lines.finish() {
        onward.pass(line).await;
    }
    if let Some(line) = words.finish() {
        remember(line, &mut last);
    }
    let status = match exit {
        Some((Ok(status), _)) => status,
        Some((Err(error), _)) => {
            log::error(format_args!("cannot wait for claude: {error}"));
            ExitStatus::default()
        }
        None => unreachable!("the loop ends only after the exit"),
    };
    let last_stderr = last.pop_back();
    // A supervisor that is gone needs no news.
    let _ = onward
        .news
        .send(News::Exited {
            status,
            last_stderr,
        })
        .await;
}

async fn expired(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => {
            let never = std::future::pending::<()>();
            let _elapsed = timeout_at(deadline, never).await;
        }
        None => std::future::pending().await,
    }
}

/// Zero at the end of the stream, and after an error, which is the end too.
async fn read(pipe: &mut (impl AsyncRead + Unpin), buffer: &mut [u8]) -> usize {
    pipe.read(buffer).await.unwrap_or(0)
}

type Framed = Result<Vec<u8>, ccpool_protocol::framing::LineTooLong>;

/// Where lines go: no faster than Redis takes what they lead to.
struct Onward {
    news: mpsc::Sender<News>,
    board: Board,
}

impl Onward {
    async fn pass(&self, line: Framed) {
        let line = match line {
            Ok(line) => line,
            Err(error) => {
                log::error(format_args!("claude's stdout: {error}"));
                error.to_string().into_bytes()
            }
        };
        self.board.room().await;
        // A supervisor that is gone aborts this task.
        let _ = self.news.send(News::Line(line)).await;
    }
}

fn remember(line: Framed, last: &mut VecDeque<String>) {
    let Ok(line) = line else { return };
    let line = String::from_utf8_lossy(&line).into_owned();
    log::info(format_args!("claude: {line}"));
    last.push_back(line);
    if last.len() > STDERR_LINES {
        last.pop_front();
    }
}
