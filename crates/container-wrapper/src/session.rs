//! The session: which turn runs, what waits, and what every line means for both.
//!
//! Pure: events go in, [`Effects`] come out. Whatever happens, every item that was taken gets
//! exactly one terminal envelope and is removed from `inflight` once.

use std::collections::{HashSet, VecDeque};

use ccpool_protocol::assignment::Assignment;
use ccpool_protocol::control::Control;
use ccpool_protocol::event::{Event, ReplyEvent};
use ccpool_protocol::input::Mode;
use ccpool_protocol::line::{Asked, Line, WrapperLine};
use ccpool_protocol::state::field;
use ccpool_protocol::stdin::StdinLine;
use ccpool_protocol::{FailureKind, TurnId, UnixMs};

use crate::chronicle::{Chronicle, Resume, without_cost};
use crate::effects::{Effects, Op};
use crate::heard::{Audience, Heard};
use crate::naming::{self, Bits};
use crate::prompt::{Prompt, Queued, Running, Steered};
use crate::setup::Setup;

const WITHDRAWN: &str = "the prompt was withdrawn before the model was asked";

#[derive(Debug)]
enum Stage {
    /// Between turns; the queue is empty.
    Idle,
    /// A turn runs; others wait.
    Running(Box<Running>),
    /// Nothing runs any more; what is still taken fails.
    Closed(Closed),
}

/// Why nothing runs any more.
#[derive(Debug, Clone)]
struct Closed {
    kind: FailureKind,
    message: String,
}

/// One session, from its assignment to the end of the wrapper.
pub(crate) struct Session {
    stage: Stage,
    queue: VecDeque<Queued>,
    /// Somebody asked to stop: the queue is not run any more.
    stopping: bool,
    setup: Setup,
    chronicle: Chronicle,
    /// A background task has reported since the last result.
    task_reported: bool,
    /// Permission requests that wait for an answer.
    asked: HashSet<String>,
    /// Numbers the control requests.
    requests: u64,
    bits: Box<dyn Bits>,
}

impl Session {
    /// `boot_model`: the model that `claude` was started with.
    pub(crate) fn new(
        assignment: &Assignment,
        boot_model: Option<&str>,
        resume: Resume,
        bits: Box<dyn Bits>,
    ) -> Self {
        Self {
            stage: Stage::Idle,
            queue: VecDeque::new(),
            stopping: false,
            setup: Setup::new(assignment, boot_model),
            chronicle: Chronicle::new(resume),
            task_reported: false,
            asked: HashSet::new(),
            requests: 0,
            bits,
        }
    }

    /// Whether a turn runs.
    pub(crate) fn is_running(&self) -> bool {
        matches!(self.stage, Stage::Running(_))
    }

    /// An item came out of the input list.
    pub(crate) fn take(&mut self, raw: Vec<u8>, now: UnixMs, out: &mut Effects) {
        let queued = Queued::read(raw, &mut *self.bits);
        let mode = match &queued {
            Queued::Prompt(prompt) => prompt.item.mode,
            Queued::Broken { .. } => Mode::Queue,
        };
        match (&mut self.stage, queued, mode) {
            (Stage::Running(running), Queued::Prompt(prompt), Mode::Steer) if !self.stopping => {
                out.write(&StdinLine::prompt(&prompt.item, &prompt.uuid));
                let line = WrapperLine::Prompt {
                    pushed_at: prompt.item.at,
                    sent_at: now,
                    steered: true,
                    origin: None,
                };
                let turn = running.turn.clone();
                running.steered.push(Steered {
                    prompt,
                    dropped: false,
                });
                self.chronicle.say(&turn, &line, now, out);
            }
            (Stage::Running(_), queued, Mode::Interrupt) => {
                self.queue.push_front(queued);
                self.write_interrupt(out);
            }
            (_, queued, Mode::Queue | Mode::Steer | Mode::Interrupt) => {
                self.queue.push_back(queued);
            }
        }
        self.go_on(now, out);
    }

    /// A message on the control channel. `Shutdown` is not for the session.
    pub(crate) fn control(&mut self, control: Control, out: &mut Effects) {
        match control {
            Control::Interrupt => {
                if self.is_running() {
                    self.write_interrupt(out);
                }
            }
            Control::SetModel { model } => {
                if model.trim().is_empty() {
                    out.notes
                        .push("a set_model without a model was ignored".into());
                } else {
                    let id = self.request_id("model");
                    out.write(&StdinLine::set_model(&id, &model));
                }
            }
            Control::Permission {
                request_id,
                response,
            } => {
                if self.asked.remove(&request_id) {
                    out.write(&StdinLine::answer(&request_id, &response));
                } else {
                    out.notes
                        .push("a permission answer to no open request was ignored".into());
                }
            }
            Control::Shutdown => {}
        }
    }

    /// No further turn begins, and the running one is interrupted.
    pub(crate) fn stop(&mut self, now: UnixMs, out: &mut Effects) {
        self.stopping = true;
        if self.is_running() {
            self.write_interrupt(out);
        }
        self.go_on(now, out);
    }

    /// `claude` will not answer any more: whatever is unfinished ends here, with this reason.
    pub(crate) fn close(
        &mut self,
        kind: FailureKind,
        message: impl Into<String>,
        now: UnixMs,
        out: &mut Effects,
    ) {
        let closed = Closed {
            kind,
            message: message.into(),
        };
        let mut stage = std::mem::replace(&mut self.stage, Stage::Closed(closed.clone()));
        while let Stage::Running(running) = stage {
            let event = self.chronicle.fail(kind, closed.message.clone(), now);
            stage = match self.finish(*running, &event, &[], now, out) {
                Some(next) => Stage::Running(Box::new(next)),
                None => Stage::Idle,
            };
            if let Stage::Running(next) = &stage {
                self.chronicle.open(next, now, out);
            }
        }
        self.stage = Stage::Closed(closed);
        self.go_on(now, out);
    }

    /// A line of `claude`'s.
    pub(crate) fn line(&mut self, heard: Heard, now: UnixMs, out: &mut Effects) {
        let (text, line) = match heard.audience() {
            Audience::Reader { text, line } => (text, line),
            Audience::Nobody(line) => return self.unpublished(&line, out),
            Audience::Refuse { request_id } => {
                out.write(&StdinLine::refuse(
                    &request_id,
                    "ccpool does not answer this",
                ));
                return;
            }
            Audience::Noise { text } => {
                if let Some(turn) = self.current_turn() {
                    self.chronicle
                        .say(&turn, &WrapperLine::Noise { text }, now, out);
                }
                return;
            }
            Audience::BrokenResult { why } => {
                let Stage::Running(_) = &self.stage else {
                    return;
                };
                let event = self.chronicle.fail(FailureKind::Internal, why, now);
                return self.turn_over(&event, &[], now, out);
            }
        };
        self.before(&line, now, out);
        let Some(turn) = self.current_turn() else {
            return;
        };
        self.chronicle.publish(&turn, text, false, now, out);
        self.after(&turn, line, now, out);
    }

    /// What a line changes before it is published: whose line it is.
    fn before(&mut self, line: &Line, now: UnixMs, out: &mut Effects) {
        if let Line::Init(init) = line {
            self.begun(&init.user_message_uuids, now, out);
        } else if let Line::Notice(notice) = line {
            let subtype = notice.fields.get("subtype").and_then(|s| s.as_str());
            self.task_reported |= subtype == Some("task_notification");
        } else if let Line::ControlRequest(request) = line
            && matches!(request.request, Asked::CanUseTool(_))
        {
            self.asked.insert(request.request_id.clone());
        } else if let Line::ControlCancel { request_id } = line {
            self.asked.remove(request_id);
        }
    }

    /// The CLI has begun a turn, for these prompts.
    fn begun(&mut self, uuids: &[String], now: UnixMs, out: &mut Effects) {
        match &mut self.stage {
            Stage::Idle => self.begin_unasked(None, now, out),
            // The prompt that was just written waits behind a turn of the CLI's own.
            Stage::Running(running)
                if !running.begun && self.task_reported && !running.is_answered(uuids) =>
            {
                let behind = std::mem::replace(&mut self.stage, Stage::Idle);
                self.begin_unasked(Some(behind), now, out);
            }
            Stage::Running(running) => running.begun = true,
            Stage::Closed(_) => {}
        }
    }

    /// What a line changes once it is published.
    fn after(&mut self, turn: &TurnId, line: Line, now: UnixMs, out: &mut Effects) {
        let mut answered = Vec::new();
        if let Line::Lifecycle { uuid, state } = &line {
            if matches!(state.as_str(), "cancelled" | "discarded" | "refused") {
                self.dropped(uuid, now, out);
            }
            return;
        }
        if let Line::Result(result) = &line {
            match &self.stage {
                Stage::Running(running) if !running.is_foreign(&result.user_message_uuids) => {
                    answered.clone_from(&result.user_message_uuids);
                }
                // The end of something that this session does not wait for.
                Stage::Running(_) | Stage::Idle | Stage::Closed(_) => return,
            }
        }
        let events = self.chronicle.fold(turn, line, now);
        for ReplyEvent { event, .. } in events {
            if event.is_terminal() {
                self.task_reported = false;
                self.turn_over(&event, &answered, now, out);
            } else if let Event::Started {
                model,
                cli_session_id,
                ..
            } = event
            {
                out.state(field::MODEL, model);
                out.state(field::CLI_SESSION_ID, cli_session_id);
            }
        }
    }

    /// The CLI will not run a prompt that it was given.
    fn dropped(&mut self, uuid: &str, now: UnixMs, out: &mut Effects) {
        let Stage::Running(running) = &mut self.stage else {
            return;
        };
        running.withdraw(uuid);
        if running.withdrawn {
            let event = self
                .chronicle
                .fail(FailureKind::Interrupted, WITHDRAWN, now);
            self.turn_over(&event, &[], now, out);
        }
    }

    /// The running turn has ended; the next one begins, if there is one.
    fn turn_over(&mut self, event: &Event, answered: &[String], now: UnixMs, out: &mut Effects) {
        let Stage::Running(running) = std::mem::replace(&mut self.stage, Stage::Idle) else {
            return;
        };
        if let Some(next) = self.finish(*running, event, answered, now, out) {
            self.chronicle.open(&next, now, out);
            self.stage = Stage::Running(Box::new(next));
            if self.stopping {
                self.write_interrupt(out);
            }
        }
        self.go_on(now, out);
    }

    /// Writes down how a turn ended. Returns the turn that the CLI runs next by itself: prompts
    /// that were steered and not taken in, or the prompt behind an unasked turn.
    fn finish(
        &mut self,
        running: Running,
        event: &Event,
        answered: &[String],
        now: UnixMs,
        out: &mut Effects,
    ) -> Option<Running> {
        self.chronicle
            .terminal(&running.turn, event, running.origin.as_deref(), now, out);
        if let Some(prompt) = running.prompt {
            out.ops.push(Op::Remove { raw: prompt.raw });
        }
        let mut next: Option<Running> = None;
        let mut steered = running.steered;
        match running.behind {
            Some(behind) if behind.withdrawn => {
                steered.extend(behind.steered);
                if let Some(Prompt { raw, turn, .. }) = behind.prompt {
                    let kind = FailureKind::Interrupted;
                    self.fail_alone(raw, &turn, kind, WITHDRAWN, now, out);
                }
            }
            Some(behind) if behind.is_answered(answered) => {
                steered.extend(behind.steered);
                if let Some(prompt) = behind.prompt {
                    self.taken_in(prompt, true, event, now, out);
                }
            }
            Some(behind) => next = Some(*behind),
            None => {}
        }
        for steered in steered {
            let prompt = steered.prompt;
            if answered.contains(&prompt.uuid) {
                let named = prompt.item.turn.is_some() && prompt.turn != running.turn;
                self.taken_in(prompt, named, event, now, out);
            } else if steered.dropped {
                let kind = FailureKind::Interrupted;
                self.fail_alone(prompt.raw, &prompt.turn, kind, WITHDRAWN, now, out);
            } else if let Some(next) = &mut next {
                next.steered.push(Steered {
                    prompt,
                    dropped: false,
                });
            } else {
                next = Some(Running::asked(prompt));
            }
        }
        next
    }

    /// A prompt was answered within the turn of another. Whoever may wait for the prompt's own turn
    /// (`awaited`) is told the same ending; it costs and counts nothing.
    fn taken_in(
        &mut self,
        prompt: Prompt,
        awaited: bool,
        event: &Event,
        now: UnixMs,
        out: &mut Effects,
    ) {
        if awaited {
            let line = WrapperLine::Terminal {
                event: without_cost(event.clone()),
            };
            self.chronicle
                .publish_own(&prompt.turn, &line, true, now, out);
        }
        out.ops.push(Op::Remove { raw: prompt.raw });
    }

    /// Runs what waits, as far as it can.
    fn go_on(&mut self, now: UnixMs, out: &mut Effects) {
        loop {
            let failure = match &self.stage {
                Stage::Running(_) => return,
                Stage::Closed(closed) => Some(closed.clone()),
                Stage::Idle if self.stopping => Some(Closed {
                    kind: FailureKind::Interrupted,
                    message: "the session was stopped before this prompt ran".to_owned(),
                }),
                Stage::Idle => None,
            };
            let Some(queued) = self.queue.pop_front() else {
                return;
            };
            match (queued, failure) {
                (Queued::Broken { raw, turn, why }, None) => {
                    self.fail_alone(raw, &turn, FailureKind::InvalidRequest, why, now, out);
                }
                (Queued::Broken { raw, turn, .. }, Some(Closed { kind, message }))
                | (Queued::Prompt(Prompt { raw, turn, .. }), Some(Closed { kind, message })) => {
                    self.fail_alone(raw, &turn, kind, message, now, out);
                }
                (Queued::Prompt(prompt), None) => self.send(prompt, now, out),
            }
        }
    }

    /// Hands a prompt to `claude`, the first one together with what the session needs.
    fn send(&mut self, prompt: Prompt, now: UnixMs, out: &mut Effects) {
        self.setup.take(out);
        out.write(&StdinLine::prompt(&prompt.item, &prompt.uuid));
        let running = Running::asked(prompt);
        self.chronicle.open(&running, now, out);
        self.stage = Stage::Running(Box::new(running));
    }

    fn begin_unasked(&mut self, behind: Option<Stage>, now: UnixMs, out: &mut Effects) {
        let origin = if self.task_reported {
            "task-notification"
        } else {
            "unasked"
        };
        let turn = naming::unasked_turn(self.bits.draw());
        let mut running = Running::unasked(turn, origin.to_owned());
        if let Some(Stage::Running(behind)) = behind {
            running.behind = Some(behind);
        }
        self.chronicle.open(&running, now, out);
        self.stage = Stage::Running(Box::new(running));
    }

    /// A turn of its own for an item that never reached `claude`. Only between turns.
    fn fail_alone(
        &mut self,
        raw: Vec<u8>,
        turn: &TurnId,
        kind: FailureKind,
        message: impl Into<String>,
        now: UnixMs,
        out: &mut Effects,
    ) {
        self.chronicle
            .terminal(turn, &Event::failed(kind, message), None, now, out);
        out.ops.push(Op::Remove { raw });
    }

    /// Lines that are for the wrapper alone: answers to its requests.
    fn unpublished(&mut self, line: &Line, out: &mut Effects) {
        if let Line::ControlResponse(answer) = line
            && answer.response.subtype == "error"
        {
            // Not the text: it may repeat what was asked.
            out.notes.push(format!(
                "claude refused the control request {}",
                answer.response.request_id
            ));
        }
    }

    fn current_turn(&self) -> Option<TurnId> {
        match &self.stage {
            Stage::Running(running) => Some(running.turn.clone()),
            Stage::Idle | Stage::Closed(_) => self.chronicle.last_turn().cloned(),
        }
    }

    fn write_interrupt(&mut self, out: &mut Effects) {
        let id = self.request_id("interrupt");
        out.write(&StdinLine::interrupt(&id));
    }

    fn request_id(&mut self, what: &str) -> String {
        self.requests += 1;
        format!("ccpool-{what}-{}", self.requests)
    }
}

#[cfg(test)]
mod tests;
