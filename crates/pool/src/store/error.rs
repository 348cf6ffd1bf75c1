//! What can go wrong with the shared state.

use redis::{RedisError, ServerError};

/// By what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No connection, or no answer in time.
    #[error("Redis cannot be reached: {}", brief(source))]
    Unreachable {
        #[source]
        source: RedisError,
    },
    /// Redis has lost its data, and no gateway has written it down again yet.
    #[error("Redis has lost its data; what is known of running containers is being written again")]
    Emptied,
    /// `redis.acl` is on, and Redis does not let containers have users.
    #[error(
        "redis.acl is on, but Redis refuses to keep users for containers: {}",
        detail(source)
    )]
    NoUsers {
        #[source]
        source: RedisError,
    },
    /// Redis answered something that ccpool does not understand.
    #[error("Redis answered unexpectedly: {0}")]
    Broken(String),
}

/// The first line of the client's error; it names addresses, never passwords.
fn brief(error: &RedisError) -> String {
    error
        .to_string()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// What the server says of the first command that it refused.
fn detail(error: &RedisError) -> String {
    let said = refused(error).and_then(|first| first.details().map(str::to_owned));
    said.unwrap_or_else(|| brief(error))
}

/// The first error of a pipeline or a transaction, or the only one.
fn refused(error: &RedisError) -> Option<ServerError> {
    let all = error.clone().into_server_errors()?;
    all.first().map(|(_, first)| first.clone())
}

impl StoreError {
    /// It has not answered others for a while.
    pub(crate) fn silent() -> Self {
        let detail = std::io::Error::new(std::io::ErrorKind::TimedOut, "it does not answer");
        Self::Unreachable {
            source: detail.into(),
        }
    }

    /// Whether the same call can succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Emptied)
    }
}

impl StoreError {
    /// The answer to a command about users.
    pub(super) fn of_users(source: RedisError) -> Self {
        match Self::from(source.clone()) {
            Self::Broken(_) => Self::NoUsers { source },
            other @ (Self::Unreachable { .. } | Self::Emptied | Self::NoUsers { .. }) => other,
        }
    }
}

impl From<RedisError> for StoreError {
    fn from(source: RedisError) -> Self {
        let lost = source.is_io_error()
            || source.is_timeout()
            || source.is_connection_dropped()
            || source.is_connection_refusal();
        // A server that is still loading its data, or has no memory left, answers with a code.
        let refused = refused(&source);
        let code = refused
            .as_ref()
            .map_or_else(|| source.code(), |first| Some(first.code()));
        let not_now = matches!(
            code,
            Some(
                "LOADING" | "BUSY" | "MASTERDOWN" | "READONLY" | "OOM" | "CLUSTERDOWN" | "TRYAGAIN"
            )
        );
        if lost || not_now {
            Self::Unreachable { source }
        } else {
            Self::Broken(brief(&source))
        }
    }
}
