//! How turns end.

use ccpool_protocol::event::Event;
use ccpool_protocol::line::WrapperLine;
use ccpool_protocol::{FailureKind, TurnId, UnixMs};

use super::{Session, Stage};
use crate::chronicle::without_cost;
use crate::effects::{Effects, Op};
use crate::prompt::{Prompt, Running, Steered, Verdict};

const WITHDRAWN: &str = "the prompt was withdrawn before the model was asked";

impl Session {
    /// `claude` will not answer any more, nor will another: whatever is unfinished ends here, with
    /// this reason.
    pub(crate) fn close(
        &mut self,
        kind: FailureKind,
        message: impl Into<String>,
        now: UnixMs,
        out: &mut Effects,
    ) {
        let given = Verdict {
            kind,
            message: message.into(),
        };
        // Who was deserted is told so, however `claude` ends after that.
        let deserted = self.stopping.clone();
        let deserted = deserted.filter(|verdict| verdict.kind == FailureKind::ContainerLost);
        let verdict = deserted.unwrap_or(given);
        self.withdraw_all(now, out);
        self.forget_calls_untold(out);
        self.fail_given(verdict.kind, &verdict.message, now, out);
        self.stage = Stage::Closed(verdict);
        self.go_on(now, out);
    }

    /// `claude` is gone, and another will come: what was given to it fails, the queue waits.
    pub(crate) fn lost(&mut self, message: &str, now: UnixMs, out: &mut Effects) {
        self.away = true;
        self.withdraw_all(now, out);
        self.forget_calls_untold(out);
        self.task_reported = false;
        self.fail_given(FailureKind::ContainerLost, message, now, out);
        self.go_on(now, out);
    }

    /// Ends the running turn and those that `claude` would have run after it by itself.
    fn fail_given(&mut self, kind: FailureKind, message: &str, now: UnixMs, out: &mut Effects) {
        while let Stage::Running(running) = std::mem::replace(&mut self.stage, Stage::Idle) {
            let event = self.chronicle.fail(kind, message, now);
            if let Some(next) = self.finish(*running, &event, &[], now, out) {
                self.chronicle.open(&next, now, out);
                self.stage = Stage::Running(Box::new(next));
            }
        }
    }

    /// The CLI will not run a prompt that it was given.
    pub(super) fn dropped(&mut self, uuid: &str, now: UnixMs, out: &mut Effects) {
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
    pub(super) fn turn_over(
        &mut self,
        event: &Event,
        answered: &[String],
        now: UnixMs,
        out: &mut Effects,
    ) {
        let Stage::Running(running) = std::mem::replace(&mut self.stage, Stage::Idle) else {
            return;
        };
        if let Some(next) = self.finish(*running, event, answered, now, out) {
            self.chronicle.open(&next, now, out);
            self.stage = Stage::Running(Box::new(next));
            if self.stopping.is_some() {
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
        let event = &match &running.verdict {
            Some(verdict) => verdict.applied_to(event.clone()),
            None => event.clone(),
        };
        let withdrawn = running.verdict.unwrap_or_else(|| Verdict {
            kind: FailureKind::Interrupted,
            message: WITHDRAWN.to_owned(),
        });
        self.withdraw_of(&running.turn, now, out);
        self.forget_calls(out);
        self.chronicle
            .terminal(&running.turn, event, running.origin.as_deref(), now, out);
        let steered = running.steered.iter().map(|steered| &steered.prompt);
        let taken = steered.filter(|prompt| answered.contains(&prompt.uuid));
        let asked: Vec<&Prompt> = running.prompt.iter().chain(taken).collect();
        self.chronicle
            .keep(&running.turn, event, asked.into_iter(), now, out);
        if let Some(prompt) = running.prompt {
            out.ops.push(Op::Remove { raw: prompt.raw });
        }
        let mut next: Option<Running> = None;
        let mut steered = running.steered;
        match running.behind {
            Some(behind) if behind.withdrawn => {
                steered.extend(behind.steered);
                if let Some(Prompt { raw, turn, .. }) = behind.prompt {
                    let Verdict { kind, message } = withdrawn.clone();
                    self.fail_alone(raw, &turn, kind, message, now, out);
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
                let Verdict { kind, message } = withdrawn.clone();
                self.fail_alone(prompt.raw, &prompt.turn, kind, message, now, out);
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

    /// A turn of its own for an item that never reached `claude`. Only between turns.
    pub(super) fn fail_alone(
        &mut self,
        raw: Vec<u8>,
        turn: &TurnId,
        kind: FailureKind,
        message: impl Into<String>,
        now: UnixMs,
        out: &mut Effects,
    ) {
        let event = Event::failed(kind, message);
        self.chronicle.terminal(turn, &event, None, now, out);
        self.chronicle.keep_alone(turn, &event, &raw, now, out);
        out.ops.push(Op::Remove { raw });
    }
}
