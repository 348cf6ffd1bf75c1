use ccpool::PoolError;
use serde_json::Value;

/// What a tool answers: text for the model, and the same as data for programs.
///
/// The data travels in the result's `_meta`, as `ccpool/data`. As `structuredContent` Claude Code
/// would show it to the model in the place of the text.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// What the model reads.
    pub text: String,
    /// The same as JSON, for clients that compute with it.
    pub data: Option<Value>,
}

/// A call that did not work. The model reads it and goes on, so it says what to do instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(String);

impl Answer {
    /// Text alone.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            data: None,
        }
    }

    /// Text, and the same as JSON.
    pub fn with_data(text: impl Into<String>, data: Value) -> Self {
        Self {
            text: text.into(),
            data: Some(data),
        }
    }
}

impl Refusal {
    /// One or two sentences: what is wrong, and what mends it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// What the model reads.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The pool's errors name nothing that a container may not know.
impl From<PoolError> for Refusal {
    fn from(error: PoolError) -> Self {
        let text = match &error {
            PoolError::Unavailable { .. } | PoolError::Internal(_) => {
                tracing::warn!(%error, "a tool could not be served");
                "The gateway cannot do that right now. Try again in a moment.".to_owned()
            }
            PoolError::Exhausted { retry_after, .. } => format!(
                "No container is free: {error}. Try again in {} s, or end a session.",
                retry_after.as_secs().max(1)
            ),
            PoolError::UnknownSession(_)
            | PoolError::UnknownPermission { .. }
            | PoolError::Settled(_)
            | PoolError::InvalidRequest(_) => {
                format!("That cannot be done: {error}.")
            }
        };
        Self(text)
    }
}
