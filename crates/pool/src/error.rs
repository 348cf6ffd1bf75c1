//! What can go wrong with a pool, by what the caller can do about it.

use std::time::Duration;

use ccpool_protocol::permission::{PermissionOutcome, SettledPermission};
use ccpool_protocol::{FailureKind, RequestId, SessionId};

use crate::runtime::RuntimeError;
use crate::store::StoreError;

/// An error of the library.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// No container became free in time.
    #[error("{message}")]
    Exhausted {
        /// Which limit was met.
        message: String,
        /// When it makes sense to try again.
        retry_after: Duration,
    },
    /// Redis or the container runtime is out of reach.
    #[error("{what}")]
    Unavailable {
        /// What is out of reach, and why.
        what: String,
        /// What mends it.
        mend: String,
        /// The cause.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// Nobody claimed this session, or it has ended.
    #[error("there is no session `{0}`; it was never claimed, or it has ended")]
    UnknownSession(SessionId),
    /// The session has no permission request of this name, or it ended long ago.
    #[error("session `{session}` has no permission request `{request}`")]
    UnknownPermission {
        /// The session.
        session: SessionId,
        /// The request.
        request: RequestId,
    },
    /// The permission request is no longer open; this became of it.
    #[error("the permission request `{}` {}", .0.request_id, ended(.0.outcome))]
    Settled(Box<SettledPermission>),
    /// The request cannot be served as it is.
    #[error("{0}")]
    InvalidRequest(String),
    /// A defect of ccpool.
    #[error("{0}")]
    Internal(String),
}

impl PoolError {
    /// Names the address at which something could not be reached.
    pub(crate) fn at(self, address: &str) -> Self {
        match self {
            Self::Unavailable { what, mend, source } => Self::Unavailable {
                what: format!("{what} (at {address})"),
                mend,
                source,
            },
            other @ (Self::Exhausted { .. }
            | Self::UnknownSession(_)
            | Self::UnknownPermission { .. }
            | Self::Settled(_)
            | Self::InvalidRequest(_)
            | Self::Internal(_)) => other,
        }
    }

    /// The kind that travels to callers.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Exhausted { .. } => FailureKind::Exhausted,
            Self::Unavailable { .. } => FailureKind::Unavailable,
            Self::UnknownSession(_)
            | Self::UnknownPermission { .. }
            | Self::Settled(_)
            | Self::InvalidRequest(_) => FailureKind::InvalidRequest,
            Self::Internal(_) => FailureKind::Internal,
        }
    }

    /// When it makes sense to try again, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Exhausted { retry_after, .. } => Some(*retry_after),
            Self::Unavailable { .. } => Some(Duration::from_secs(1)),
            Self::UnknownSession(_)
            | Self::UnknownPermission { .. }
            | Self::Settled(_)
            | Self::InvalidRequest(_)
            | Self::Internal(_) => None,
        }
    }

    /// One line that says what mends it, where ccpool knows.
    pub fn mend(&self) -> Option<&str> {
        match self {
            Self::Exhausted { .. } => {
                Some("try again later, end sessions, or raise the pool's limits")
            }
            Self::Unavailable { mend, .. } => Some(mend),
            Self::UnknownSession(_) => Some("claim it first with POST /api/docker-cc/sessions"),
            Self::UnknownPermission { .. } => {
                Some("see what waits with GET /api/docker-cc/sessions/{id}/permissions")
            }
            Self::Settled(_) | Self::InvalidRequest(_) | Self::Internal(_) => None,
        }
    }

    /// Whether the same request can succeed later.
    pub fn is_retryable(&self) -> bool {
        self.retry_after().is_some()
    }
}

/// What became of a request, for a person.
fn ended(outcome: PermissionOutcome) -> &'static str {
    match outcome {
        PermissionOutcome::Allowed => "was allowed already",
        PermissionOutcome::Denied => "was denied already",
        PermissionOutcome::Withdrawn => "was withdrawn: the agent no longer asks",
        PermissionOutcome::TimedOut => "was answered by the policy: nobody did in time",
    }
}

impl From<StoreError> for PoolError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unreachable { .. } => Self::Unavailable {
                what: error.to_string(),
                mend: "start Redis, or correct `redis.url`".to_owned(),
                source: Some(Box::new(error)),
            },
            StoreError::Emptied => Self::Unavailable {
                what: error.to_string(),
                mend: "try again in a second".to_owned(),
                source: Some(Box::new(error)),
            },
            StoreError::NoUsers { .. } => Self::Unavailable {
                what: error.to_string(),
                mend: "give the gateway's user the right to `ACL` (Redis 6.2 or newer), or set \
                       `redis.acl: off`"
                    .to_owned(),
                source: Some(Box::new(error)),
            },
            StoreError::Broken(_) => Self::Internal(error.to_string()),
        }
    }
}

impl From<RuntimeError> for PoolError {
    fn from(error: RuntimeError) -> Self {
        Self::Unavailable {
            what: error.to_string(),
            mend: error.mend().to_owned(),
            source: Some(Box::new(error)),
        }
    }
}
