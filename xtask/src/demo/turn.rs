use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::client::{Claim, GatewayClient};
use super::story::Story;
use super::timing::{Stages, Timing, millis};

/// One turn as its reader saw it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turn {
    /// Why it did not complete, if it did not.
    pub(crate) failure: Option<String>,
    /// The answer.
    pub(crate) text: String,
    /// The container that served it.
    pub(crate) container: Option<String>,
    /// What answered.
    pub(crate) started: Started,
    /// Where the time went.
    pub(crate) timing: Timing,
}

/// What the event `started` tells.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Started {
    /// The model.
    pub(crate) model: String,
    /// The CLI's own session.
    pub(crate) cli_session_id: String,
    /// The CLI's version.
    pub(crate) claude_version: String,
}

impl Turn {
    /// Sends `prompt` and tells the answer as it comes.
    ///
    /// # Errors
    /// The gateway refuses the prompt or its stream ends without a terminal event. A turn that
    /// fails is none: see [`Turn::failure`].
    pub(crate) fn play(
        client: &GatewayClient,
        claim: &Claim,
        prompt: &str,
        story: &mut Story,
    ) -> Result<Self> {
        story.line(format_args!("you>    {prompt}"));
        story.begin("claude>");
        let began = Instant::now();
        let mut turn = Self::default();
        let told = turn.follow(client, claim, prompt, began, story);
        story.end();
        told?;
        turn.container = client.container_of(&claim.session)?;
        Ok(turn)
    }

    fn follow(
        &mut self,
        client: &GatewayClient,
        claim: &Claim,
        prompt: &str,
        began: Instant,
        story: &mut Story,
    ) -> Result<()> {
        let mut events = client.send(&claim.session, prompt)?;
        while let Some(message) = events.read().context("the reply's stream broke off")? {
            let event: Value = serde_json::from_str(&message.data)
                .with_context(|| format!("the event {} is not JSON", message.event))?;
            if self.see(&message.event, &event, began.elapsed(), story)? {
                return Ok(());
            }
        }
        bail!("the reply's stream ended without `completed` or `failed`")
    }

    /// Takes one event; true when it ends the turn.
    fn see(&mut self, name: &str, event: &Value, at: Duration, story: &mut Story) -> Result<bool> {
        let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
        match name {
            "started" => self.started = Started::deserialize(event)?,
            "text_delta" => {
                self.timing.first_delta.get_or_insert(at);
                story.more(&text("text"));
            }
            "thinking_delta" => {
                if self.timing.first_delta.is_none() {
                    story.more("(thinking) ");
                }
                self.timing.first_delta.get_or_insert(at);
            }
            "retract" => story.more(" [withdrawn, it is said again:] "),
            "tool_use" => story.more(&format!(" [uses {}] ", text("name"))),
            "completed" | "failed" => {
                self.timing.whole = Some(at);
                self.timing.stages = Stages::deserialize(&event["timings"]).unwrap_or_default();
                if name == "completed" {
                    self.text = text("text");
                } else {
                    let failure = format!("{}: {}", text("kind"), text("message"));
                    story.more(&format!("[{failure}]"));
                    self.failure = Some(failure);
                }
                return Ok(true);
            }
            "problem" => bail!("the gateway lost the turn: {}", text("detail")),
            // Finished blocks repeat their deltas; the others are nothing to show here.
            _ => {}
        }
        Ok(false)
    }
}

impl Serialize for Turn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Report<'a> {
            completed: bool,
            first_delta_ms: Option<f64>,
            text: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            claim_ms: Option<f64>,
            queue_ms: Option<u64>,
            request_ms: Option<u64>,
            result_ms: Option<u64>,
            container: Option<&'a str>,
            cli_session_id: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            error: Option<&'a str>,
        }
        let Timing {
            claim_ms,
            stages,
            first_delta,
            whole: _,
        } = self.timing;
        Report {
            completed: self.failure.is_none(),
            first_delta_ms: first_delta.map(millis),
            text: &self.text,
            claim_ms: claim_ms.map(|ms| (ms * 10.0).round() / 10.0),
            queue_ms: stages.sent_ms,
            request_ms: stages.request_ms,
            result_ms: stages.result_ms,
            container: self.container.as_deref(),
            cli_session_id: &self.started.cli_session_id,
            error: self.failure.as_deref(),
        }
        .serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn seen(events: &[Value]) -> (Turn, bool) {
        let mut turn = Turn::default();
        let mut story = Story::new(true);
        let mut ended = false;
        for (index, event) in (1..).zip(events) {
            let name = event["type"].as_str().unwrap();
            let at = Duration::from_millis(index * 10);
            ended = turn.see(name, event, at, &mut story).unwrap();
        }
        (turn, ended)
    }

    #[test]
    fn a_turn_is_what_its_events_say() {
        let (turn, ended) = seen(&[
            json!({"type":"started","model":"m","cliSessionId":"c1","claudeVersion":"1"}),
            json!({"type":"text_delta","text":"te"}),
            json!({"type":"text_delta","text":"al"}),
            json!({"type":"text","text":"teal"}),
            json!({"type":"completed","text":"teal","timings":{"sentMs":1,"requestMs":5,"firstDeltaMs":7,"resultMs":9}}),
        ]);
        assert!(ended);
        let json = serde_json::to_value(&turn).unwrap();
        assert_eq!(json["completed"], true);
        assert_eq!(json["firstDeltaMs"], 20.0);
        assert_eq!(json["text"], "teal");
        assert_eq!(
            (&json["queueMs"], &json["requestMs"], &json["resultMs"]),
            (&json!(1), &json!(5), &json!(9))
        );
        assert_eq!(json["cliSessionId"], "c1");
        assert!(json.get("claimMs").is_none());
    }

    #[test]
    fn a_failed_turn_says_why() {
        let (turn, ended) = seen(&[json!({"type":"failed","kind":"auth","message":"no key"})]);
        assert!(ended);
        assert_eq!(turn.failure.as_deref(), Some("auth: no key"));
        assert_eq!(serde_json::to_value(&turn).unwrap()["completed"], false);
    }
}
