//! The one loop that decides: lines, items, control messages and signals come in, and each is
//! answered before the next is looked at.

use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use ccpool_protocol::FailureKind;
use ccpool_protocol::assignment::Assignment;
use ccpool_protocol::boot::Boot;
use ccpool_protocol::cli;
use ccpool_protocol::control::Control;
use ccpool_protocol::record::report;
use ccpool_protocol::state::field;
use ccpool_protocol::stdin::StdinLine;
use ccpool_protocol::vigil::{self, Limits};
use tokio::signal::unix::Signal;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::board::Board;
use crate::chronicle::Resume;
use crate::claude::Claude;
use crate::clock::{self, Moment};
use crate::effects::{Effects, Op, Order};
use crate::heard::Heard;
use crate::launch::Conversation;
use crate::launcher::Launcher;
use crate::log;
use crate::naming::Kernel;
use crate::news::News;
use crate::questions::Policy;
use crate::service::{Exit, PROBE, Service};
use crate::session::Session;

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
    /// `claude` has not answered yet; it may take until then.
    Booting { until: Instant },
    /// It has: this container can be claimed.
    Warm,
    /// On the way out.
    Stopping { step: Step, until: Instant },
}

/// Everything that the loop owns.
pub(crate) struct Supervisor {
    pub(crate) boot: Boot,
    pub(crate) board: Board,
    pub(crate) launcher: Launcher,
    pub(crate) claude: Claude,
    pub(crate) conversation: Conversation,
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
    service: Option<Service>,
    /// What the CLI said of a start that failed.
    start_failure: Option<String>,
    /// It is over.
    end: Option<End>,
}

impl Supervisor {
    /// Runs until `claude` or the wrapper ends; everything is published by then, if Redis answers
    /// within `stop_ms`.
    pub(crate) async fn run(self) -> End {
        let board = self.board.clone();
        let flush = Duration::from_millis(self.boot.stop_ms);
        let mut state = Loop {
            owned: self,
            life: Life::Booting {
                until: Instant::now() + vigil::BOOT,
            },
            service: None,
            start_failure: None,
            end: None,
        };
        let end = state.run().await;
        state.owned.claude.kill();
        state.owned.launcher.sweep();
        if timeout(flush, board.flushed()).await.is_err() {
            log::error("Redis did not take the last envelopes in time");
        }
        state.owned.tasks.shutdown().await;
        end
    }
}

impl Loop {
    async fn run(&mut self) -> End {
        let probe = StdinLine::mcp_status(PROBE);
        self.owned.claude.write(probe.as_bytes().to_vec());
        loop {
            if let Some(end) = self.end {
                return end;
            }
            let deadline = match &self.life {
                Life::Stopping { until, .. } | Life::Booting { until } => Some(*until),
                Life::Warm => {
                    let service = self.service.as_ref();
                    service.and_then(Service::deadline).map(Instant::from_std)
                }
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
                    }
                }
                news = self.owned.news.recv() => {
                    match news {
                        Some(news) => self.hear(news),
                        None => self.give_up("all tasks of the wrapper have ended"),
                    }
                }
                () = until(deadline) => self.overdue(),
            }
        }
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Line(bytes) => self.line(bytes),
            News::Exited {
                status,
                last_stderr,
            } => self.exited(status, last_stderr),
            News::Assigned(assignment, resume) => self.assigned(&assignment, resume),
            News::BadAssignment(why) => {
                let why = format!("the assignment in the inbox cannot be read: {why}");
                self.give_up(&why);
            }
            News::Item(raw) => self.act(|session, now, out| session.take(raw, now, out)),
            News::Orphaned => {
                log::warn("the gateway is gone");
                let message = "the gateway has ended, and its containers with it";
                // Other gateways need not wait until it falls silent.
                self.owned.board.report(report::FAILURE, message);
                self.act(|session, _, _| session.desert(message));
                self.stop();
            }
            News::Control(text) => match Control::parse(&text) {
                Ok(Control::Shutdown) => self.stop(),
                Ok(control) => self.act(|session, now, out| session.control(control, now, out)),
                Err(_) => log::warn("a control message that cannot be read was ignored"),
            },
        }
    }

    fn line(&mut self, bytes: Vec<u8>) {
        let heard = Heard::read(bytes);
        if heard.answers(PROBE) && matches!(self.life, Life::Booting { .. }) {
            self.life = Life::Warm;
            self.owned
                .board
                .report(report::READY_AT, clock::now().to_string());
            log::info("claude is ready");
        }
        if self.service.is_none() {
            self.start_failure = heard.start_failure().or(self.start_failure.take());
        }
        self.serve(|service, now, out| service.line(heard, now, out));
        self.when_idle();
    }

    fn assigned(&mut self, assignment: &Assignment, resume: Resume) {
        let bits = match Kernel::open() {
            Ok(bits) => Box::new(bits),
            Err(error) => return self.give_up(&format!("/dev/urandom cannot be read: {error}")),
        };
        let boot = &self.owned.boot;
        let model = boot.claude.model.as_deref();
        let session = Session::new(assignment, model, Policy::new(boot), resume, bits);
        let conversation = self.owned.conversation.clone();
        let set = |field, value: String| Op::State { field, value };
        let ops = vec![
            set(field::CLI_SESSION_ID, conversation.id().to_owned()),
            set(field::LAST_HEARTBEAT, clock::now().to_string()),
            // What another container of the same session has left.
            set(field::PERMISSIONS, String::new()),
            set(field::PERMISSIONS_SETTLED, String::new()),
            set(field::FUNCTIONS, String::new()),
            set(field::FUNCTIONS_TAKEN, String::new()),
        ];
        let grace = Duration::from_millis(boot.stop_ms);
        let service = Service::new(session, conversation, Limits::of(boot), grace);
        self.service = Some(service);
        let keys = self.owned.board.keys().session(&assignment.session);
        self.owned.board.assign(keys, resume.batch);
        // A gateway that has lost the claim must not take this container for a spare.
        let serves = assignment.session.as_str();
        self.owned.board.remark(report::SESSION, serves);
        self.owned.board.post(ops);
        log::about_session(&assignment.session);
        log::info("serving a session");
        if matches!(self.life, Life::Stopping { .. }) {
            self.act(|session, now, out| session.stop(now, out));
        }
    }

    /// Lets the session act, where there is one.
    fn act(&mut self, act: impl FnOnce(&mut Session, u64, &mut Effects)) {
        self.serve(|service, now, out| service.act(act, now, out));
    }

    /// Lets the session and its overseer act, where there are any, and does what they want.
    fn serve(&mut self, act: impl FnOnce(&mut Service, Moment, &mut Effects)) {
        let Some(service) = &mut self.service else {
            return;
        };
        let mut out = Effects::default();
        let before = service.running_turn();
        act(service, Moment::now(), &mut out);
        let now = service.running_turn();
        log::about_turn(now.clone().or(before));
        for note in std::mem::take(&mut out.notes) {
            log::warn(note);
        }
        log::about_turn(now);
        let removed = out.removed();
        self.owned.board.post(out.ops);
        self.owned.room.add_permits(removed);
        for order in out.orders {
            match order {
                Order::Terminate => self.owned.claude.terminate(),
                Order::Kill => self.owned.claude.kill(),
                Order::Start(conversation) => self.start(&conversation),
                Order::GiveUp(why) => self.give_up(&why),
            }
        }
        if !out.stdin.is_empty() {
            self.owned.claude.write(out.stdin);
        }
    }

    /// Another `claude` in the place of the one that is gone.
    fn start(&mut self, conversation: &Conversation) {
        self.owned.claude.kill();
        self.owned.launcher.sweep();
        match self
            .owned
            .launcher
            .launch(conversation, &mut self.owned.tasks)
        {
            Ok(claude) => {
                self.owned.claude = claude;
                let id = conversation.id().to_owned();
                self.owned.board.report(report::CLI_SESSION_ID, id);
            }
            Err(error) => self.give_up(&error.to_string()),
        }
    }

    fn exited(&mut self, status: ExitStatus, last_stderr: Option<String>) {
        if matches!(self.life, Life::Stopping { .. }) {
            let message = "the session was stopped before the turn ended";
            self.act(|session, now, out| {
                session.close(FailureKind::Interrupted, message, now, out);
            });
            self.end = Some(End::Stopped);
            return;
        }
        let mut why = cli::ended(status);
        if let Some(words) = self.start_failure.take().or(last_stderr) {
            why = format!("{why}: {words}");
        }
        if matches!(self.life, Life::Warm) && self.service.is_some() {
            let code = status.code();
            self.serve(|service, now, out| service.exited(Exit { why, code }, now, out));
        } else {
            self.give_up(&why);
        }
    }

    /// Reports why this wrapper ends, to the running turn and to the pool.
    fn give_up(&mut self, why: &str) {
        log::error(why);
        self.owned.board.report(report::FAILURE, why);
        self.end = Some(End::Failed);
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
        if interrupted && !self.service.as_ref().is_some_and(Service::is_running) {
            self.owned.claude.close_stdin();
            self.enter(Step::Closed, 2);
        }
    }

    /// What was awaited has not come.
    fn overdue(&mut self) {
        match self.life {
            Life::Booting { .. } => {
                let limit = vigil::BOOT.as_secs();
                self.give_up(&format!("claude was not ready within {limit} s"));
            }
            Life::Warm => self.serve(Service::tick),
            Life::Stopping { step, .. } => self.escalate(step),
        }
    }

    /// A step has taken too long.
    fn escalate(&mut self, step: Step) {
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
            Step::Killed => self.end = Some(End::Stopped),
        }
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
