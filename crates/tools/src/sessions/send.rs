use std::time::Duration;

use ccpool::{Pool, Prompt, RelayError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::reply::reply;
use super::shown::{own, session_id};
use crate::{Answer, Call, Effect, Refusal, Tool};

/// `sessions_send`.
#[derive(Debug)]
pub(crate) struct SessionsSend {
    pool: Pool,
    /// Longest wait for an answer.
    wait: Duration,
}

impl SessionsSend {
    pub(crate) fn new(pool: &Pool, wait: Duration) -> Self {
        Self {
            pool: pool.clone(),
            wait,
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Letter {
    /// The session to send to, as `sessions_list` shows it; not your own.
    session: String,
    /// What the agent of that session is asked.
    prompt: String,
    /// Wait for the answer (true when left out), or return at once.
    wait: Option<bool>,
    /// How many seconds to wait at most; as long as the gateway allows when left out.
    wait_seconds: Option<u64>,
}

impl Tool for SessionsSend {
    type Arguments = Letter;
    const NAME: &'static str = "sessions_send";
    const DESCRIPTION: &'static str = "Send a prompt to another live session of your agent and get its \
        answer, or only send it (`wait: false`). A session that is at work takes it up after its turn.";
    const EFFECT: Effect = Effect::Acts;

    async fn call(&self, letter: Letter, call: Call) -> Result<Answer, Refusal> {
        let to = session_id(letter.session)?;
        let from = &call.caller.session;
        if to == *from {
            return Err(Refusal::new(
                "That is your own session. Name another one; sessions_list shows them.",
            ));
        }
        own(&self.pool, &call.caller, &to).await?;
        let prompt = Prompt::text(letter.prompt);
        if !letter.wait.unwrap_or(true) {
            let sent = self.pool.relay(from, &to, prompt).await.map_err(refused)?;
            let text = format!(
                "Sent to {to} as turn `{}`. sessions_history shows the answer once it is there.",
                sent.turn
            );
            let data = json!({"session": to, "turn": sent.turn, "outcome": "sent"});
            return Ok(Answer::with_data(text, data));
        }
        let asked = letter.wait_seconds.map(Duration::from_secs);
        let patience = asked.map_or(self.wait, |asked| {
            asked.clamp(Duration::from_secs(1), self.wait)
        });
        let waiting = self.pool.wait_for(from, &to, patience).await;
        let _waiting = waiting.map_err(refused)?;
        let sent = self.pool.relay(from, &to, prompt).await.map_err(refused)?;
        let turn = sent.turn.to_string();
        let reply = reply(sent, patience, &call.progress).await?;
        reply.told(to.as_str(), &turn)
    }
}

pub(super) fn refused(error: RelayError) -> Refusal {
    match error {
        RelayError::TooFar => Refusal::new(format!(
            "This was not sent: {error}. Answer what you were asked instead of sending it on."
        )),
        RelayError::Circular(_) => Refusal::new(format!(
            "This was not sent: {error}, so both would wait for ever. Answer it, or send with wait \
             false."
        )),
        RelayError::Pool(error) => error.into(),
    }
}
