use std::fmt::Write as _;

use ccpool::protocol::event::Usage;
use ccpool::{Event, Pool};
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
        status, model, running turn, finished turns, cost, times, and how its newest turn ended with \
        the tokens it used.";
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
        let newest = self.pool.newest_ending(&wanted).await?;
        if let Some(newest) = &newest {
            let _ = write!(text, "\nturn {} {}", newest.turn, ended(&newest.event));
        }
        let mut data = json!(shown);
        data["newestEnding"] = json!(newest);
        Ok(Answer::with_data(text, data))
    }
}

/// "has completed: 1200 tokens in (1000 of them cached), 80 out, $0.0100".
fn ended(event: &Event) -> String {
    let spent = |usage: &Usage, cost: f64| {
        let cached = usage.cache_read_input_tokens;
        let (all, out) = (usage.prompt(), usage.output_tokens);
        format!("{all} tokens in ({cached} of them cached), {out} out, ${cost:.4}")
    };
    if let Event::Completed(completed) = event {
        let spent = spent(&completed.usage, completed.cost_usd);
        format!("has completed: {spent}")
    } else if let Event::Failed(failed) = event {
        let usage = failed.usage.unwrap_or_default();
        let spent = spent(&usage, failed.cost_usd.unwrap_or(0.0));
        format!("has failed ({}): {spent}", failed.kind)
    } else {
        "has ended".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use ccpool::FailureKind;

    use super::*;

    #[test]
    fn an_ending_tells_what_was_spent() {
        let event = Event::failed(FailureKind::Stalled, "silent");
        let wanted = "has failed (stalled): 0 tokens in (0 of them cached), 0 out, $0.0000";
        assert_eq!(ended(&event), wanted);
    }
}
