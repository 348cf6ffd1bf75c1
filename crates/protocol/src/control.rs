//! Messages on a session's `control` channel.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::RequestId;
use crate::function::FunctionResult;
use crate::permission::Answer;

/// What a running session can be told.
///
/// On the wire it is JSON with a `type`; `interrupt` and `shutdown` may also be sent as the bare
/// word, so that `redis-cli PUBLISH … interrupt` works.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
pub enum Control {
    /// End the running turn; the session takes the next prompt.
    Interrupt,
    /// Another model from the next request on: an alias (`opus`) or a full id.
    SetModel { model: String },
    /// The answer to a `permission_request` event. The state says whether it was taken.
    Answer {
        request_id: RequestId,
        /// Names this answer, so that its sender finds out whether it was the one that counted.
        ticket: String,
        answer: Answer,
    },
    /// The same in the CLI's own words; for answers by hand.
    Permission {
        request_id: String,
        /// As `claude` takes it: `{"behavior":"allow"}`, `{"behavior":"deny","message":"…"}`, ….
        response: Value,
    },
    /// Results of calls of the caller's functions. The state says which ones were taken.
    FunctionResults {
        /// Names them, so that their sender finds out what became of them.
        #[serde(default)]
        ticket: String,
        results: Vec<FunctionResult>,
    },
    /// Stop `claude` in order, then exit.
    Shutdown,
}

impl Control {
    /// Reads a message.
    ///
    /// # Errors
    /// When it is neither a known word nor JSON of this shape.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        match text.trim() {
            "interrupt" => Ok(Self::Interrupt),
            "shutdown" => Ok(Self::Shutdown),
            json => serde_json::from_str(json),
        }
    }

    /// The JSON that goes onto the channel.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("control messages have string keys")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_json() {
        assert_eq!(Control::parse("interrupt\n").unwrap(), Control::Interrupt);
        assert_eq!(
            Control::parse(r#"{"type":"interrupt"}"#).unwrap(),
            Control::Interrupt
        );
        let model = Control::SetModel {
            model: "opus".into(),
        };
        assert_eq!(Control::parse(&model.to_json()).unwrap(), model);
        let answer = Control::Answer {
            request_id: RequestId::new("r1").unwrap(),
            ticket: "x".into(),
            answer: Answer::deny("no"),
        };
        assert_eq!(Control::parse(&answer.to_json()).unwrap(), answer);
        let results = r#"{"type":"function_results","results":[{"id":"c1","content":[]}]}"#;
        assert!(matches!(
            Control::parse(results).unwrap(),
            Control::FunctionResults { ticket, results } if ticket.is_empty() && results[0].id == "c1"
        ));
        assert!(Control::parse("reboot").is_err());
    }
}
