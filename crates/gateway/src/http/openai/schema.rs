//! Shapes of requests and answers, for the API description.
#![expect(dead_code, reason = "read by the description only")]

use serde_json::Value;
use utoipa::ToSchema;

use super::usage::Used;

/// A conversation as its client tells it. Fields of the OpenAI API that are not named here are let
/// pass.
#[derive(ToSchema)]
pub(crate) struct ChatCompletionRequest {
    /// `provider/model`, a model's alias or full id; the configured one when left out.
    #[schema(example = "docker-claude-code/opus")]
    model: Option<String>,
    /// What was said, the oldest first: roles `system`, `developer`, `user`, `assistant`, `tool`.
    #[schema(value_type = Vec<Object>)]
    messages: Vec<Value>,
    /// Chunks as they come, or one answer.
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    /// Functions of the client's that the model may call.
    #[schema(value_type = Option<Vec<Object>>)]
    tools: Option<Vec<Value>>,
    /// `auto`, `none`, `required`, or a function.
    #[schema(value_type = Option<Object>)]
    tool_choice: Option<Value>,
    parallel_tool_calls: Option<bool>,
    /// For providers that can be told.
    max_completion_tokens: Option<u32>,
    /// The older name of `max_completion_tokens`.
    max_tokens: Option<u32>,
    /// For providers that can be told: a text, or up to four.
    #[schema(value_type = Option<Object>)]
    stop: Option<Value>,
    /// A wish that the model is told; a strict schema is refused.
    #[schema(value_type = Option<Object>)]
    response_format: Option<Value>,
    /// Conversations of different users never meet.
    user: Option<String>,
    /// `session_id` in it names the conversation.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Value>,
    /// Names the conversation, where nothing else does.
    prompt_cache_key: Option<String>,
}

/// How a stream is wanted.
#[derive(ToSchema)]
pub(crate) struct StreamOptions {
    /// Tell what was used, after the rest.
    include_usage: Option<bool>,
}

/// An answer.
#[derive(ToSchema)]
pub(crate) struct ChatCompletion {
    #[schema(example = "chatcmpl-0f9c1b7d5e3a4d2e8f6a4c0f9c1b7d5e")]
    id: String,
    /// `chat.completion`.
    object: String,
    /// Seconds since 1970.
    created: u64,
    /// `provider/model` that answered.
    model: String,
    /// Exactly one.
    #[schema(value_type = Vec<Object>)]
    choices: Vec<Value>,
    usage: Used,
}

/// A piece of an answer.
#[derive(ToSchema)]
pub(crate) struct ChatCompletionChunk {
    /// The same in all of an answer's chunks.
    id: String,
    /// `chat.completion.chunk`.
    object: String,
    /// Seconds since 1970.
    created: u64,
    /// `provider/model` that answers.
    model: String,
    /// One with a `delta`; none in the chunk with `usage`.
    #[schema(value_type = Vec<Object>)]
    choices: Vec<Value>,
    /// With `include_usage`: in the last chunk; `null` in the others.
    usage: Option<Used>,
}
