//! The `claude` process: its stdin, its lines, its end.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use ccpool_protocol::cli;
use ccpool_protocol::framing::{LineFramer, LineTooLong};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

/// Writes that may wait for `claude` to read. It reads all the time; a full queue means that it has
/// stopped working.
const WRITES: usize = 64;
/// Lines that may wait to be looked at. When it is full, `claude` waits.
const LINES: usize = 256;
/// Longest line of stderr that is kept, in bytes.
const STDERR_LINE: usize = 8 << 10;
/// How long output is still read after the exit; a child of `claude`'s may hold the pipe open.
const DRAIN: Duration = Duration::from_millis(300);

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
    group: Pid,
    stdin: mpsc::Sender<Vec<u8>>,
    news: mpsc::Receiver<News>,
    ended: bool,
    /// Writes, and reads until the end.
    _tasks: JoinSet<()>,
}

impl Process {
    /// Starts it in a process group of its own.
    pub(super) fn spawn(mut command: Command) -> io::Result<Self> {
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
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        let (writer, writes) = mpsc::channel(WRITES);
        let (teller, news) = mpsc::channel(LINES);
        let mut tasks = JoinSet::new();
        tasks.spawn(write(stdin, writes));
        tasks.spawn(watch(child, stdout, stderr, teller));
        Ok(Self {
            group: Pid::from_raw(pid),
            stdin: writer,
            news,
            ended: false,
            _tasks: tasks,
        })
    }

    /// Its process group, which has its own number.
    pub(super) fn pid(&self) -> Pid {
        self.group
    }

    /// Hands over whole lines; they are written at once and together. One that does not read any more
    /// is killed, and its end is told like any other.
    pub(super) fn write(&self, lines: Vec<u8>) {
        match self.stdin.try_send(lines) {
            // A writer that is gone has met the end of the process.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                tracing::warn!(pid = %self.group, "claude does not read its input any more");
                self.signal(Signal::SIGKILL);
            }
        }
    }

    /// What it does next; cancel-safe. After [`News::Ended`] nothing comes.
    pub(super) async fn next(&mut self) -> News {
        if self.ended {
            return std::future::pending().await;
        }
        let news = self.news.recv().await;
        let news = news.unwrap_or_else(|| News::Ended("claude is not watched any more".to_owned()));
        self.ended = matches!(news, News::Ended(_));
        news
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
        match killpg(self.group, signal) {
            // Nobody is left.
            Ok(()) | Err(nix::Error::ESRCH) => {}
            Err(error) => {
                tracing::warn!(pid = %self.group, %signal, %error, "cannot send a signal");
            }
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

async fn write(mut stdin: ChildStdin, mut writes: mpsc::Receiver<Vec<u8>>) {
    while let Some(lines) = writes.recv().await {
        let written = async {
            stdin.write_all(&lines).await?;
            stdin.flush().await
        };
        if let Err(error) = written.await {
            tracing::debug!(%error, "cannot write to claude");
            return;
        }
    }
}

/// Owns the child until its end. Nobody else collects its exit.
async fn watch(
    mut child: Child,
    mut stdout: ChildStdout,
    mut stderr: ChildStderr,
    news: mpsc::Sender<News>,
) {
    let mut lines = LineFramer::default();
    let mut words = LineFramer::new(STDERR_LINE);
    let mut last_words = None;
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
                    pass(line, &news).await;
                }
            }
            got = read(&mut stderr, &mut err_buffer), if err_open => {
                err_open = got > 0;
                words.feed(&err_buffer[..got]);
                while let Some(line) = words.next_line() {
                    remember(line, &mut last_words);
                }
            }
            status = child.wait(), if exit.is_none() => {
                exit = Some((status, Instant::now() + DRAIN));
            }
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => break,
        }
    }
    if let Some(line) = lines.finish() {
        pass(line, &news).await;
    }
    if let Some(line) = words.finish() {
        remember(line, &mut last_words);
    }
    let how = match exit {
        Some((Ok(status), _)) => cli::ended(status),
        Some((Err(error), _)) => format!("claude cannot be waited for: {error}"),
        None => unreachable!("the loop ends only after the exit"),
    };
    let how = match last_words {
        Some(words) => format!("{how}: {words}"),
        None => how,
    };
    // Nobody listens to one that was dropped.
    news.send(News::Ended(how)).await.ok();
}

/// Zero at the end of the stream, and after an error, which is the end too.
async fn read(pipe: &mut (impl AsyncRead + Unpin), buffer: &mut [u8]) -> usize {
    pipe.read(buffer).await.unwrap_or(0)
}

type Framed = Result<Vec<u8>, LineTooLong>;

async fn pass(line: Framed, news: &mpsc::Sender<News>) {
    let line = line.unwrap_or_else(|error| error.to_string().into_bytes());
    news.send(News::Line(line)).await.ok();
}

fn remember(line: Framed, last: &mut Option<String>) {
    let Ok(line) = line else { return };
    let line = String::from_utf8_lossy(&line).into_owned();
    tracing::debug!(line, "claude's stderr");
    *last = Some(line);
}
