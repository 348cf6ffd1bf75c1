//! Conversations that rest give way to claims that find no room.

use std::sync::Arc;

use ccpool_protocol::AgentId;

use super::hold;
use super::resting::Resting;
use crate::pool::Inner;

/// So many are looked at; an agent's are rarely behind so many of others.
const LOOKED_AT: usize = 200;

/// Ends the session of the conversation that has rested for longest: of this agent, or of any. Its
/// client finds a fresh one, which is told the history. False: none rests.
pub(crate) async fn make(inner: &Arc<Inner>, agent: Option<&AgentId>) -> bool {
    let conversations = &inner.conversations;
    let resting = match conversations.yielding(LOOKED_AT).await {
        Ok(resting) => resting,
        Err(error) => {
            tracing::debug!(%error, "could not look for a conversation that gives way");
            return false;
        }
    };
    for (at, record) in resting {
        let is_meant = Resting::parse(&record)
            .is_some_and(|resting| agent.is_none_or(|agent| resting.agent == *agent));
        if !is_meant {
            continue;
        }
        // Somebody may go on with it just now.
        let taken = conversations.take(&at).await.ok().flatten();
        let Some(resting) = taken.and_then(|record| Resting::parse(&record)) else {
            continue;
        };
        tracing::info!(session = %resting.session, "ends for a claim that finds no room");
        hold::end(inner, &resting.session, &resting.container).await;
        return true;
    }
    false
}
