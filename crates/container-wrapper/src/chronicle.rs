//! What is told of a session: numbered envelopes, the state, and how each turn ended.

use ccpool_protocol::envelope::Envelope;
use ccpool_protocol::event::{Event, ReplyEvent, Usage};
use ccpool_protocol::fold::{Ending, Fold, Stamp};
use ccpool_protocol::input::InputItem;
use ccpool_protocol::line::{Line, WrapperLine};
use ccpool_protocol::state::{SessionStatus, field};
use ccpool_protocol::transcript::{self, Entry};
use ccpool_protocol::{FailureKind, TurnId, UnixMs};
use serde_json::value::RawValue;

use crate::effects::{Effects, Op};
use crate::prompt::{Prompt, Running};

/// Where the session's numbers go on from: what a wrapper before this one wrote.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Resume {
    pub(crate) seq: u64,
    pub(crate) batch: u64,
    pub(crate) turns: u64,
    pub(crate) cost_usd: f64,
}

/// Numbers and folds everything that goes out.
#[derive(Debug)]
pub(crate) struct Chronicle {
    fold: Fold,
    seq: u64,
    turns: u64,
    cost_usd: f64,
    last_turn: Option<TurnId>,
    /// What the state says of the running turn: visible output, tool effects.
    told: (bool, bool),
    /// How many turns have begun here.
    opened: u64,
    /// The tools that the running turn has called.
    tools: Vec<String>,
}

impl Chronicle {
    pub(crate) fn new(resume: Resume) -> Self {
        Self {
            fold: Fold::new(Ending::ByResult),
            seq: resume.seq,
            turns: resume.turns,
            cost_usd: resume.cost_usd,
            last_turn: None,
            told: (false, false),
            opened: 0,
            tools: Vec::new(),
        }
    }

    /// The turn to which lines between turns belong.
    pub(crate) fn last_turn(&self) -> Option<&TurnId> {
        self.last_turn.as_ref()
    }

    /// How many turns have begun here.
    pub(crate) fn opened(&self) -> u64 {
        self.opened
    }

    /// What a line that was just published means. What it changes of what may be said if this
    /// wrapper is lost goes to the state, in the same step as the line itself.
    pub(crate) fn fold(
        &mut self,
        turn: &TurnId,
        line: Line,
        now: UnixMs,
        out: &mut Effects,
    ) -> Vec<ReplyEvent> {
        let stamp = Stamp {
            turn,
            seq: self.seq,
            at: now,
        };
        let events = self.fold.push(stamp, line);
        for ReplyEvent { event, .. } in &events {
            if let Event::ToolUse { name, .. } = event
                && self.tools.len() < transcript::TOOLS
            {
                self.tools.push(name.clone());
            }
        }
        self.tell(out);
        events
    }

    /// The number of the newest envelope.
    pub(crate) fn seq(&self) -> u64 {
        self.seq
    }

    fn tell(&mut self, out: &mut Effects) {
        let now_so = (self.fold.visible_output(), self.fold.tool_effects());
        let before = std::mem::replace(&mut self.told, now_so);
        if before.0 != now_so.0 {
            out.state(field::VISIBLE_OUTPUT, now_so.0.to_string());
        }
        if before.1 != now_so.1 {
            out.state(field::TOOL_EFFECTS, now_so.1.to_string());
        }
    }

    /// How the running turn ends when the CLI does not say.
    pub(crate) fn fail(
        &mut self,
        kind: FailureKind,
        message: impl Into<String>,
        now: UnixMs,
    ) -> Event {
        self.fold.fail(kind, message, now)
    }

    /// The first envelope of a turn.
    pub(crate) fn open(&mut self, running: &Running, now: UnixMs, out: &mut Effects) {
        self.opened += 1;
        self.tools.clear();
        let line = WrapperLine::Prompt {
            pushed_at: running.prompt.as_ref().and_then(|p| p.item.at),
            taken_at: running.prompt.as_ref().map(|p| p.taken_at),
            sent_at: now,
            steered: false,
            origin: running.origin.clone(),
        };
        out.state(field::STATUS, SessionStatus::Busy.as_str());
        out.state(field::TURN, running.turn.as_str());
        out.state(field::LAST_ACTIVITY, now.to_string());
        self.told = (false, false);
        out.state(field::VISIBLE_OUTPUT, "false");
        out.state(field::TOOL_EFFECTS, "false");
        self.say(&running.turn, &line, now, out);
    }

    /// The last envelope of a turn, and what it changes in the state.
    pub(crate) fn terminal(
        &mut self,
        turn: &TurnId,
        event: &Event,
        origin: Option<&str>,
        now: UnixMs,
        out: &mut Effects,
    ) {
        let line = WrapperLine::Terminal {
            event: event.clone(),
        };
        self.publish_own(turn, &line, true, now, out);
        self.turns += 1;
        if let Event::Completed(completed) = event {
            self.cost_usd += completed.cost_usd;
        } else if let Event::Failed(failed) = event {
            self.cost_usd += failed.cost_usd.unwrap_or(0.0);
        }
        out.state(field::STATUS, SessionStatus::Assigned.as_str());
        out.state(field::TURN, "");
        out.state(field::TURNS, self.turns.to_string());
        out.state(field::LAST_ACTIVITY, now.to_string());
        out.state(field::COST_USD, self.cost_usd.to_string());
        let reply = ReplyEvent {
            event: event.clone(),
            turn: turn.clone(),
            seq: self.seq,
            at: now,
            origin: origin.map(str::to_owned),
        };
        let json = serde_json::to_string(&reply).expect("reply events have string keys");
        out.ops.push(Op::Result { json });
    }

    /// What is kept of a turn that has just ended; `asked` are the prompts that it has answered, the
    /// first one first.
    pub(crate) fn keep<'a>(
        &mut self,
        turn: &TurnId,
        event: &Event,
        asked: impl DoubleEndedIterator<Item = &'a Prompt>,
        now: UnixMs,
        out: &mut Effects,
    ) {
        let entry = Entry {
            tools: std::mem::take(&mut self.tools),
            ..Entry::of(turn, now, event)
        };
        let entry = asked
            .rev()
            .fold(entry, |entry, prompt| entry.asked(&prompt.item));
        out.ops.push(Op::Entry {
            json: entry.to_json(),
        });
    }

    /// What is kept of a prompt that never reached `claude`.
    pub(crate) fn keep_alone(
        &self,
        turn: &TurnId,
        event: &Event,
        raw: &[u8],
        now: UnixMs,
        out: &mut Effects,
    ) {
        let entry = Entry::of(turn, now, event);
        let entry = match InputItem::parse(raw) {
            Ok(item) => entry.asked(&item),
            Err(_) => entry,
        };
        out.ops.push(Op::Entry {
            json: entry.to_json(),
        });
    }

    /// A line of the wrapper's own that the fold takes part in.
    pub(crate) fn say(
        &mut self,
        turn: &TurnId,
        line: &WrapperLine,
        now: UnixMs,
        out: &mut Effects,
    ) {
        self.publish_own(turn, line, false, now, out);
        let stamp = Stamp {
            turn,
            seq: self.seq,
            at: now,
        };
        self.fold.push(stamp, Line::Wrapper(line.clone()));
        self.tell(out);
        self.last_turn = Some(turn.clone());
    }

    pub(crate) fn publish_own(
        &mut self,
        turn: &TurnId,
        line: &WrapperLine,
        keep: bool,
        now: UnixMs,
        out: &mut Effects,
    ) {
        let line = RawValue::from_string(line.to_json()).expect("a wrapper line is JSON");
        self.publish(turn, line, keep, now, out);
    }

    pub(crate) fn publish(
        &mut self,
        turn: &TurnId,
        line: Box<RawValue>,
        keep: bool,
        now: UnixMs,
        out: &mut Effects,
    ) {
        self.seq += 1;
        let envelope = Envelope {
            seq: self.seq,
            turn: turn.clone(),
            at: now,
            line,
        };
        out.ops.push(Op::Envelope {
            seq: self.seq,
            json: envelope.to_json(),
            keep,
        });
    }
}

/// The same ending, with nothing to pay for.
pub(crate) fn without_cost(mut event: Event) -> Event {
    if let Event::Completed(completed) = &mut event {
        completed.cost_usd = 0.0;
        completed.usage = Usage::default();
        completed.answer_usage = None;
    } else if let Event::Failed(failed) = &mut event {
        failed.cost_usd = None;
        failed.usage = None;
        failed.answer_usage = None;
    }
    event
}
