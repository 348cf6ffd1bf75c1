//! What a provider is asked.

use ccpool_protocol::AgentId;
use ccpool_protocol::function::{FunctionCall, FunctionTool};
use serde::{Deserialize, Serialize};

use crate::output_schema::OutputSchema;

/// A conversation as its client tells it, whose end awaits an answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Conversation {
    /// Who asks. Conversations of different callers never meet.
    pub caller: String,
    /// The caller's own name for the conversation. Without one it is known by its beginning.
    pub name: Option<String>,
    /// Others of the caller's conversations may go by the same name. Then one whose history does not
    /// fit is another one, without a name, and not this one with its history changed.
    pub shares_name: bool,
    /// On whose behalf a container works.
    pub agent: AgentId,
    /// `provider/model`, or a model alone: an alias (`opus`) or a full id. None: the configured one.
    pub model: Option<String>,
    /// The client's system prompt.
    pub system: Option<String>,
    /// What it does to the one that the model has otherwise.
    pub system_mode: SystemMode,
    /// What was said, the oldest first. After the model's last words comes a [`Message::User`] or a
    /// [`Message::Tool`].
    pub messages: Vec<Message>,
    /// The form of the answer, which is the `structured_output` of its `completed` then. What the model
    /// says beside it is no part of the conversation. None: it is words.
    pub output_schema: Option<OutputSchema>,
    /// Functions of the client's that the model may call.
    pub tools: Vec<FunctionTool>,
    /// Whether it must.
    pub tool_choice: ToolChoice,
    /// Only one call is given at a time.
    pub single_calls: bool,
    /// The longest answer in tokens, for providers that can be told.
    pub max_tokens: Option<u32>,
    /// Texts at which the answer ends, for providers that can be told.
    pub stop: Vec<String>,
}

/// What a client's system prompt does to the one of Claude Code.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SystemMode {
    /// It comes after it.
    #[default]
    Append,
    /// It stands in its place.
    Replace,
}

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// The user's.
    User(Vec<Content>),
    /// The model's.
    Assistant {
        /// What it said; empty when it only called functions.
        text: String,
        /// The client's functions that it called.
        calls: Vec<FunctionCall>,
    },
    /// The result of a call.
    Tool {
        /// Which one.
        call: String,
        /// What came of it.
        content: Vec<Content>,
    },
    /// What the client's software adds to a prompt and does not keep: it stands here and there, or
    /// nowhere, each time that the conversation is told. It is told the model with a new prompt, and
    /// is no part of what was said.
    Aside(Vec<Content>),
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Text.
    Text(String),
    /// An image.
    Image(ImageSource),
}

/// Where an image is.
#[derive(Debug, Clone, PartialEq)]
pub enum ImageSource {
    /// Here.
    Base64 {
        /// `image/png`, say.
        media_type: String,
        /// The bytes in base64.
        data: String,
    },
    /// Wherever the model's service fetches it.
    Url(String),
}

/// Whether the model may, must or must not call functions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ToolChoice {
    /// It may.
    #[default]
    Auto,
    /// It must not.
    None,
    /// It must call some.
    Required,
    /// It must call this one.
    Function(String),
}

impl Conversation {
    /// How many messages come before what is new: all up to the model's last one. An aside may be
    /// among either.
    pub fn known(&self) -> usize {
        let last = |message: &Message| matches!(message, Message::Assistant { .. });
        self.messages.iter().rposition(last).map_or(0, |at| at + 1)
    }
}

impl Message {
    /// A user's text.
    pub fn user(text: impl Into<String>) -> Self {
        Self::User(vec![Content::Text(text.into())])
    }

    /// The model's text.
    pub fn assistant(text: impl Into<String>) -> Self {
        Self::Assistant {
            text: text.into(),
            calls: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_comes_after_the_models_last_words() {
        let mut conversation = Conversation::default();
        assert_eq!(conversation.known(), 0);
        conversation.messages.push(Message::user("a"));
        assert_eq!(conversation.known(), 0);
        conversation.messages.push(Message::assistant("b"));
        conversation.messages.push(Message::user("c"));
        conversation.messages.push(Message::user("d"));
        conversation.messages.push(Message::Aside(Vec::new()));
        assert_eq!(conversation.known(), 2);
    }
}
