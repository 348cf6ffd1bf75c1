use ccpool::PoolError;
use serde_json::Value;

/// What a tool answers: text for the model, and the same as data where that helps.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// What the model reads.
    pub text: String,
    /// The same as a JSON object, for clients that compute with it.
    pub structured: Option<Value>,
}

/// A call that did not work. The model reads it and goes on, so it says what to do instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(String);

impl Answer {
    /// Text alone.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            structured: None,
        }
    }

    /// Text, and the same as a JSON object.
    pub fn with_data(text: impl Into<String>, structured: Value) -> Self {
        Self {
            text: text.into(),
            structured: Some(structured),
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
            PoolError::UnknownSession(_) | PoolError::InvalidRequest(_) => {
                format!("That cannot be done: {error}.")
            }
        };
        Self(text)
    }
}
