//! The two hashes of a container: what the pool decided, and what the wrapper says of itself.
//!
//! They are apart so that nothing inside a container can write what the pool believes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::state::UnknownStatus;

/// Fields of the record, written by gateways. Times are Unix ms.
pub mod field {
    /// One of [`super::ContainerState`].
    pub const STATE: &str = "state";
    /// The session it is bound to.
    pub const SESSION: &str = "session";
    /// On whose behalf.
    pub const AGENT: &str = "agent";
    /// What it was made from; a container whose fingerprint is outdated is replaced.
    pub const FINGERPRINT: &str = "fingerprint";
    /// SHA-256 of its bearer token, in hex.
    pub const TOKEN_HASH: &str = "tokenHash";
    /// SHA-256 of its Redis user's password, in hex; none without `redis.acl`.
    pub const ACL_HASH: &str = "aclHash";
    /// What it is told once its user may reach the session; see [`crate::assignment::Assignment`].
    pub const ASSIGNMENT: &str = "assignment";
    /// The runtime's own id (Docker's, or a process id).
    pub const RUNTIME_ID: &str = "runtimeId";
    /// On which host it runs; see `docs/redis.md`.
    pub const HOST: &str = "host";
    /// The gateway that holds its claim.
    pub const OWNER: &str = "owner";
    /// The number of its claim; another one after another gateway has taken it over.
    pub const CLAIM: &str = "claim";
    /// Asked of the runtime.
    pub const CREATED_AT: &str = "createdAt";
    /// Its token has listed the gateway's tools.
    pub const TOOLS_LISTED_AT: &str = "toolsListedAt";
    /// It became claimable.
    pub const WARM_AT: &str = "warmAt";
    /// It was claimed.
    pub const ASSIGNED_AT: &str = "assignedAt";
    /// Why it failed or drains.
    pub const REASON: &str = "reason";
}

/// Fields of the report, written by the wrapper. Times are Unix ms.
pub mod report {
    /// The wrapper runs and has reached Redis.
    pub const REGISTERED_AT: &str = "registeredAt";
    /// `claude` has booted and answered the probe.
    pub const READY_AT: &str = "readyAt";
    /// Rewritten every few seconds.
    pub const HEARTBEAT: &str = "heartbeat";
    /// The session id that `claude` was started with.
    pub const CLI_SESSION_ID: &str = "cliSessionId";
    /// The session that it has been assigned to.
    pub const SESSION: &str = "session";
    /// SHA-1 of the [`crate::scripts::PUBLISH`] that it calls.
    pub const SCRIPT: &str = "script";
    /// The wrapper's version.
    pub const WRAPPER_VERSION: &str = "wrapperVersion";
    /// Why it gave up, in one line.
    pub const FAILURE: &str = "failure";
}

/// Where a container stands, as the pool sees it.
///
/// `booting` (registered, not yet ready) and `busy` (a turn is running) are told by the report and
/// by the session's state; they are not stored twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainerState {
    /// Asked of the runtime.
    Creating,
    /// Claimable.
    Warm,
    /// Bound to a session.
    Assigned,
    /// On its way out.
    Draining,
    /// Broken; kept until its last log lines are read.
    Failed,
}

impl ContainerState {
    /// The word in the hash.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Warm => "warm",
            Self::Assigned => "assigned",
            Self::Draining => "draining",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for ContainerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ContainerState {
    type Err = UnknownStatus;
    fn from_str(word: &str) -> Result<Self, UnknownStatus> {
        [
            Self::Creating,
            Self::Warm,
            Self::Assigned,
            Self::Draining,
            Self::Failed,
        ]
        .into_iter()
        .find(|state| state.as_str() == word)
        .ok_or_else(|| UnknownStatus(word.to_owned()))
    }
}
