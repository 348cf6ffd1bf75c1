//! What a claimed container is told, through its `inbox`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{AgentId, SessionId};

/// From now on this container serves one session, and no other until it is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Assignment {
    /// The session to serve.
    pub session: SessionId,
    /// On whose behalf.
    pub agent: AgentId,
    /// Another model than the one `claude` was started with; sent with the first prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The system prompt, in the place of the one that `claude` has; sent with the first prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_prompt: Option<String>,
    /// Appended to the system prompt; sent with the first prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub append_system_prompt: Option<String>,
    /// The JSON Schema of its answers, which are objects then; sent with the first prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Map<String, Value>>,
    /// The session that has asked for this one, and how many generations there are before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
}

/// Where a session that another one has asked for comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// The session that has asked for it.
    pub session: SessionId,
    /// 1 for the child of a session that a person has begun.
    pub depth: u32,
}
