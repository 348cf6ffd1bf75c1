use ccpool::{AgentId, SessionId};
use rmcp::model::{ProgressNotificationParam, ProgressToken};
use rmcp::{Peer, RoleServer};
use tokio_util::sync::CancellationToken;

/// Who calls: the session that the bearer token is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Its session.
    pub session: SessionId,
    /// On whose behalf that session runs.
    pub agent: AgentId,
    /// How many generations of sessions there are before it; 0 for one that a person began.
    pub depth: u32,
}

/// One call of a tool, beside its arguments.
#[derive(Debug, Clone)]
pub struct Call {
    /// Who calls.
    pub caller: Caller,
    /// Cancelled when the agent was interrupted, its container has gone, or the gateway stops.
    pub cancelled: CancellationToken,
    /// Where a slow tool says how far it is.
    pub progress: Progress,
}

/// Tells the caller how far a call is; does nothing where nobody asked.
#[derive(Debug, Clone, Default)]
pub struct Progress(Option<(Peer<RoleServer>, ProgressToken)>);

impl Progress {
    pub(crate) fn new(peer: Peer<RoleServer>, token: Option<ProgressToken>) -> Self {
        Self(token.map(|token| (peer, token)))
    }

    /// `done` must rise from call to call; `total` is where it ends, if that is known.
    pub async fn report(&self, done: f64, total: Option<f64>, message: impl Into<String>) {
        let Some((peer, token)) = &self.0 else {
            return;
        };
        let mut param =
            ProgressNotificationParam::new(token.clone(), done).with_message(message.into());
        param.total = total;
        // Who does not listen any more misses nothing.
        if let Err(error) = peer.notify_progress(param).await {
            tracing::debug!(%error, "progress was not told");
        }
    }
}
