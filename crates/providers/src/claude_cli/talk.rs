//! A process and the conversation that it is kept for: one turn after the other, and the time between.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ccpool_cli_process::leftovers;
use ccpool_protocol::event::{Event, Failed, ReplyEvent};
use ccpool_protocol::fold::{Ending, Fold, Stamp};
use ccpool_protocol::line::{Asked, CanUseTool, Line, WrapperLine};
use ccpool_protocol::permission::{Behavior, PermissionOutcome, QUESTION, SettledBy};
use ccpool_protocol::stdin::StdinLine;
use ccpool_protocol::vigil::{self, Alarm, Limits, Request, Vigil};
use ccpool_protocol::{ContainerId, FailureKind, RequestId, SessionId};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::clock::unix_ms;
use super::desk::Desk;
use super::folder::Folder;
use super::heard::Heard;
use super::launch::INITIALIZE;
use super::process::{News, Process};
use super::turn::{Order, Running, Verdict, can_go_on};

const DENIED: &str = "Nobody is there who could allow this, so it is denied. Go on without it.";

/// What all processes have in common.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) desk: Desk,
    /// Cancelled when the provider stops.
    pub(super) stop: CancellationToken,
    pub(super) limits: Limits,
    /// From the start of a process to its first answer.
    pub(super) startup: Duration,
    /// How long a process waits for its conversation to go on.
    pub(super) idle: Duration,
    /// Between asking a process to end and making it.
    pub(super) grace: Duration,
    /// What becomes of what the CLI asks before a tool acts.
    pub(super) on_question: Behavior,
    /// Tools may leave processes behind.
    pub(super) has_tools: bool,
}

/// One process.
#[derive(Debug)]
pub(super) struct Talk {
    rules: Arc<Rules>,
    number: u64,
    process: Process,
    /// Written with the first prompt.
    initialize: Option<StdinLine>,
    /// It has not printed anything yet.
    booting: bool,
    fold: Fold,
    vigil: Vigil,
    seq: u64,
    turns: u64,
    interrupts: u64,
    belongings: Belongings,
}

/// What is given back when its process is gone.
#[derive(Debug)]
pub(super) struct Belongings {
    pub(super) session: SessionId,
    /// Marks what the process starts.
    pub(super) processes: ContainerId,
    pub(super) folder: Folder,
    pub(super) place: OwnedSemaphorePermit,
}

impl Talk {
    /// `number`: another one for each process. `initialize`: sets the system prompt.
    pub(super) fn new(
        rules: Arc<Rules>,
        number: u64,
        process: Process,
        initialize: StdinLine,
        belongings: Belongings,
    ) -> Self {
        Self {
            vigil: Vigil::new(rules.limits),
            rules,
            number,
            process,
            initialize: Some(initialize),
            booting: true,
            fold: Fold::new(Ending::ByResult),
            seq: 0,
            turns: 0,
            interrupts: 0,
            belongings,
        }
    }

    /// Answers until nobody asks any more, then ends the process.
    pub(super) async fn run(mut self, first: Order) {
        let mut order = first;
        while let Some(orders) = self.answer(order).await {
            match self.rest(orders).await {
                Some(next) => order = next,
                None => break,
            }
        }
        self.end().await;
    }

    /// Answers, and waits at the desk for more if there can be more.
    async fn answer(&mut self, order: Order) -> Option<mpsc::Receiver<Order>> {
        let Order {
            turn,
            blocks,
            spoken,
            mut memory,
            mut mouth,
            taken,
        } = order;
        let mut running = Running::new(turn, spoken);
        self.open(&mut running, blocks);
        let mut taken = Some(taken);
        let stop = self.rules.stop.clone();
        let last = loop {
            let all_said = mouth.pending.is_empty();
            let deadline = self.vigil.deadline().map(tokio::time::Instant::from_std);
            // All are cancel-safe: what is not taken here stays with its source.
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    break self.fail(&running, FailureKind::Interrupted, "the gateway stops");
                }
                () = mouth.events.closed(), if !running.deserted => {
                    running.deserted = true;
                    mouth.pending.clear();
                    self.interrupt();
                    self.vigil.interrupted(Instant::now());
                }
                room = mouth.events.reserve(), if !all_said => {
                    if let Ok(room) = room {
                        room.send(std::mem::take(&mut mouth.pending));
                    }
                    // It was the reader who was slow, not the process.
                    self.vigil.heard(Some(&Line::Quiet), Instant::now());
                }
                news = self.process.next(), if all_said => {
                    let ended = matches!(news, News::Ended(_));
                    let mut events = self.hear(news, &mut running);
                    match (running.accepted, ended) {
                        (true, _) => tell(taken.take()),
                        // Nothing of it was done.
                        (false, true) => drop(taken.take()),
                        (false, false) => {}
                    }
                    if running.hear(&mut events) {
                        break events;
                    }
                    if !running.deserted {
                        mouth.pending = events;
                    }
                }
                () = until(deadline), if all_said => {
                    let events = self.overdue(&mut running);
                    if !events.is_empty() {
                        break events;
                    }
                }
            }
        };
        tell(taken);
        self.vigil.follow(None, false, Instant::now());
        memory.say(running.spoken.text());
        let ending = last.last().map(|last| &last.event);
        // A prompt that was withdrawn before it began was never heard.
        let goes_on = running.begun && ending.is_some_and(can_go_on) && !stop.is_cancelled();
        // Whoever reads the end may ask at once.
        let orders = goes_on.then(|| {
            let session = self.belongings.session.clone();
            self.rules.desk.put(self.number, session, memory)
        });
        mouth.end(last);
        orders
    }

    /// Waits for an order. None: the process is to end, or has.
    async fn rest(&mut self, mut orders: mpsc::Receiver<Order>) -> Option<Order> {
        let rules = Arc::clone(&self.rules);
        let until = tokio::time::Instant::now() + rules.idle;
        let mut expected = false;
        loop {
            // All are cancel-safe: what is not taken here stays with its source.
            tokio::select! {
                biased;
                () = rules.stop.cancelled() => {
                    rules.desk.withdraw(self.number);
                    return None;
                }
                news = self.process.next() => match news {
                    News::Line(line) => self.refuse_all(&line),
                    News::Ended(how) => {
                        tracing::debug!(session = %self.belongings.session, how, "claude ended while idle");
                        rules.desk.withdraw(self.number);
                        return None;
                    }
                },
                order = orders.recv() => return order,
                () = tokio::time::sleep_until(until), if !expected => {
                    if rules.desk.withdraw(self.number) {
                        return None;
                    }
                    expected = true;
                }
            }
        }
    }

    /// Ends the process, and gives back what it had.
    async fn end(self) {
        let Belongings {
            session,
            processes,
            folder,
            place,
        } = self.belongings;
        self.process.end(self.rules.grace).await;
        // Both block for as long as the disk and `/proc` take.
        let has_tools = self.rules.has_tools;
        let cleared = tokio::task::spawn_blocking(move || {
            if has_tools && let Err(error) = leftovers::end(&processes) {
                tracing::warn!(%error, "cannot look for what claude left behind");
            }
            drop(folder);
        });
        if let Err(error) = cleared.await {
            tracing::error!(%error, "clearing up after claude failed");
        }
        tracing::debug!(%session, "the conversation's process is gone");
        drop(place);
    }

    /// Hands the prompt over, the first one together with what comes before it.
    fn open(&mut self, running: &mut Running, blocks: Vec<Value>) {
        let now = Instant::now();
        let mut lines = Vec::new();
        if let Some(initialize) = self.initialize.take() {
            lines.extend_from_slice(initialize.as_bytes());
            self.vigil
                .asked(request(INITIALIZE), self.rules.startup, now);
        }
        lines.extend_from_slice(running.prompt(blocks).as_bytes());
        self.process.write(lines);
        self.turns += 1;
        if !self.booting {
            self.vigil.follow(Some(self.turns), false, now);
        }
        let at = unix_ms();
        let prompt = WrapperLine::Prompt {
            pushed_at: Some(at),
            taken_at: None,
            sent_at: at,
            steered: false,
            origin: None,
        };
        self.fold(running, Line::Wrapper(prompt));
    }

    fn hear(&mut self, news: News, running: &mut Running) -> Vec<ReplyEvent> {
        let line = match news {
            News::Line(line) => line,
            News::Ended(how) => {
                self.vigil.forget();
                let (kind, how) = match running.verdict.take() {
                    Some(Verdict { kind, message }) => (kind, message),
                    None => (FailureKind::ContainerLost, how),
                };
                return self.fail(running, kind, how);
            }
        };
        let heard = Heard::read(&line);
        if std::mem::take(&mut self.booting) {
            // Silence counts from here: a start has its own limit.
            self.vigil.follow(Some(self.turns), false, Instant::now());
        }
        let known = match &heard {
            Heard::Line(line) => Some(line),
            Heard::Refuse { .. } | Heard::BrokenResult { .. } | Heard::Noise { .. } => None,
        };
        self.vigil.heard(known, Instant::now());
        match heard {
            Heard::Line(line) => self.line(line, running),
            Heard::Refuse { request_id } => {
                self.refuse(&request_id);
                Vec::new()
            }
            Heard::BrokenResult { why } => self.fail(running, FailureKind::Internal, why),
            Heard::Noise { text } => self.fold(running, Line::Wrapper(WrapperLine::Noise { text })),
        }
    }

    fn line(&mut self, line: Line, running: &mut Running) -> Vec<ReplyEvent> {
        match &line {
            Line::Init(init) if !running.is_foreign(&init.user_message_uuids) => {
                running.begun = true;
                running.accepted = true;
            }
            Line::Lifecycle { uuid, .. } if *uuid == running.uuid => running.accepted = true,
            _ => {}
        }
        match &line {
            Line::Lifecycle { uuid, state } if running.is_dropped(uuid, state) => {
                let message = "the prompt was withdrawn before the model was asked";
                return self.fail(running, FailureKind::Interrupted, message);
            }
            Line::Result(result) => {
                if running.is_foreign(&result.user_message_uuids) {
                    return Vec::new();
                }
                if let Some(message) = running.start_failure(result) {
                    return self.fail(running, FailureKind::Unavailable, message);
                }
            }
            _ => {}
        }
        let question = question(&line);
        let mut events = self.fold(running, line);
        if let Some((request, asked)) = question {
            events.extend(self.settle(running, request, &asked));
        }
        events
    }

    /// Answers what the CLI asks before a tool acts.
    fn settle(
        &mut self,
        running: &Running,
        request_id: RequestId,
        asked: &CanUseTool,
    ) -> Vec<ReplyEvent> {
        // Only a person can answer a question.
        let behavior = match asked.tool_name == QUESTION {
            true => Behavior::Deny,
            false => self.rules.on_question,
        };
        let (outcome, response) = match behavior {
            Behavior::Allow => (PermissionOutcome::Allowed, json!({"behavior": "allow"})),
            Behavior::Deny => {
                let response = json!({"behavior": "deny", "message": DENIED});
                (PermissionOutcome::Denied, response)
            }
        };
        let line = StdinLine::answer(request_id.as_str(), &response);
        self.process.write(line.as_bytes().to_vec());
        let resolved = WrapperLine::PermissionResolved {
            request_id,
            tool_use_id: asked.tool_use_id.clone(),
            outcome,
            behavior: Some(behavior),
            by: SettledBy::Policy,
        };
        self.fold(running, Line::Wrapper(resolved))
    }

    /// Time has passed. What comes back ends the turn.
    fn overdue(&mut self, running: &mut Running) -> Vec<ReplyEvent> {
        let Some(alarm) = self.vigil.due(Instant::now()) else {
            return Vec::new();
        };
        let (kind, message) = match alarm {
            Alarm::Stalled(limit) => {
                let message = format!("claude was silent for {} ms", limit.as_millis());
                (FailureKind::Stalled, message)
            }
            Alarm::Overlong(limit) => {
                let message = format!("the turn took longer than {} ms", limit.as_millis());
                (FailureKind::Timeout, message)
            }
            Alarm::Unanswered(id) | Alarm::Doubt(id) if id == INITIALIZE => {
                let limit = self.rules.startup.as_millis();
                let message = format!("claude did not answer within {limit} ms of its start");
                return self.fail(running, FailureKind::Unavailable, message);
            }
            Alarm::Unanswered(_) | Alarm::Doubt(_) | Alarm::Unmoved => {
                let unmoved = "claude did not end the turn when it was interrupted";
                let (kind, message) = match running.verdict.take() {
                    Some(Verdict { kind, message }) => (kind, message),
                    None => (FailureKind::ContainerLost, unmoved.to_owned()),
                };
                return self.fail(running, kind, message);
            }
        };
        tracing::info!(session = %self.belongings.session, message, "a turn is interrupted");
        running.verdict = Some(Verdict { kind, message });
        self.interrupt();
        Vec::new()
    }

    fn interrupt(&mut self) {
        self.interrupts += 1;
        let id = format!("ccpool-interrupt-{}", self.interrupts);
        self.process
            .write(StdinLine::interrupt(&id).as_bytes().to_vec());
        self.vigil
            .asked(request(&id), vigil::ANSWER, Instant::now());
    }

    /// The end of a turn that the CLI cannot give any more.
    fn fail(
        &mut self,
        running: &Running,
        kind: FailureKind,
        message: impl Into<String>,
    ) -> Vec<ReplyEvent> {
        let (began, mut timings) = self.fold.timings();
        timings.result_ms = Some(unix_ms().saturating_sub(began));
        let event = Event::Failed(Box::new(Failed {
            kind,
            message: message.into(),
            visible_output: self.fold.visible_output(),
            tool_effects: self.fold.tool_effects(),
            retry_after_ms: None,
            usage: None,
            answer_usage: self.fold.answer_usage(),
            cost_usd: None,
            timings,
        }));
        self.fold(running, Line::Wrapper(WrapperLine::Terminal { event }))
    }

    fn fold(&mut self, running: &Running, line: Line) -> Vec<ReplyEvent> {
        self.seq += 1;
        let stamp = Stamp {
            turn: &running.turn,
            seq: self.seq,
            at: unix_ms(),
        };
        self.fold.push(stamp, line)
    }

    /// Between turns nobody answers anything.
    fn refuse_all(&self, line: &[u8]) {
        match Heard::read(line) {
            Heard::Refuse { request_id } => self.refuse(&request_id),
            Heard::Line(Line::ControlRequest(request)) => self.refuse(&request.request_id),
            Heard::Line(_) | Heard::BrokenResult { .. } | Heard::Noise { .. } => {}
        }
    }

    fn refuse(&self, request_id: &str) {
        let line = StdinLine::refuse(request_id, "ccpool does not answer this");
        self.process.write(line.as_bytes().to_vec());
    }
}

fn question(line: &Line) -> Option<(RequestId, CanUseTool)> {
    let Line::ControlRequest(request) = line else {
        return None;
    };
    let Asked::CanUseTool(asked) = &request.request else {
        return None;
    };
    let id = RequestId::new(request.request_id.as_str()).ok()?;
    Some((id, (**asked).clone()))
}

fn request(id: &str) -> Request {
    Request {
        id: id.to_owned(),
        asks_model: false,
    }
}

/// Who is gone already shows elsewhere.
fn tell(taken: Option<oneshot::Sender<()>>) {
    if let Some(taken) = taken {
        taken.send(()).ok();
    }
}

async fn until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
