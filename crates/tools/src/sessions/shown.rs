use std::fmt::Write as _;

use ccpool::{PoolError, SessionId, SessionInfo};
use serde::Serialize;

use crate::{Caller, Refusal};

/// What the model may know of a session.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shown<'a> {
    session: &'a SessionId,
    own: bool,
    status: &'static str,
    model: Option<&'a str>,
    pub(super) turn: Option<&'a str>,
    turns: u64,
    cost_usd: f64,
    started_at: u64,
    last_activity: u64,
}

impl<'a> Shown<'a> {
    pub(super) fn of(caller: &Caller, info: &'a SessionInfo) -> Self {
        Self {
            session: &info.session,
            own: info.session == caller.session,
            status: info.status.as_str(),
            model: info.model.as_deref(),
            turn: info.turn.as_ref().map(|turn| turn.as_str()),
            turns: info.turns,
            cost_usd: info.cost_usd,
            started_at: info.started_at,
            last_activity: info.last_activity,
        }
    }

    pub(super) fn line(&self) -> String {
        let mut line = format!("{} ({}", self.session, self.status);
        if let Some(model) = self.model {
            let _ = write!(line, ", {model}");
        }
        let _ = write!(line, ", {} turns, ${:.4})", self.turns, self.cost_usd);
        if self.own {
            line.push_str(" <- you are here");
        }
        line
    }
}

/// A session id from an argument.
pub(super) fn session_id(text: String) -> Result<SessionId, Refusal> {
    SessionId::new(text).map_err(|error| Refusal::new(format!("That is no session id: {error}.")))
}

/// The session, if it is one of the caller's agent. One of another agent is answered as one that does
/// not exist.
pub(crate) async fn own(
    pool: &ccpool::Pool,
    caller: &Caller,
    session: &SessionId,
) -> Result<SessionInfo, Refusal> {
    match pool.session(session).await {
        Ok(found) if found.agent == caller.agent => Ok(found),
        Ok(_) | Err(PoolError::UnknownSession(_)) => Err(Refusal::new(format!(
            "Your agent has no session `{session}`; `sessions_list` shows what there is."
        ))),
        Err(error) => Err(error.into()),
    }
}
