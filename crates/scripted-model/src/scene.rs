//! Scenes: what the stand-in model answers, one reply per API request of a turn.

use std::{num::NonZeroUsize, time::Duration};

use serde_json::Value;

use crate::api_error::ApiError;
pub use crate::scene_json::SceneError;

/// The replies of one turn. Reply 0 answers the prompt, reply 1 the request that carries the
/// results of reply 0's tools, and so on.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    /// In order; never empty when parsed from JSON.
    pub replies: Vec<Reply>,
}

/// The answer to one API request, perhaps different when the client retries it.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// Attempt 0 first; the last one is repeated for further attempts.
    pub attempts: Vec<Answer>,
}

/// What one HTTP request gets.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// An assistant message, perhaps broken off.
    Message(Message),
    /// An HTTP error instead of a message.
    Error {
        error: ApiError,
        /// Extra response headers, such as the unified rate limit ones.
        headers: Vec<(String, String)>,
        /// Wait before the response starts.
        first_byte: Duration,
    },
    /// No response at all; the request stays open until the client goes.
    Hang,
    /// The connection is closed before any byte of a response.
    Drop,
}

/// An assistant message and how it is delivered.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Wait before the response starts.
    pub first_byte: Duration,
    /// Content blocks in order; may be empty.
    pub blocks: Vec<Block>,
    pub stop_reason: StopReason,
    pub ending: Ending,
    /// Reported token counts instead of the estimated ones.
    pub usage: Usage,
    /// Extra response headers.
    pub headers: Vec<(String, String)>,
}

/// Token counts to report; `None` means estimated from the lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    pub input_tokens: Option<u64>,
    pub output_tokens: Option<u64>,
    /// Read from a cache; never estimated.
    pub cache_read_input_tokens: u64,
    /// Written to a cache; never estimated.
    pub cache_creation_input_tokens: u64,
}

/// One content block.
#[derive(Debug, Clone, PartialEq)]
pub enum Block {
    Text {
        text: String,
        pace: Pace,
    },
    Thinking {
        thinking: String,
        signature: String,
        pace: Pace,
    },
    ToolUse {
        id: Option<String>,
        name: String,
        input: Value,
        pace: Pace,
    },
}

/// How a block's content is cut into deltas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pace {
    /// Characters per delta; `None`: one word per delta (tool input: 64 characters).
    pub chunk: Option<NonZeroUsize>,
    /// Wait before every delta.
    pub delay: Duration,
}

/// How a streamed message ends. A delta is any `content_block_delta`, counted over all blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// `message_delta` and `message_stop`.
    Complete,
    /// After so many deltas the stream stays open and silent until the client goes.
    Stall { after: usize },
    /// After so many deltas the connection is closed in the middle of the body.
    Disconnect { after: usize },
    /// After so many deltas an SSE `error` event ends the stream.
    Error { after: usize, error: ApiError },
}

/// The API's `stop_reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    EndTurn,
    ToolUse,
    MaxTokens,
    StopSequence,
    PauseTurn,
    Refusal,
}

impl Scene {
    /// A scene from its JSON form (see the README): an object with `replies`, a list of replies, or
    /// a single reply.
    ///
    /// # Errors
    /// When the text is not JSON or not a scene; the error names the place.
    pub fn parse(json: &str) -> Result<Self, SceneError> {
        crate::scene_json::parse(json)
    }

    /// A scene from a parsed JSON value.
    ///
    /// # Errors
    /// When the value is not a scene; the error names the place.
    pub fn from_value(value: &Value) -> Result<Self, SceneError> {
        crate::scene_json::scene(value, "scene")
    }

    /// One reply with this text, one word per delta.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Answer::text(text).into()
    }
}

impl Answer {
    /// A complete message with this text, one word per delta.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Message::of(vec![Block::Text {
            text: text.into(),
            pace: Pace::default(),
        }])
        .into()
    }

    /// An HTTP error at once.
    #[must_use]
    pub fn error(error: ApiError) -> Self {
        Self::Error {
            error,
            headers: Vec::new(),
            first_byte: Duration::ZERO,
        }
    }
}

impl Message {
    /// A complete message of these blocks; stops for `tool_use` if it holds one.
    #[must_use]
    pub fn of(blocks: Vec<Block>) -> Self {
        let calls_tool = blocks
            .iter()
            .any(|block| matches!(block, Block::ToolUse { .. }));
        Self {
            first_byte: Duration::ZERO,
            blocks,
            stop_reason: if calls_tool {
                StopReason::ToolUse
            } else {
                StopReason::EndTurn
            },
            ending: Ending::Complete,
            usage: Usage::default(),
            headers: Vec::new(),
        }
    }
}

impl From<Message> for Answer {
    fn from(message: Message) -> Self {
        Self::Message(message)
    }
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        Self {
            attempts: vec![answer],
        }
    }
}

impl From<Answer> for Scene {
    fn from(answer: Answer) -> Self {
        Self {
            replies: vec![answer.into()],
        }
    }
}

impl From<Reply> for Scene {
    fn from(reply: Reply) -> Self {
        Self {
            replies: vec![reply],
        }
    }
}
