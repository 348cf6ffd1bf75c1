//! What the stand-in remembers of a request.

use std::sync::{Arc, OnceLock};

use axum::http::HeaderMap;
use bytes::Bytes;
use serde::{Serialize, Serializer};
use serde_json::{Value, value::RawValue};
use sha2::{Digest, Sha256};

use crate::conversation::{ApiRequest, Conversation};

/// Larger bodies are not kept.
pub(crate) const BODY_KEPT: usize = 1024 * 1024;

/// One request as it arrived. Its JSON form is what `GET /_scripted/requests` lists.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordedRequest {
    /// Counts from 1 in the order of arrival.
    pub seq: u64,
    pub received_at_unix_ms: u64,
    pub method: String,
    pub path: String,
    pub query: Option<String>,
    pub auth: Auth,
    /// From the CLI's `x-claude-code-session-id` header.
    pub session_id: Option<String>,
    /// From the CLI's `x-claude-code-agent-id` header, set for subagents.
    pub agent_id: Option<String>,
    pub user_agent: Option<String>,
    pub model: Option<String>,
    pub stream: bool,
    pub max_tokens: Option<u64>,
    pub tool_names: Vec<String>,
    pub message_count: usize,
    /// The newest prompt, first 2000 characters.
    pub last_user_text: String,
    pub body_bytes: usize,
    /// The body if it was JSON and is still kept.
    #[serde(serialize_with = "as_json")]
    pub(crate) body: Option<Bytes>,
    /// How the answer ended; unset while it is being given.
    #[serde(serialize_with = "as_option")]
    pub(crate) outcome: Arc<OnceLock<Outcome>>,
}

/// How the answer to a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// Everything was handed to the connection.
    Sent,
    /// The scene closed the connection.
    Cut,
    /// The client went away first, or the stand-in shut down.
    ClientGone,
}

/// Which credential a request carried. Real values are never kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Auth {
    None,
    ApiKey { credential: Credential },
    Bearer { credential: Credential },
}

/// A credential that can be told apart from others but not used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Credential {
    /// Its value says that it is a fake (it contains `fake`), so it is kept.
    Fake(String),
    /// The first 12 hexadecimal digits of its SHA-256.
    Sha256Prefix(String),
}

impl Auth {
    /// The credential of these headers; `x-api-key` wins.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        if let Some(key) = header(headers, "x-api-key") {
            return Self::ApiKey {
                credential: Credential::of(&key),
            };
        }
        match header(headers, "authorization") {
            Some(value) => {
                let token = value.strip_prefix("Bearer ").unwrap_or(&value);
                Self::Bearer {
                    credential: Credential::of(token),
                }
            }
            None => Self::None,
        }
    }
}

impl Credential {
    /// Keeps a fake value, digests any other.
    #[must_use]
    pub fn of(value: &str) -> Self {
        if value.contains("fake") {
            return Self::Fake(value.to_owned());
        }
        let digest = hex::encode(Sha256::digest(value.as_bytes()));
        Self::Sha256Prefix(digest[..12].to_owned())
    }
}

impl RecordedRequest {
    /// The whole body; `None` if it was no JSON or is not kept (too large, too old).
    #[must_use]
    pub fn body(&self) -> Option<Value> {
        serde_json::from_slice(self.body.as_ref()?).ok()
    }

    /// The texts of the top-level `system` field, joined by blank lines; empty without one.
    #[must_use]
    pub fn system_text(&self) -> String {
        self.body()
            .map_or_else(String::new, |body| texts(&body["system"]).join("\n\n"))
    }

    /// The entries of `messages`; empty when the body is not kept.
    #[must_use]
    pub fn messages(&self) -> Vec<Value> {
        match self.body().map(|mut body| body["messages"].take()) {
            Some(Value::Array(messages)) => messages,
            Some(_) | None => Vec::new(),
        }
    }

    /// The text blocks of all messages with this role, in order. The CLI puts parts of its system
    /// prompt into messages with the role `system`.
    #[must_use]
    pub fn texts_of_role(&self, role: &str) -> Vec<String> {
        let messages = self.messages();
        let of_role = messages.iter().filter(|message| message["role"] == role);
        of_role
            .flat_map(|message| texts(&message["content"]))
            .map(str::to_owned)
            .collect()
    }

    /// How the answer ended; `None` while it is being given.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome.get().copied()
    }

    pub(crate) fn describe(&mut self, request: &ApiRequest) {
        self.model = Some(request.model.clone());
        self.stream = request.stream == Some(true);
        self.max_tokens = request.max_tokens;
        let tools = request.tools.iter().flatten();
        self.tool_names = tools.filter_map(|tool| tool.name.clone()).collect();
        self.message_count = request.messages.len();
        let conversation = Conversation::of(&request.messages);
        self.last_user_text = conversation.newest_prompt().chars().take(2000).collect();
    }
}

pub(crate) fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

fn texts(content: &Value) -> Vec<&str> {
    match content {
        Value::String(text) => vec![text],
        Value::Array(blocks) => blocks
            .iter()
            .filter_map(|block| block["text"].as_str())
            .collect(),
        _ => Vec::new(),
    }
}

fn as_json<S: Serializer>(body: &Option<Bytes>, serializer: S) -> Result<S::Ok, S::Error> {
    let json: Option<&RawValue> = body
        .as_ref()
        .and_then(|bytes| serde_json::from_slice(bytes).ok());
    json.serialize(serializer)
}

fn as_option<S: Serializer>(
    outcome: &Arc<OnceLock<Outcome>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    outcome.get().serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth(name: &'static str, value: &'static str) -> Auth {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        Auth::of(&headers)
    }

    #[test]
    fn only_fake_credentials_are_kept() {
        let fake = Credential::Fake("sk-ant-fake".into());
        assert_eq!(
            auth("x-api-key", "sk-ant-fake"),
            Auth::ApiKey { credential: fake }
        );
        let Auth::Bearer { credential } = auth("authorization", "Bearer some-token") else {
            panic!("not a bearer token");
        };
        let Credential::Sha256Prefix(prefix) = &credential else {
            panic!("kept in clear")
        };
        assert_eq!(prefix.len(), 12);
        assert_eq!(credential, Credential::of("some-token"));
        assert_eq!(Auth::of(&HeaderMap::new()), Auth::None);
    }
}
