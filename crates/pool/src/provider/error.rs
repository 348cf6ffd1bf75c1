use std::time::Duration;

use ccpool_protocol::FailureKind;

use super::Passed;
use crate::error::PoolError;

/// Why a provider did not begin to answer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// What a program acts on.
    pub kind: FailureKind,
    /// What is wrong, and what mends it.
    pub message: String,
    /// When it makes sense to try again.
    pub retry_after: Option<Duration>,
    /// Others that were asked before, and did not answer either.
    pub passed: Vec<Passed>,
}

impl Refused {
    /// A refusal of this kind.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            retry_after: None,
            passed: Vec::new(),
        }
    }
}

impl From<PoolError> for Refused {
    fn from(error: PoolError) -> Self {
        let mend = error
            .mend()
            .map_or(String::new(), |mend| format!("; {mend}"));
        Self {
            kind: error.kind(),
            retry_after: error.retry_after(),
            message: format!("{error}{mend}"),
            passed: Vec::new(),
        }
    }
}
