use std::fmt::Write as _;

use ccpool::Pool;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::shown::{Shown, own, session_id};
use crate::{Answer, Call, Effect, Refusal, Tool};

/// `session_status`.
#[derive(Debug)]
pub(crate) struct SessionStatus {
    pool: Pool,
}

impl SessionStatus {
    pub(crate) fn new(pool: &Pool) -> Self {
        Self { pool: pool.clone() }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    /// The session id, as `sessions_list` shows it; your own session when left out.
    session: Option<String>,
}

impl Tool for SessionStatus {
    type Arguments = Which;
    const NAME: &'static str = "session_status";
    const DESCRIPTION: &'static str = "Show one session of your agent, your own when none is named: \
        status, model, running turn, finished turns, cost, times.";
    const EFFECT: Effect = Effect::Reads;

    async fn call(&self, which: Which, call: Call) -> Result<Answer, Refusal> {
        let wanted = match which.session {
            None => call.caller.session.clone(),
            Some(text) => session_id(text)?,
        };
        let found = own(&self.pool, &call.caller, &wanted).await?;
        let shown = Shown::of(&call.caller, &found);
        let mut text = shown.line();
        if let Some(turn) = shown.turn {
            let _ = write!(text, "\nturn {turn} is running");
        }
        Ok(Answer::with_data(text, json!(shown)))
    }
}
