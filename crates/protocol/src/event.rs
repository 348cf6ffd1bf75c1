//! Reply events: what a reader of a turn is told, in the library and over HTTP.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use crate::usage::Usage;

use crate::function::FunctionCall;
use crate::permission::{Behavior, PermissionOutcome, SettledBy};
use crate::{FailureKind, RequestId, TurnId, UnixMs};

/// An event with its place in the session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplyEvent {
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
    /// The turn it belongs to.
    pub turn: TurnId,
    /// The envelope it comes from; several events can come from one.
    pub seq: u64,
    /// When it happened.
    pub at: UnixMs,
    /// Set on every event of a turn that nobody asked for, with the CLI's reason for it
    /// (`task-notification`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
pub enum Event {
    /// `claude` took the prompt and is about to ask the model.
    Started {
        model: String,
        /// The session id of the CLI itself.
        cli_session_id: String,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        claude_version: String,
    },
    /// More text of the block `block` of the message `messageId`.
    ///
    /// The deltas of a message that are not retracted, put together, are its finished text.
    TextDelta {
        message_id: String,
        block: u64,
        text: String,
    },
    /// More of what the model thinks.
    ThinkingDelta {
        message_id: String,
        block: u64,
        text: String,
    },
    /// A finished block of text.
    Text {
        message_id: String,
        text: String,
        /// The `Agent` call inside which it was said, for a subagent's words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent_tool_use_id: Option<String>,
    },
    /// What was said of `messageId` from block `fromBlock` on does not count: the CLI repeats it.
    Retract { message_id: String, from_block: u64 },
    /// The model calls a tool.
    ToolUse {
        tool_use_id: String,
        name: String,
        input: Value,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent_tool_use_id: Option<String>,
    },
    /// A tool has answered; in the order of completion.
    ToolResult {
        tool_use_id: String,
        /// Text or content blocks, as the model gets them.
        content: Value,
        is_error: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent_tool_use_id: Option<String>,
    },
    /// The CLI wants to do something and waits for an answer.
    PermissionRequest {
        request_id: String,
        tool_use_id: String,
        name: String,
        input: Value,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        suggestions: Vec<Value>,
        /// When the policy answers it, if nobody else does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<UnixMs>,
    },
    /// A permission request is no longer open.
    PermissionResolved {
        request_id: RequestId,
        tool_use_id: String,
        outcome: PermissionOutcome,
        /// What the CLI was told; nothing when it asks no more.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        behavior: Option<Behavior>,
        by: SettledBy,
    },
    /// The model calls functions of the caller's, and the turn waits until their results are given.
    FunctionCalls {
        calls: Vec<FunctionCall>,
        /// When it is given up, if they are not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<UnixMs>,
        /// What the answer that these calls end has used, where that is known: the prompt of the
        /// newest request to the model, and what was written since the turn began or the caller was
        /// last told of calls.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usage: Option<Usage>,
    },
    /// Something worth showing that is no answer: a retry, compaction, a limit, progress.
    Status {
        status: Status,
        /// The CLI's own fields.
        detail: Map<String, Value>,
    },
    /// Envelopes from `from` to `to` are lost to this reader.
    Gap { from: u64, to: u64 },
    /// The turn succeeded. Terminal.
    Completed(Box<Completed>),
    /// The turn failed. Terminal.
    Failed(Box<Failed>),
    /// A line of a type that this version does not know, as it came.
    Other { line: Value },
}

/// What a status event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The request is repeated after a pause.
    Retry,
    /// The conversation is being shortened.
    Compacting,
    /// It has been, or could not be.
    Compacted,
    /// The account's limits have changed.
    RateLimit,
    /// The model is thinking; a count of tokens so far.
    Thinking,
    /// A subagent or background command started, went on or ended.
    Task,
    /// A tool is still at work.
    ToolProgress,
    /// A tool call was refused without a question.
    PermissionDenied,
    /// A permission request is no longer open.
    PermissionWithdrawn,
    /// Another model answers.
    ModelFallback,
    /// Another provider answers; `detail` has `from`, `to`, and `kind` and `message` of the failure.
    ProviderFallback,
    /// The model refused.
    Refusal,
    /// A message of the CLI for a person.
    Notice,
}

/// A turn that succeeded.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Completed {
    /// The answer: the text of the last message.
    pub text: String,
    /// What this turn used, all its requests to the model together.
    pub usage: Usage,
    /// What its last answer used, where that is known: the prompt of the newest request, which says how
    /// full the model's context is, and what was written since the turn began or the caller was last
    /// told of calls of its functions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_usage: Option<Usage>,
    /// What this turn cost, in US dollars, by the CLI's reckoning.
    pub cost_usd: f64,
    /// From the prompt to here, by the CLI's clock.
    pub duration_ms: u64,
    /// The session id of the CLI.
    pub session: String,
    /// Why the model stopped (`end_turn`, …).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_reason: Option<String>,
    /// With a JSON schema asked for: the object, whose JSON is the `text` then. Left out when the model
    /// gave none that fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub structured_output: Option<Value>,
    /// Where the time went.
    #[serde(default, skip_serializing_if = "Timings::is_empty")]
    pub timings: Timings,
}

/// A turn that failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failed {
    /// What a program acts on.
    pub kind: FailureKind,
    /// One line for a person.
    pub message: String,
    /// A reader has seen text of the answer.
    pub visible_output: bool,
    /// A tool has, or may have, acted.
    pub tool_effects: bool,
    /// When it makes sense to try again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// What was used up to here, where the CLI said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// What its last answer used up to here, as in [`Completed`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_usage: Option<Usage>,
    /// What it cost, where the CLI said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// Where the time went.
    #[serde(default, skip_serializing_if = "Timings::is_empty")]
    pub timings: Timings,
}

/// Stages of a turn, in milliseconds after the prompt was pushed into Redis (or, where that is not
/// known, after the wrapper took it).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Timings {
    /// The wrapper took it out of the input list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_ms: Option<u64>,
    /// The wrapper wrote it to `claude`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_ms: Option<u64>,
    /// `claude` was about to ask the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_ms: Option<u64>,
    /// The first text or thinking delta.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_delta_ms: Option<u64>,
    /// The result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_ms: Option<u64>,
}

impl Timings {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Event {
    /// Whether this ends the turn.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Completed(_) | Self::Failed(_))
    }

    /// A failure before anything was said or done.
    pub fn failed(kind: FailureKind, message: impl Into<String>) -> Self {
        Self::lost(kind, message, false, false)
    }

    /// A failure of a turn of which only this is known: whether something of its answer was seen, and
    /// whether a tool has acted.
    pub fn lost(
        kind: FailureKind,
        message: impl Into<String>,
        visible_output: bool,
        tool_effects: bool,
    ) -> Self {
        Self::Failed(Box::new(Failed {
            kind,
            message: message.into(),
            visible_output,
            tool_effects,
            retry_after_ms: None,
            usage: None,
            answer_usage: None,
            cost_usd: None,
            timings: Timings::default(),
        }))
    }

    /// The `type` on the wire.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Started { .. } => "started",
            Self::TextDelta { .. } => "text_delta",
            Self::ThinkingDelta { .. } => "thinking_delta",
            Self::Text { .. } => "text",
            Self::Retract { .. } => "retract",
            Self::ToolUse { .. } => "tool_use",
            Self::ToolResult { .. } => "tool_result",
            Self::PermissionRequest { .. } => "permission_request",
            Self::PermissionResolved { .. } => "permission_resolved",
            Self::FunctionCalls { .. } => "function_calls",
            Self::Status { .. } => "status",
            Self::Gap { .. } => "gap",
            Self::Completed(_) => "completed",
            Self::Failed(_) => "failed",
            Self::Other { .. } => "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_flat_and_camel_case() {
        let event = ReplyEvent {
            event: Event::TextDelta {
                message_id: "m".into(),
                block: 0,
                text: "hi".into(),
            },
            turn: TurnId::new("t1").unwrap(),
            seq: 3,
            at: 9,
            origin: None,
        };
        let json = serde_json::to_string(&event).unwrap();
        assert_eq!(
            json,
            r#"{"type":"text_delta","messageId":"m","block":0,"text":"hi","turn":"t1","seq":3,"at":9}"#
        );
        assert_eq!(serde_json::from_str::<ReplyEvent>(&json).unwrap(), event);
    }

    #[test]
    fn terminals_are_flat_too() {
        let event = Event::failed(FailureKind::RateLimited, "slow down");
        let json = serde_json::to_value(&event).unwrap();
        assert_eq!(json["type"], "failed");
        assert_eq!(json["kind"], "rate_limited");
        assert_eq!(json["visibleOutput"], false);
        assert_eq!(serde_json::from_value::<Event>(json).unwrap(), event);
        let json = serde_json::to_value(Event::Completed(Box::default())).unwrap();
        assert_eq!(json["usage"]["inputTokens"], 0);
        assert_eq!(
            serde_json::from_value::<Event>(json).unwrap().type_name(),
            "completed"
        );
    }
}
