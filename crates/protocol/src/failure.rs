//! Why a turn or a request failed, in words that a program can act on.

use serde::{Deserialize, Serialize};

/// The kinds of failure. A fallback chain, a status code and a person all decide by this one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// No container was free in time.
    Exhausted,
    /// Redis, Docker or the model's service is out of reach.
    Unavailable,
    /// The credential is missing, refused, or its account cannot pay.
    Auth,
    /// The model's service asks to wait.
    RateLimited,
    /// The model's service says that it is overloaded.
    Overloaded,
    /// The request itself cannot be answered, here or elsewhere.
    InvalidRequest,
    /// A limit set on the run was reached: turns, budget, output length.
    MaxTurns,
    /// Somebody stopped the turn.
    Interrupted,
    /// The turn was silent for too long.
    Stalled,
    /// The container or the CLI in it ended during the turn.
    ContainerLost,
    /// The turn took longer than it may.
    Timeout,
    /// Anything else; a defect of ccpool or of the CLI.
    Internal,
}

impl FailureKind {
    /// All kinds, for tables and tests.
    pub const ALL: [Self; 12] = [
        Self::Exhausted,
        Self::Unavailable,
        Self::Auth,
        Self::RateLimited,
        Self::Overloaded,
        Self::InvalidRequest,
        Self::MaxTurns,
        Self::Interrupted,
        Self::Stalled,
        Self::ContainerLost,
        Self::Timeout,
        Self::Internal,
    ];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exhausted => "exhausted",
            Self::Unavailable => "unavailable",
            Self::Auth => "auth",
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::InvalidRequest => "invalid_request",
            Self::MaxTurns => "max_turns",
            Self::Interrupted => "interrupted",
            Self::Stalled => "stalled",
            Self::ContainerLost => "container_lost",
            Self::Timeout => "timeout",
            Self::Internal => "internal",
        }
    }
}

impl std::fmt::Display for FailureKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
