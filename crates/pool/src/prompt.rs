//! What a caller sends into a session.

use ccpool_protocol::function::FunctionTool;
use ccpool_protocol::input::{InputItem, Mode};
use ccpool_protocol::{ContainerId, TurnId};
use serde_json::Value;

use crate::clock::unix_ms;
use crate::error::PoolError;

/// A prompt. Exactly one of `text` and `content` is given.
#[derive(Debug, Clone, Default)]
pub struct Prompt {
    /// The turn's name; made up when left out.
    pub turn: Option<TurnId>,
    /// The prompt as text.
    pub text: Option<String>,
    /// The prompt as Messages API content blocks.
    pub content: Option<Vec<Value>>,
    /// When it gets its turn.
    pub mode: Mode,
    /// The text is a command of the CLI (`/compact`), and not for the model.
    pub command: bool,
    /// Another model from this prompt on: an alias or a full id. None: as before.
    pub model: Option<String>,
    /// Only for this container: where another one serves the session by now, there is no such
    /// session.
    pub on: Option<ContainerId>,
    /// Functions of the caller's that the model may call from this prompt on, in the place of those
    /// before; none at all when the list is empty. None: those that there are.
    ///
    /// The model's calls come as `function_calls` events, and [`Pool::give_results`] answers them.
    ///
    /// [`Pool::give_results`]: crate::Pool::give_results
    pub functions: Option<Vec<FunctionTool>>,
    /// The same key within the retention time means the same turn.
    pub idempotency_key: Option<String>,
}

impl Prompt {
    /// Plain text, in a turn of its own.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            text: Some(text.into()),
            ..Self::default()
        }
    }

    /// The item for the session's input, and the turn's name.
    pub(crate) fn into_item(self) -> Result<(TurnId, InputItem), PoolError> {
        if self
            .idempotency_key
            .as_ref()
            .is_some_and(|key| key.is_empty() || key.len() > 255)
        {
            let what = "an idempotency key must have 1 to 255 bytes";
            return Err(PoolError::InvalidRequest(what.to_owned()));
        }
        let turn = self.turn.unwrap_or_else(random_turn);
        let item = InputItem {
            turn: Some(turn.clone()),
            text: self.text,
            content: self.content,
            mode: self.mode,
            command: self.command,
            model: self.model,
            functions: self.functions,
            at: Some(unix_ms()),
        };
        item.check()
            .map_err(|error| PoolError::InvalidRequest(error.to_string()))?;
        Ok((turn, item))
    }
}

pub(crate) fn random_turn() -> TurnId {
    TurnId::new(format!("t-{:016x}", rand::random::<u64>())).expect("t- and hex is a turn id")
}
