//! A session's `state` hash: field names and the words in them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The fields of the hash. All values are text; times are Unix ms.
pub mod field {
    /// One of [`super::SessionStatus`].
    pub const STATUS: &str = "status";
    /// The container that serves the session.
    pub const CONTAINER_ID: &str = "containerId";
    /// On whose behalf it was claimed.
    pub const AGENT_ID: &str = "agentId";
    /// The model asked for, or the one that `claude` last reported.
    pub const MODEL: &str = "model";
    /// The running turn, empty between turns.
    pub const TURN: &str = "turn";
    /// `1`: Redis had lost it, and this was written down from memory; its wrapper has not said yet
    /// how it stands.
    pub const UNSURE: &str = "unsure";
    /// Rewritten by the wrapper every few seconds.
    pub const LAST_HEARTBEAT: &str = "lastHeartbeat";
    /// When the session was claimed.
    pub const STARTED_AT: &str = "startedAt";
    /// The last prompt or terminal event.
    pub const LAST_ACTIVITY: &str = "lastActivity";
    /// How many turns have ended.
    pub const TURNS: &str = "turns";
    /// The `seq` of the newest envelope.
    pub const SEQ: &str = "seq";
    /// The session id that `claude` itself uses.
    pub const CLI_SESSION_ID: &str = "cliSessionId";
    /// The number of the last batch that was applied; makes publishing idempotent.
    pub const BATCH: &str = "batch";
    /// When it ended, if it has.
    pub const ENDED_AT: &str = "endedAt";
    /// `true` once a reader of the running turn has seen something of the answer.
    pub const VISIBLE_OUTPUT: &str = "visibleOutput";
    /// `true` while a tool of the running turn has, or may have, acted.
    pub const TOOL_EFFECTS: &str = "toolEffects";
    /// How often `claude` was started again because it hung or ended.
    pub const RESPAWNS: &str = "respawns";
    /// JSON: the permission requests that wait, as
    /// [`PendingPermission`](crate::permission::PendingPermission)s.
    pub const PERMISSIONS: &str = "permissions";
    /// JSON: what became of the last ones, as
    /// [`SettledPermission`](crate::permission::SettledPermission)s.
    pub const PERMISSIONS_SETTLED: &str = "permissionsSettled";
    /// JSON: the calls of the caller's functions that wait for a result, as
    /// [`PendingFunction`](crate::function::PendingFunction)s.
    pub const FUNCTIONS: &str = "functions";
    /// JSON: what became of the last results, as
    /// [`TakenResults`](crate::function::TakenResults).
    pub const FUNCTIONS_TAKEN: &str = "functionsTaken";
    /// What the session has cost so far, in US dollars.
    pub const COST_USD: &str = "costUsd";
}

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionStatus {
    /// Bound to a container, between turns.
    Assigned,
    /// A turn is running.
    Busy,
    /// Finishing, then gone.
    Draining,
    /// Its container is gone; keys stay readable for a while.
    Ended,
}

impl SessionStatus {
    /// The word in the hash.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Assigned => "assigned",
            Self::Busy => "busy",
            Self::Draining => "draining",
            Self::Ended => "ended",
        }
    }
}

impl fmt::Display for SessionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no status.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a session status")]
pub struct UnknownStatus(pub String);

impl FromStr for SessionStatus {
    type Err = UnknownStatus;
    fn from_str(word: &str) -> Result<Self, UnknownStatus> {
        [Self::Assigned, Self::Busy, Self::Draining, Self::Ended]
            .into_iter()
            .find(|status| status.as_str() == word)
            .ok_or_else(|| UnknownStatus(word.to_owned()))
    }
}
