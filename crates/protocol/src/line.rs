//! The lines that `claude` prints, by type.
//!
//! Seen with 2.1.197 and 2.1.329. The wire is undocumented and moves, so every struct takes what
//! ccpool uses and ignores the rest; a type that is not known becomes [`Line::Other`].

use serde::Deserialize;
use serde::de::{DeserializeOwned, Error as _};
use serde_json::{Map, Value};

pub use crate::wrapper_line::WrapperLine;

/// One line of the CLI's stdout, or of the wrapper's own.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// `system/init`: a turn has started, with this configuration. Comes again for every turn.
    Init(Init),
    /// `system/status`: `requesting`, `compacting`, or the end of either.
    Status(StatusLine),
    /// `stream_event`: an event of the Messages API stream. Main thread only.
    Stream(StreamLine),
    /// `assistant`: one finished content block.
    Assistant(Assistant),
    /// `user`: tool results, and what the CLI says to itself.
    User(User),
    /// `result`: the end of a turn.
    Result(Box<TurnResult>),
    /// `rate_limit_event`.
    RateLimit(RateLimit),
    /// `control_request`: the CLI asks.
    ControlRequest(ControlRequest),
    /// `control_response`: the CLI answers.
    ControlResponse(ControlResponse),
    /// `control_cancel_request`: the CLI no longer asks.
    ControlCancel { request_id: String },
    /// `command_lifecycle`: where a prompt with a uuid stands (from 2.1.329 on).
    Lifecycle { uuid: String, state: String },
    /// A line worth showing to a person, with its fields.
    Notice(Notice),
    /// A known line that tells a reader nothing (`ui_invalidate`, `hook_started`, …).
    Quiet,
    /// `ccpool`: the wrapper's own.
    Wrapper(WrapperLine),
    /// A type that this version does not know.
    Other(Value),
}

/// `system/init`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Init {
    pub session_id: String,
    pub model: String,
    pub claude_code_version: String,
    pub cwd: String,
    pub tools: Vec<String>,
    pub user_message_uuids: Vec<String>,
}

/// `system/status`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct StatusLine {
    pub status: Option<String>,
    pub compact_result: Option<String>,
    pub compact_error: Option<String>,
    pub user_message_uuids: Vec<String>,
}

/// `stream_event`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct StreamLine {
    pub event: StreamEvent,
    #[serde(default)]
    pub parent_tool_use_id: Option<String>,
    /// The message that the event belongs to (from 2.1.329 on).
    #[serde(default)]
    pub api_message_id: Option<String>,
    #[serde(default)]
    pub abandoned_blocks: Option<AbandonedBlocks>,
}

/// On a `message_stop`: the blocks of a dead stream that do not count (from 2.1.329 on).
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct AbandonedBlocks {
    pub api_message_id: String,
    pub from_block_index: u64,
}

/// The Messages API's stream events, as far as ccpool needs them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum StreamEvent {
    MessageStart {
        message: MessageStart,
    },
    ContentBlockStart {
        index: u64,
    },
    ContentBlockDelta {
        index: u64,
        delta: Delta,
    },
    ContentBlockStop {
        index: u64,
    },
    MessageDelta {
        /// Counts of the message so far.
        #[serde(default)]
        usage: Value,
    },
    MessageStop {},
    #[serde(other)]
    Unknown,
}

/// The head of a streamed message.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct MessageStart {
    pub id: String,
    /// Counts so far; what is read is known, what is written is not.
    #[serde(default)]
    pub usage: Value,
}

/// A piece of a block.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Delta {
    TextDelta {
        text: String,
    },
    ThinkingDelta {
        thinking: String,
    },
    /// Signatures, pieces of a tool's input, and whatever comes later.
    #[serde(other)]
    Unseen,
}

/// `assistant`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Assistant {
    pub message: Message,
    #[serde(default)]
    pub parent_tool_use_id: Option<String>,
    /// Set when the text is the CLI's report of an error: `authentication_failed`, `rate_limit`, ….
    #[serde(default)]
    pub error: Option<String>,
}

/// A message or the one block of it that a line carries.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Message {
    #[serde(default)]
    pub id: String,
    #[serde(default)]
    pub content: Value,
    /// Counts: those of the beginning for a message that is streamed, all of them for another.
    #[serde(default)]
    pub usage: Value,
}

/// `user`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct User {
    pub message: Message,
    #[serde(default)]
    pub parent_tool_use_id: Option<String>,
    #[serde(default)]
    pub tool_result_meta: Vec<ToolResultMeta>,
    #[serde(default, rename = "isReplay")]
    pub is_replay: bool,
}

impl User {
    /// What was decided on a tool call: `accept` or `reject`, where the CLI says so.
    pub fn decision(&self, tool_use_id: &str) -> Option<&str> {
        let mut meta = self.tool_result_meta.iter();
        let meta = meta.find(|meta| meta.id == tool_use_id)?;
        Some(&meta.permission_decision.as_ref()?.decision)
    }
}

/// How a tool call was decided (from 2.1.329 on).
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ToolResultMeta {
    pub id: String,
    #[serde(default)]
    pub permission_decision: Option<PermissionDecision>,
}

/// Part of [`ToolResultMeta`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct PermissionDecision {
    #[serde(default)]
    pub decision: String,
}

/// `result`. Success is `subtype == "success"` and not `is_error`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct TurnResult {
    pub subtype: String,
    pub is_error: bool,
    pub result: Option<String>,
    pub session_id: String,
    pub duration_ms: u64,
    /// Cumulative for the process.
    pub total_cost_usd: f64,
    pub usage: Option<crate::event::Usage>,
    pub stop_reason: Option<String>,
    pub terminal_reason: Option<String>,
    pub api_error_status: Option<u16>,
    pub api_error_type: Option<String>,
    pub api_error: Option<String>,
    pub errors: Vec<String>,
    pub structured_output: Option<Value>,
    pub startup_failure_reason: Option<String>,
    pub user_message_uuids: Vec<String>,
    /// Set when nobody asked for this turn.
    pub origin: Option<Origin>,
}

/// Why the CLI started a turn by itself.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Origin {
    pub kind: String,
}

/// `rate_limit_event`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct RateLimit {
    pub rate_limit_info: Map<String, Value>,
}

/// `control_request` from the CLI.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ControlRequest {
    pub request_id: String,
    pub request: Asked,
}

/// What the CLI asks.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "subtype", rename_all = "snake_case")]
pub enum Asked {
    /// May this tool run?
    CanUseTool(Box<CanUseTool>),
    /// A hook that somebody registered with `initialize`.
    HookCallback {},
    /// A message for a server of type `sdk`.
    McpMessage {
        #[serde(default)]
        server_name: String,
        /// JSON-RPC.
        #[serde(default)]
        message: Value,
    },
    /// An MCP server wants to ask the person.
    Elicitation {},
    #[serde(other)]
    Unknown,
}

/// The fields of `can_use_tool`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct CanUseTool {
    pub tool_name: String,
    #[serde(default)]
    pub input: Value,
    #[serde(default)]
    pub tool_use_id: String,
    #[serde(default)]
    pub decision_reason: Option<String>,
    #[serde(default)]
    pub permission_suggestions: Vec<Value>,
}

/// `control_response` from the CLI.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ControlResponse {
    pub response: ControlAnswer,
}

/// Its body.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ControlAnswer {
    pub subtype: String,
    pub request_id: String,
    #[serde(default)]
    pub error: Option<String>,
    #[serde(default)]
    pub response: Option<Value>,
}

/// A line for a person: which, and the CLI's own fields.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    pub status: crate::event::Status,
    pub fields: Map<String, Value>,
}

/// A line that is no JSON object with a string `type`, or not of the shape that its type has.
#[derive(Debug, thiserror::Error)]
#[error("not a stream-json line: {0}")]
pub struct LineError(#[from] serde_json::Error);

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    r#type: std::borrow::Cow<'a, str>,
    #[serde(borrow, default)]
    subtype: Option<std::borrow::Cow<'a, str>>,
}

impl Line {
    /// Reads one line. Types that are not known are [`Line::Other`], not an error.
    ///
    /// # Errors
    /// [`LineError`] when the text is not JSON, has no `type`, or breaks its type's shape.
    pub fn parse(text: &str) -> Result<Self, LineError> {
        let head: Head<'_> = serde_json::from_str(text)?;
        // An array would be taken for the fields of a struct, in their order.
        if !text.trim_start().starts_with('{') {
            return Err(serde_json::Error::custom("expected an object").into());
        }
        let subtype = head.subtype.as_deref().unwrap_or("");
        match &*head.r#type {
            "stream_event" => read(text).map(Self::Stream),
            "assistant" => read(text).map(Self::Assistant),
            "user" => read(text).map(Self::User),
            "result" => read(text).map(Self::Result),
            "system" => Self::system(subtype, text),
            "control_request" => read(text).map(Self::ControlRequest),
            "control_response" => read(text).map(Self::ControlResponse),
            "control_cancel_request" => {
                #[derive(Deserialize)]
                struct Cancel {
                    request_id: String,
                }
                let Cancel { request_id } = read(text)?;
                Ok(Self::ControlCancel { request_id })
            }
            "command_lifecycle" => {
                #[derive(Deserialize)]
                struct Lifecycle {
                    command_uuid: String,
                    state: String,
                }
                let Lifecycle {
                    command_uuid,
                    state,
                } = read(text)?;
                Ok(Self::Lifecycle {
                    uuid: command_uuid,
                    state,
                })
            }
            "rate_limit_event" => read(text).map(Self::RateLimit),
            "ccpool" => read(text).map(Self::Wrapper),
            "tool_progress" => notice(crate::event::Status::ToolProgress, text),
            "tool_use_summary" | "prompt_suggestion" | "auth_status" => {
                notice(crate::event::Status::Notice, text)
            }
            "keep_alive" | "conversation_reset" | "active_goal" | "autocompact_state"
            | "transcript_mirror" => Ok(Self::Quiet),
            _ => read(text).map(Self::Other),
        }
    }

    fn system(subtype: &str, text: &str) -> Result<Self, LineError> {
        use crate::event::Status;
        match subtype {
            "init" => read(text).map(Self::Init),
            "status" => read(text).map(Self::Status),
            "api_retry" => notice(Status::Retry, text),
            "thinking_tokens" => notice(Status::Thinking, text),
            "compact_boundary" => notice(Status::Compacted, text),
            "task_started" | "task_progress" | "task_updated" | "task_notification" => {
                notice(Status::Task, text)
            }
            "permission_denied" => notice(Status::PermissionDenied, text),
            "model_fallback" => notice(Status::ModelFallback, text),
            "model_refusal_no_fallback" | "model_refusal_fallback" => notice(Status::Refusal, text),
            "informational"
            | "notification"
            | "local_command_output"
            | "memory_recall"
            | "elicitation_complete"
            | "session_writes_lost"
            | "mirror_error"
            | "plugin_install" => notice(Status::Notice, text),
            "ui_invalidate"
            | "session_state_changed"
            | "session_title_changed"
            | "commands_changed"
            | "background_tasks_changed"
            | "control_request_progress"
            | "hook_started"
            | "hook_response"
            | "hook_progress"
            | "files_persisted"
            | "worker_shutting_down" => Ok(Self::Quiet),
            _ => read(text).map(Self::Other),
        }
    }
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, LineError> {
    Ok(serde_json::from_str(text)?)
}

fn notice(status: crate::event::Status, text: &str) -> Result<Line, LineError> {
    let mut fields: Map<String, Value> = read(text)?;
    for common in ["type", "uuid", "session_id"] {
        fields.remove(common);
    }
    Ok(Line::Notice(Notice { status, fields }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_need_not_begin_with_its_type() {
        let line = r#"{"duration_ms":5,"is_error":false,"type":"result","subtype":"success","result":"x","later":[1]}"#;
        let Line::Result(result) = Line::parse(line).unwrap() else {
            panic!("not a result")
        };
        assert_eq!(
            (result.duration_ms, result.result.as_deref()),
            (5, Some("x"))
        );
    }

    #[test]
    fn unknown_types_pass_through() {
        for text in [
            r#"{"type":"hologram","x":1}"#,
            r#"{"type":"system","subtype":"warp"}"#,
        ] {
            assert!(
                matches!(Line::parse(text).unwrap(), Line::Other(_)),
                "{text}"
            );
        }
        let stream = r#"{"type":"stream_event","event":{"type":"ping"}}"#;
        assert!(matches!(
            Line::parse(stream).unwrap(),
            Line::Stream(StreamLine {
                event: StreamEvent::Unknown,
                ..
            })
        ));
    }

    #[test]
    fn what_is_no_line() {
        for text in [
            "",
            "[]",
            "[\"keep_alive\"]",
            "[\"system\",\"init\"]",
            "\"x\"",
            "{}",
            "{\"type\":1}",
            "{\"type\":\"assistant\"}",
            "nope",
        ] {
            assert!(Line::parse(text).is_err(), "{text}");
        }
    }
}
