//! The pool as a provider.

use async_trait::async_trait;
use futures::StreamExt;

use super::contract::{Provider, ProviderHealth, Reply};
use super::conversation::Conversation;
use super::error::Refused;
use super::handover;
use crate::claim::ClaimRequest;
use crate::pool::Pool;
use crate::prompt::Prompt;

/// What its models' names begin with.
const NAME: &str = "docker-claude-code";

/// Aliases that the CLI resolves itself.
const MODELS: [&str; 3] = ["opus", "sonnet", "haiku"];

/// Answers in containers of a pool.
#[derive(Debug, Clone)]
pub struct PoolProvider {
    pool: Pool,
}

impl PoolProvider {
    /// A provider on this pool, which stays the caller's to shut down.
    pub fn new(pool: Pool) -> Self {
        Self { pool }
    }
}

#[async_trait]
impl Provider for PoolProvider {
    fn name(&self) -> &str {
        NAME
    }

    fn models(&self) -> Vec<String> {
        MODELS.map(str::to_owned).to_vec()
    }

    async fn reply(&self, conversation: Conversation) -> Result<Reply, Refused> {
        let model = conversation.model.as_deref();
        let model = model.map(|model| model.strip_prefix("docker-claude-code/").unwrap_or(model));
        let claimed = self
            .pool
            .claim(ClaimRequest {
                agent: conversation.agent.clone(),
                model: model.map(str::to_owned),
                append_system_prompt: conversation.system.clone(),
                ..ClaimRequest::default()
            })
            .await?;
        let prompt = Prompt {
            content: Some(handover::blocks(&conversation)),
            ..Prompt::default()
        };
        let turn = self.pool.send(&claimed.session, prompt).await?;
        let events = turn
            .events
            .filter_map(async |event| Some(event.ok()?.event));
        Ok(Reply {
            provider: NAME.to_owned(),
            model: model.unwrap_or_default().to_owned(),
            session: Some(claimed.session),
            turn: turn.turn,
            passed: Vec::new(),
            events: events.boxed(),
        })
    }

    async fn health(&self) -> ProviderHealth {
        let health = self.pool.health().await;
        ProviderHealth {
            status: health.status,
            reasons: health.reasons,
        }
    }
}
