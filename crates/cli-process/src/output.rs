//! What `claude` does: its lines, and its end.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use ccpool_protocol::framing::{LineFramer, LineTooLong};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, ChildStderr, ChildStdout};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// Longest line of stderr that is told, in bytes.
const STDERR_LINE: usize = 8 << 10;
/// How long output is still read after the exit; a child of `claude`'s may hold the pipe open.
const DRAIN: Duration = Duration::from_millis(300);

/// One thing that it did.
#[derive(Debug)]
pub enum Event {
    /// It printed a line to stdout, which may have been too long to be kept.
    Line(Result<Vec<u8>, LineTooLong>),
    /// It printed a line to stderr.
    Words(String),
    /// It cannot be written to any more.
    Deaf(io::Error),
    /// It has exited, and everything that it printed was told. Nothing comes after this.
    Exited {
        /// How, if the system says.
        status: io::Result<ExitStatus>,
        /// The last line that it printed to stderr.
        last_words: Option<String>,
    },
}

/// Where its events come from, no faster than they are asked for. The process is killed with it; the
/// rest of its group is not.
#[derive(Debug)]
pub struct Output {
    /// Nobody else collects its exit.
    child: Child,
    stdout: Pipe<ChildStdout>,
    stderr: Pipe<ChildStderr>,
    /// The task that writes to it.
    writer: JoinSet<io::Result<()>>,
    last_words: Option<String>,
    exit: Option<Exit>,
}

#[derive(Debug)]
struct Exit {
    status: io::Result<ExitStatus>,
    /// Until when output is read.
    until: Instant,
}

impl Output {
    /// `child`: one whose stdout and stderr are piped.
    pub(crate) fn of(mut child: Child, writer: JoinSet<io::Result<()>>) -> Self {
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        Self {
            child,
            stdout: Pipe::new(stdout, LineFramer::default(), 64 << 10),
            stderr: Pipe::new(stderr, LineFramer::new(STDERR_LINE), 4 << 10),
            writer,
            last_words: None,
            exit: None,
        }
    }

    /// What it does next; cancel-safe.
    pub async fn next(&mut self) -> Event {
        loop {
            if let Some(line) = self.stdout.line() {
                return Event::Line(line);
            }
            match self.stderr.line() {
                Some(Ok(words)) => {
                    let words = String::from_utf8_lossy(&words).into_owned();
                    self.last_words = Some(words.clone());
                    return Event::Words(words);
                }
                Some(Err(LineTooLong { .. })) => continue,
                None => {}
            }
            if !self.stdout.open
                && !self.stderr.open
                && let Some(exit) = self.exit.take()
            {
                return Event::Exited {
                    status: exit.status,
                    last_words: self.last_words.take(),
                };
            }
            let until = self.exit.as_ref().map(|exit| exit.until);
            // All are cancel-safe: nothing is read, and no exit taken, by a future that is dropped.
            tokio::select! {
                biased;
                () = self.stdout.fill(), if self.stdout.open => {}
                () = self.stderr.fill(), if self.stderr.open => {}
                Some(written) = self.writer.join_next() => {
                    let written = written.unwrap_or_else(|error| Err(io::Error::other(error)));
                    if let Err(error) = written {
                        return Event::Deaf(error);
                    }
                }
                status = self.child.wait(), if self.exit.is_none() => {
                    let until = Instant::now() + DRAIN;
                    self.exit = Some(Exit { status, until });
                }
                () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {
                    self.stdout.open = false;
                    self.stderr.open = false;
                }
            }
        }
    }
}

/// A stream, line by line.
struct Pipe<R> {
    source: R,
    framer: LineFramer,
    buffer: Vec<u8>,
    /// More may come.
    open: bool,
}

impl<R: AsyncRead + Unpin> Pipe<R> {
    /// `chunk`: how much is read at once, in bytes.
    fn new(source: R, framer: LineFramer, chunk: usize) -> Self {
        Self {
            source,
            framer,
            buffer: vec![0; chunk],
            open: true,
        }
    }

    /// Reads once; cancel-safe. An error is the end of the stream too.
    async fn fill(&mut self) {
        let got = self.source.read(&mut self.buffer).await.unwrap_or(0);
        self.open = got > 0;
        self.framer.feed(&self.buffer[..got]);
    }

    /// The next line of what was read. The last one may lack its newline.
    fn line(&mut self) -> Option<Result<Vec<u8>, LineTooLong>> {
        match self.framer.next_line() {
            None if !self.open => std::mem::take(&mut self.framer).finish(),
            line => line,
        }
    }
}

impl<R> std::fmt::Debug for Pipe<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipe")
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}
