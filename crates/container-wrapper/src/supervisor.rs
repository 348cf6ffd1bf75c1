//! The one loop that decides: lines, items, control messages and signals come in, and each is
//! answered before the next is looked at.

use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use ccpool_protocol::FailureKind;
use ccpool_protocol::assignment::Assignment;
use ccpool_protocol::boot::Boot;
use ccpool_protocol::control::Control;
use ccpool_protocol::record::report;
use ccpool_protocol::state::field;
use ccpool_protocol::stdin::StdinLine;
use tokio::signal::unix::Signal;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::board::Board;
use crate::chronicle::Resume;
use crate::claude::Claude;
use crate::clock;
use crate::effects::{Effects, Op};
use crate::heard::Heard;
use crate::log;
use crate::naming::Kernel;
use crate::news::News;
use crate::session::Session;

/// Names the probe among the control requests.
pub(crate) const PROBE: &str = "ccpool-probe";

/// How the wrapper ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It was asked to.
    Stopped,
    /// `claude` or the wrapper could not go on.
    Failed,
}

/// How far the stop has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The running turn was interrupted; its result is awaited.
    Interrupted,
    /// stdin is closed; the exit is awaited.
    Closed,
    /// The group was asked to end.
    Terminated,
    /// The group was killed.
    Killed,
}

/// Where the wrapper stands.
#[derive(Debug)]
enum Life {
    /// `claude` has not answered yet.
    Booting,
    /// It has: this container can be claimed.
    Warm,
    /// On the way out.
    Stopping { step: Step, until: Instant },
}

/// Everything that the loop owns.
pub(crate) struct Supervisor {
    pub(crate) boot: Boot,
    pub(crate) board: Board,
    pub(crate) claude: Claude,
    pub(crate) cli_session_id: String,
    pub(crate) room: Arc<Semaphore>,
    pub(crate) news: mpsc::Receiver<News>,
    /// Publisher, intake, control feed, and those of `claude`.
    pub(crate) tasks: JoinSet<()>,
    pub(crate) signals: [Signal; 2],
}

/// The loop with what changes in it.
struct Loop {
    owned: Supervisor,
    life: Life,
    session: Option<Session>,
    /// What the CLI said of a start that failed.
    start_failure: Option<String>,
}

impl Supervisor {
    /// Runs until `claude` or the wrapper ends; everything is published by then, if Redis answers
    /// within `stop_ms`.
    pub(crate) async fn run(self) -> End {
        let board = self.board.clone();
        let flush = Duration::from_millis(self.boot.stop_ms);
        let mut state = Loop {
            owned: self,
            life: Life::Booting,
            session: None,
            start_failure: None,
        };
        let end = state.run().await;
        state.owned.claude.kill();
        if timeout(flush, board.flushed()).await.is_err() {
            log::error("Redis did not take the last envelopes in time");
        }
        state.owned.tasks.shutdown().await;
        end
    }
}

impl Loop {
    async fn run(&mut self) -> End {
        self.write(StdinLine::mcp_status(PROBE).as_bytes().to_vec());
        loop {
            let deadline = match &self.life {
                Life::Stopping { until, .. } => Some(*until),
                Life::Booting | Life::Warm => None,
            };
            let [terminate, interrupt] = &mut self.owned.signals;
            // All are cancel-safe: what is not taken here stays with its source.
            tokio::select! {
                biased;
                _ = terminate.recv() => self.stop(),
                _ = interrupt.recv() => self.stop(),
                Some(ended) = self.owned.tasks.join_next() => {
                    if let Err(error) = ended && error.is_panic() {
                        self.give_up("a task of the wrapper panicked; see its log");
                        return End::Failed;
                    }
                }
                news = self.owned.news.recv() => {
                    let Some(news) = news else {
                        self.give_up("all tasks of the wrapper have ended");
                        return End::Failed;
                    };
                    if let Some(end) = self.hear(news) {
                        return end;
                    }
                }
                () = until(deadline) => {
                    if let Some(end) = self.escalate() {
                        return end;
                    }
                }
            }
        }
    }

    fn hear(&mut self, news: News) -> Option<End> {
        match news {
            News::Line(bytes) => self.line(bytes),
            News::Exited {
                status,
                last_stderr,
            } => return Some(self.exited(status, last_stderr)),
            News::Assigned(assignment, resume) => return self.assigned(&assignment, resume),
            News::BadAssignment(why) => {
                self.give_up(&format!(
                    "the assignment in the inbox cannot be read: {why}"
                ));
                return Some(End::Failed);
            }
            News::Item(raw) => self.act(|session, now, out| session.take(raw, now, out)),
            News::Orphaned => {
                log::warn("the gateway is gone");
                self.stop();
            }
            News::Control(text) => match Control::parse(&text) {
                Ok(Control::Shutdown) => self.stop(),
                Ok(control) => self.act(|session, _, out| session.control(control, out)),
                Err(_) => log::warn("a control message that cannot be read was ignored"),
            },
        }
        None
    }

    fn line(&mut self, bytes: Vec<u8>) {
        let heard = Heard::read(bytes);
        if heard.answers(PROBE) && matches!(self.life, Life::Booting) {
            self.life = Life::Warm;
            self.owned
                .board
                .report(report::READY_AT, clock::now().to_string());
            log::info("claude is ready");
        }
        if self.session.is_none() {
            self.start_failure = heard.start_failure().or(self.start_failure.take());
        }
        self.act(|session, now, out| session.line(heard, now, out));
        self.when_idle();
    }

    fn assigned(&mut self, assignment: &Assignment, resume: Resume) -> Option<End> {
        let bits = match Kernel::open() {
            Ok(bits) => Box::new(bits),
            Err(error) => {
                self.give_up(&format!("/dev/urandom cannot be read: {error}"));
                return Some(End::Failed);
            }
        };
        let boot = &self.owned.boot;
        let model = boot.claude.model.as_deref();
        self.session = Some(Session::new(assignment, model, resume, bits));
        let keys = self.owned.board.keys().session(&assignment.session);
        self.owned.board.assign(keys, resume.batch);
        let set = |field, value: String| Op::State { field, value };
        self.owned.board.post(vec![
            set(field::CLI_SESSION_ID, self.owned.cli_session_id.clone()),
            set(field::LAST_HEARTBEAT, clock::now().to_string()),
        ]);
        log::info(format_args!("serving session {}", assignment.session));
        if matches!(self.life, Life::Stopping { .. }) {
            self.act(|session, now, out| session.stop(now, out));
        }
        None
    }

    /// Lets the session act, where there is one, and does what it wants.
    fn act(&mut self, act: impl FnOnce(&mut Session, u64, &mut Effects)) {
        let Some(session) = &mut self.session else {
            return;
        };
        let mut out = Effects::default();
        act(session, clock::now(), &mut out);
        let removed = out.removed();
        if !out.stdin.is_empty() {
            self.write(out.stdin);
        }
        self.owned.board.post(out.ops);
        self.owned.room.add_permits(removed);
        for note in out.notes {
            log::warn(note);
        }
    }

    fn write(&mut self, lines: Vec<u8>) {
        if let Err(stuck) = self.owned.claude.write(lines) {
            log::error(stuck);
            // Its end is told like any other.
            self.owned.claude.kill();
        }
    }

    fn exited(&mut self, status: ExitStatus, last_stderr: Option<String>) -> End {
        if matches!(self.life, Life::Stopping { .. }) {
            let message = "the session was stopped before the turn ended";
            self.act(|session, now, out| {
                session.close(FailureKind::Interrupted, message, now, out);
            });
            return End::Stopped;
        }
        let mut why = describe(status);
        if let Some(words) = self.start_failure.take().or(last_stderr) {
            why = format!("{why}: {words}");
        }
        self.give_up(&why);
        End::Failed
    }

    /// Reports why this wrapper ends, to the running turn and to the pool.
    fn give_up(&mut self, why: &str) {
        log::error(why);
        self.owned.board.report(report::FAILURE, why);
        self.act(|session, now, out| session.close(FailureKind::ContainerLost, why, now, out));
    }

    fn stop(&mut self) {
        if matches!(self.life, Life::Stopping { .. }) {
            return;
        }
        log::info("stopping");
        self.enter(Step::Interrupted, 2);
        self.act(|session, now, out| session.stop(now, out));
        self.when_idle();
    }

    /// Nothing runs any more: on to the next step.
    fn when_idle(&mut self) {
        let interrupted = matches!(
            self.life,
            Life::Stopping {
                step: Step::Interrupted,
                ..
            }
        );
        if interrupted && !self.session.as_ref().is_some_and(Session::is_running) {
            self.owned.claude.close_stdin();
            self.enter(Step::Closed, 2);
        }
    }

    /// A step has taken too long.
    fn escalate(&mut self) -> Option<End> {
        let Life::Stopping { step, .. } = self.life else {
            return None;
        };
        match step {
            Step::Interrupted => {
                let message = "the turn did not end when it was interrupted for the stop";
                self.act(|session, now, out| {
                    session.close(FailureKind::Interrupted, message, now, out);
                });
                self.owned.claude.close_stdin();
                self.enter(Step::Closed, 2);
            }
            Step::Closed => {
                log::warn("claude has not exited on the end of its input");
                self.owned.claude.terminate();
                self.enter(Step::Terminated, 4);
            }
            Step::Terminated => {
                log::warn("claude has not exited on SIGTERM");
                self.owned.claude.kill();
                self.enter(Step::Killed, 4);
            }
            Step::Killed => return Some(End::Stopped),
        }
        None
    }

    /// `part`: which fraction of the time for a stop this step may take.
    fn enter(&mut self, step: Step, part: u64) {
        let until = Instant::now() + Duration::from_millis(self.owned.boot.stop_ms / part);
        self.life = Life::Stopping { step, until };
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("claude exited with code {code}"),
        (None, Some(signal)) => format!("claude was ended by signal {signal}"),
        (None, None) => "claude ended".to_owned(),
    }
}
