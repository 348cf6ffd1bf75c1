//! A prompt that was taken from the input list and not yet answered.

use ccpool_protocol::event::Event;
use ccpool_protocol::input::InputItem;
use ccpool_protocol::{FailureKind, TurnId, UnixMs};

use crate::naming::{self, Bits};

/// An item that is a prompt.
#[derive(Debug)]
pub(crate) struct Prompt {
    pub(crate) item: InputItem,
    /// The bytes as they lie in `inflight`.
    pub(crate) raw: Vec<u8>,
    pub(crate) turn: TurnId,
    /// When it came out of the input list.
    pub(crate) taken_at: UnixMs,
    /// Its name in the CLI's own lines.
    pub(crate) uuid: String,
}

/// What stands in the queue.
#[derive(Debug)]
pub(crate) enum Queued {
    Prompt(Prompt),
    /// An item that is no prompt; its turn fails when it comes up.
    Broken {
        raw: Vec<u8>,
        turn: TurnId,
        why: String,
    },
}

impl Queued {
    pub(crate) fn read(raw: Vec<u8>, now: UnixMs, bits: &mut dyn Bits) -> Self {
        match InputItem::parse(&raw) {
            Ok(item) => Self::Prompt(Prompt {
                turn: item
                    .turn
                    .clone()
                    .unwrap_or_else(|| naming::turn(bits.draw())),
                uuid: naming::uuid(bits.draw()),
                taken_at: now,
                item,
                raw,
            }),
            Err(error) => Self::Broken {
                turn: InputItem::turn_named(&raw).unwrap_or_else(|| naming::turn(bits.draw())),
                why: error.to_string(),
                raw,
            },
        }
    }
}

/// A prompt that was handed to `claude` while another turn ran.
#[derive(Debug)]
pub(crate) struct Steered {
    pub(crate) prompt: Prompt,
    /// The CLI said that it will not run it.
    pub(crate) dropped: bool,
}

/// Why ccpool ends something itself.
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    pub(crate) kind: FailureKind,
    pub(crate) message: String,
}

impl Verdict {
    /// The ending of a turn that was interrupted for this reason. One that ended otherwise just
    /// before the interrupt stays as it is.
    pub(crate) fn applied_to(&self, mut event: Event) -> Event {
        if let Event::Failed(failed) = &mut event
            && failed.kind == FailureKind::Interrupted
        {
            failed.kind = self.kind;
            failed.message.clone_from(&self.message);
        }
        event
    }
}

/// The turn that runs.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) turn: TurnId,
    /// What it answers; none when nobody asked.
    pub(crate) prompt: Option<Prompt>,
    pub(crate) steered: Vec<Steered>,
    pub(crate) origin: Option<String>,
    /// `system/init` has come for it.
    pub(crate) begun: bool,
    /// The CLI said that it will not run its prompt.
    pub(crate) withdrawn: bool,
    /// ccpool itself has interrupted it, for this reason.
    pub(crate) verdict: Option<Verdict>,
    /// A prompt that was written just when the CLI began a turn of its own; it runs afterwards.
    pub(crate) behind: Option<Box<Running>>,
}

impl Running {
    pub(crate) fn asked(prompt: Prompt) -> Self {
        Self {
            turn: prompt.turn.clone(),
            prompt: Some(prompt),
            steered: Vec::new(),
            origin: None,
            begun: false,
            withdrawn: false,
            verdict: None,
            behind: None,
        }
    }

    pub(crate) fn unasked(turn: TurnId, origin: String) -> Self {
        Self {
            turn,
            prompt: None,
            steered: Vec::new(),
            origin: Some(origin),
            begun: true,
            withdrawn: false,
            verdict: None,
            behind: None,
        }
    }

    /// The CLI will not run a prompt that it was given.
    pub(crate) fn withdraw(&mut self, uuid: &str) {
        for steered in &mut self.steered {
            steered.dropped |= steered.prompt.uuid == uuid;
        }
        let is_ours = self.prompt.as_ref().is_some_and(|p| p.uuid == uuid);
        self.withdrawn |= is_ours && !self.begun;
        if let Some(behind) = &mut self.behind {
            behind.withdraw(uuid);
        }
    }

    /// Whether a line that names these prompts names this turn's.
    pub(crate) fn is_answered(&self, uuids: &[String]) -> bool {
        let ours = self.prompt.as_ref().map(|prompt| &prompt.uuid);
        ours.is_some_and(|ours| uuids.contains(ours))
    }

    /// Whether a line that names these prompts is about another turn.
    pub(crate) fn is_foreign(&self, uuids: &[String]) -> bool {
        let ours = self.prompt.as_ref().map(|prompt| &prompt.uuid);
        ours.is_some_and(|ours| !uuids.is_empty() && !uuids.contains(ours))
    }
}
