//! The session: which turn runs, what waits, and what every line means for both.
//!
//! Pure: events go in, [`Effects`] come out. Whatever happens, every item that was taken gets
//! exactly one terminal envelope and is removed from `inflight` once.

use std::collections::VecDeque;

use ccpool_protocol::assignment::Assignment;
use ccpool_protocol::control::Control;
use ccpool_protocol::event::{Event, ReplyEvent};
use ccpool_protocol::input::Mode;
use ccpool_protocol::line::{Line, WrapperLine};
use ccpool_protocol::state::field;
use ccpool_protocol::stdin::StdinLine;
use ccpool_protocol::{FailureKind, TurnId, UnixMs};

use crate::chronicle::{Chronicle, Resume};
use crate::effects::Effects;
use crate::functions::Functions;
use crate::heard::{Audience, Heard};
use crate::naming::{self, Bits};
use crate::prompt::{Prompt, Queued, Running, Steered, Verdict};
use crate::questions::{Policy, Questions};
use crate::setup::Setup;

#[derive(Debug)]
enum Stage {
    /// Between turns; the queue is empty.
    Idle,
    /// A turn runs; others wait.
    Running(Box<Running>),
    /// Nothing runs any more; what is still taken fails.
    Closed(Verdict),
}

/// One session, from its assignment to the end of the wrapper.
pub(crate) struct Session {
    stage: Stage,
    queue: VecDeque<Queued>,
    /// Somebody asked to stop: the queue is not run any more.
    stopping: Option<Verdict>,
    /// `claude` is on its way out or not back yet: nothing new is given to it.
    away: bool,
    setup: Setup,
    chronicle: Chronicle,
    /// A background task has reported since the last result.
    task_reported: bool,
    questions: Questions,
    functions: Functions,
    /// Numbers the control requests.
    requests: u64,
    bits: Box<dyn Bits>,
}

impl Session {
    /// `boot_model`: the model that `claude` was started with. `policy`: for permission requests.
    pub(crate) fn new(
        assignment: &Assignment,
        boot_model: Option<&str>,
        policy: Policy,
        resume: Resume,
        bits: Box<dyn Bits>,
    ) -> Self {
        Self {
            stage: Stage::Idle,
            queue: VecDeque::new(),
            stopping: None,
            away: false,
            setup: Setup::new(assignment, boot_model),
            chronicle: Chronicle::new(resume),
            task_reported: false,
            questions: Questions::new(policy),
            functions: Functions::new(policy.function_ms),
            requests: 0,
            bits,
        }
    }

    /// Whether a turn runs.
    pub(crate) fn is_running(&self) -> bool {
        matches!(self.stage, Stage::Running(_))
    }

    /// The turn that runs.
    pub(crate) fn running_turn(&self) -> Option<TurnId> {
        match &self.stage {
            Stage::Running(running) => Some(running.turn.clone()),
            Stage::Idle | Stage::Closed(_) => None,
        }
    }

    /// The number of the running turn. Another turn has another number.
    pub(crate) fn turn(&self) -> Option<u64> {
        self.is_running().then(|| self.chronicle.opened())
    }

    /// An item came out of the input list.
    pub(crate) fn take(&mut self, raw: Vec<u8>, now: UnixMs, out: &mut Effects) {
        let queued = Queued::read(raw, now, &mut *self.bits);
        let mode = match &queued {
            Queued::Prompt(prompt) => prompt.item.mode,
            Queued::Broken { .. } => Mode::Queue,
        };
        match (&mut self.stage, queued, mode) {
            (Stage::Running(running), Queued::Prompt(prompt), Mode::Steer)
                if self.stopping.is_none()
                    && !self.away
                    && self.functions.are(prompt.item.functions.as_deref()) =>
            {
                out.write(&StdinLine::prompt(&prompt.item, &prompt.uuid));
                let line = WrapperLine::Prompt {
                    pushed_at: prompt.item.at,
                    taken_at: Some(now),
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
    pub(crate) fn control(&mut self, control: Control, now: UnixMs, out: &mut Effects) {
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
                    self.setup.choose(&model);
                    if !self.away {
                        self.write_model(&model, out);
                    }
                }
            }
            Control::Answer {
                request_id,
                ticket,
                answer,
            } => self.answer(&request_id, &ticket, &answer, now, out),
            Control::Permission {
                request_id,
                response,
            } => self.answer_raw(&request_id, &response, now, out),
            Control::FunctionResults { ticket, results } => self.give(&ticket, results, out),
            Control::Shutdown => {}
        }
    }

    /// No further turn begins, and the running one is interrupted.
    pub(crate) fn stop(&mut self, now: UnixMs, out: &mut Effects) {
        self.stopping.get_or_insert_with(|| Verdict {
            kind: FailureKind::Interrupted,
            message: "the session was stopped before this prompt ran".to_owned(),
        });
        if self.is_running() {
            self.write_interrupt(out);
        }
        self.go_on(now, out);
    }

    /// A stop follows, and not because anybody wanted it: every turn is lost for this reason.
    pub(crate) fn desert(&mut self, message: &str) {
        let verdict = Verdict {
            kind: FailureKind::ContainerLost,
            message: message.to_owned(),
        };
        if let Stage::Running(running) = &mut self.stage {
            running.verdict = Some(verdict.clone());
        }
        self.stopping = Some(verdict);
    }

    /// ccpool itself ends the running turn: it is interrupted, and ends for this reason.
    pub(crate) fn abort(&mut self, kind: FailureKind, message: String, out: &mut Effects) {
        if let Stage::Running(running) = &mut self.stage {
            running.verdict = Some(Verdict { kind, message });
            self.write_interrupt(out);
        }
    }

    /// `claude` was asked to end: what it still says counts, but it is told nothing new.
    pub(crate) fn hold(&mut self) {
        self.away = true;
    }

    /// Another `claude` answers. What the session needs is sent to it with the next prompt.
    pub(crate) fn go_on_with(&mut self, line: &WrapperLine, now: UnixMs, out: &mut Effects) {
        self.away = false;
        self.setup.again();
        self.functions.again();
        // Without any turn there is nobody yet who could wonder.
        if let Some(turn) = self.chronicle.last_turn().cloned() {
            self.chronicle.say(&turn, line, now, out);
        }
        self.go_on(now, out);
    }

    /// A name for a conversation.
    pub(crate) fn new_conversation(&mut self) -> String {
        naming::uuid(self.bits.draw())
    }

    /// A line of `claude`'s.
    pub(crate) fn line(&mut self, heard: Heard, now: UnixMs, out: &mut Effects) {
        let (text, line) = match heard.audience() {
            Audience::Reader { text, line } => (text, line),
            Audience::Nobody(line) => return self.unpublished(&line, out),
            Audience::Server(line) => return self.served(line, now, out),
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
        if !self.about_to_ask(&turn, &line, now, out) {
            return;
        }
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
        if let Line::ControlCancel { request_id } = &line {
            let request = request_id.clone();
            self.chronicle.fold(turn, line, now, out);
            return self.withdraw(&request, now, out);
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
        let events = self.chronicle.fold(turn, line, now, out);
        for ReplyEvent { event, .. } in events {
            self.heard(turn, &event, now, out);
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

    /// Runs what waits, as far as it can.
    fn go_on(&mut self, now: UnixMs, out: &mut Effects) {
        loop {
            let failure = match &self.stage {
                Stage::Running(_) => return,
                Stage::Closed(closed) => Some(closed.clone()),
                Stage::Idle if self.away && self.stopping.is_none() => return,
                Stage::Idle => self.stopping.clone(),
            };
            let Some(queued) = self.queue.pop_front() else {
                return;
            };
            match (queued, failure) {
                (Queued::Broken { raw, turn, why }, None) => {
                    self.fail_alone(raw, &turn, FailureKind::InvalidRequest, why, now, out);
                }
                (Queued::Broken { raw, turn, .. }, Some(Verdict { kind, message }))
                | (Queued::Prompt(Prompt { raw, turn, .. }), Some(Verdict { kind, message })) => {
                    self.fail_alone(raw, &turn, kind, message, now, out);
                }
                (Queued::Prompt(prompt), None) => self.send(prompt, now, out),
            }
        }
    }

    /// Hands a prompt to `claude`, the first one together with what the session needs.
    fn send(&mut self, mut prompt: Prompt, now: UnixMs, out: &mut Effects) {
        let model = prompt.item.model.take();
        let model = model.filter(|model| !model.trim().is_empty());
        if let Some(model) = &model {
            self.setup.choose(model);
        }
        let is_first = self.setup.take(out);
        if let Some(functions) = prompt.item.functions.take() {
            self.functions.want(functions);
        }
        let requests = &mut self.requests;
        self.functions.write(|| named(requests, "functions"), out);
        // Last, because the CLI may have to ask the model's service first.
        if is_first {
            self.setup.take_model(out);
        } else if let Some(model) = &model {
            self.write_model(model, out);
        }
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

    fn write_model(&mut self, model: &str, out: &mut Effects) {
        let id = self.request_id("model");
        out.request_of_model(&id, &StdinLine::set_model(&id, model));
    }

    fn write_interrupt(&mut self, out: &mut Effects) {
        if self.away {
            return;
        }
        let id = self.request_id("interrupt");
        out.request(&id, &StdinLine::interrupt(&id));
    }

    fn request_id(&mut self, what: &str) -> String {
        named(&mut self.requests, what)
    }
}

/// The next name of a control request.
fn named(requests: &mut u64, what: &str) -> String {
    *requests += 1;
    format!("ccpool-{what}-{requests}")
}

mod asking;
mod calling;
mod ending;

#[cfg(test)]
mod tests;
