use std::fmt;

use async_trait::async_trait;
use ccpool_protocol::{FailureKind, ReplyEvent, SessionId, TurnId};
use futures::stream::BoxStream;
use serde::Serialize;

use super::{Conversation, Refused};
use crate::info::HealthStatus;

/// Somebody who answers conversations.
#[async_trait]
pub trait Provider: fmt::Debug + Send + Sync {
    /// What stands before the slash in names of models that it serves: `docker-claude-code`.
    fn name(&self) -> &str;

    /// Models that it is known to serve, without its own name; it may take others too. Where several
    /// providers are one, each as `provider/model`.
    fn models(&self) -> Vec<String>;

    /// Begins to answer. Nothing was said and no tool has acted when this fails.
    ///
    /// # Errors
    /// [`Refused`], with a kind by which a caller can go elsewhere.
    async fn reply(&self, conversation: Conversation) -> Result<Reply, Refused>;

    /// How it is. Cheap enough to be asked every second; never fails, never waits long.
    async fn health(&self) -> ProviderHealth;
}

/// An answer under way.
pub struct Reply {
    /// Who answers.
    pub provider: String,
    /// By which model, as far as it is known yet.
    pub model: String,
    /// The session that it happens in, where there is one.
    pub session: Option<SessionId>,
    /// The turn.
    pub turn: TurnId,
    /// Who was to answer and did not, and why.
    pub passed: Vec<Passed>,
    /// What happens; ends with exactly one of `completed`, `failed` and `function_calls`. After the
    /// last one the turn waits for a [`Conversation`] that brings the results.
    ///
    /// Dropped before its end, it interrupts the turn.
    pub events: BoxStream<'static, ReplyEvent>,
}

/// A provider that did not answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Passed {
    /// Its name and model.
    pub provider: String,
    /// Why, for a program.
    pub kind: FailureKind,
    /// Why, for a person.
    pub message: String,
}

/// How a provider is.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProviderHealth {
    /// In one word.
    pub status: HealthStatus,
    /// Why it is not `ok`.
    pub reasons: Vec<String>,
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("provider", &self.provider)
            .field("turn", &self.turn)
            .finish_non_exhaustive()
    }
}
