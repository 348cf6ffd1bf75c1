//! One turn of a process.

use ccpool::provider::Spoken;
use ccpool_protocol::event::{Event, ReplyEvent};
use ccpool_protocol::input::InputItem;
use ccpool_protocol::line::TurnResult;
use ccpool_protocol::stdin::StdinLine;
use ccpool_protocol::{FailureKind, TurnId};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::answer::Mouth;
use super::memory::Memory;

/// What a process is to answer.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) turn: TurnId,
    /// Content blocks of the Messages API.
    pub(super) blocks: Vec<serde_json::Value>,
    /// Where nothing is said yet.
    pub(super) spoken: Spoken,
    /// What the process knows once it was told.
    pub(super) memory: Memory,
    pub(super) mouth: Mouth,
    /// Told when the process has it; dropped when the process had ended before.
    pub(super) taken: oneshot::Sender<()>,
}

/// Why the provider ends a turn itself.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) kind: FailureKind,
    pub(super) message: String,
}

/// The turn that runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) turn: TurnId,
    /// The prompt's name in the CLI's own lines.
    pub(super) uuid: String,
    /// The CLI has said something of its prompt.
    pub(super) accepted: bool,
    /// `system/init` has come for it.
    pub(super) begun: bool,
    /// It was interrupted because of this.
    pub(super) verdict: Option<Verdict>,
    /// Nobody reads any more, so it was interrupted.
    pub(super) deserted: bool,
    pub(super) spoken: Spoken,
}

impl Running {
    pub(super) fn new(turn: TurnId, spoken: Spoken) -> Self {
        Self {
            turn,
            uuid: Uuid::new_v4().to_string(),
            accepted: false,
            begun: false,
            verdict: None,
            deserted: false,
            spoken,
        }
    }

    /// Its prompt.
    pub(super) fn prompt(&self, blocks: Vec<serde_json::Value>) -> StdinLine {
        let item = InputItem {
            text: None,
            content: Some(blocks),
            ..InputItem::text(self.turn.clone(), "")
        };
        StdinLine::prompt(&item, &self.uuid)
    }

    /// Whether lines that name these prompts are about another turn.
    pub(super) fn is_foreign(&self, uuids: &[String]) -> bool {
        !uuids.is_empty() && !uuids.contains(&self.uuid)
    }

    /// Whether the CLI says with this that it will not run the prompt.
    pub(super) fn is_dropped(&self, uuid: &str, state: &str) -> bool {
        let dropped = matches!(state, "cancelled" | "discarded" | "refused");
        dropped && !self.begun && uuid == self.uuid
    }

    /// What a `result` that came before the turn had begun says of a CLI that could not start.
    pub(super) fn start_failure(&self, result: &TurnResult) -> Option<String> {
        let reason = result.startup_failure_reason.as_ref()?;
        let message = result.errors.first().unwrap_or(reason);
        (!self.begun).then(|| format!("claude could not start: {message}"))
    }

    /// Takes note of what is said, and puts the provider's own reason in the place of an interrupt that
    /// came from it. True: the turn has ended.
    pub(super) fn hear(&mut self, events: &mut [ReplyEvent]) -> bool {
        let mut ended = false;
        for ReplyEvent { event, .. } in events {
            self.spoken.hear(event);
            ended |= event.is_terminal();
            if let (Event::Failed(failed), Some(verdict)) = (event, &self.verdict)
                && failed.kind == FailureKind::Interrupted
            {
                failed.kind = verdict.kind;
                failed.message.clone_from(&verdict.message);
            }
        }
        ended
    }
}

/// What is left of a process's conversation after its turn has ended so: whether it can go on.
pub(super) fn can_go_on(ending: &Event) -> bool {
    match ending {
        Event::Completed(_) => true,
        Event::Failed(failed) => failed.kind == FailureKind::Interrupted,
        _ => false,
    }
}
