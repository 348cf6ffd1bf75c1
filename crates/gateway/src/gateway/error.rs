//! Why the gateway did not start, in words of what mends it.

use std::io;
use std::net::SocketAddr;

use ccpool::runtime::RuntimeError;
use ccpool::{AddressError, EmbeddedError, PoolError};
use ccpool_providers::{NotAnAddress, UnknownProvider};

use crate::cli::{CliError, Exit};

/// By what mends it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GatewayError {
    /// Somebody else listens there.
    #[error("{address} is taken by another program, perhaps another ccpool")]
    AddressTaken { address: SocketAddr },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        address: SocketAddr,
        source: io::Error,
    },
    /// The process runtime needs the wrapper.
    #[error("there is no `{0}` next to this program or on PATH")]
    NoWrapper(&'static str),
    /// The private Redis.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// Redis' address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The container runtime.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The pool.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The address of the Messages API.
    #[error(transparent)]
    Anthropic(#[from] NotAnAddress),
    /// A model that nobody here serves.
    #[error(transparent)]
    Provider(#[from] UnknownProvider),
    /// The metrics recorder is there already, or its settings are wrong.
    #[error("cannot record metrics: {0}")]
    Metrics(String),
    /// A server that should run until it is told to stop has ended.
    #[error("the {name} server ended: {why}")]
    ServerEnded { name: &'static str, why: String },
}

impl From<GatewayError> for CliError {
    fn from(error: GatewayError) -> Self {
        let message = error.to_string();
        let unavailable = |message| Self::new(Exit::Unavailable, "unavailable", message);
        match error {
            GatewayError::AddressTaken { .. } => Self::new(Exit::Failed, "address_taken", message)
                .mend("stop it, or choose another port with --listen or http.listen"),
            GatewayError::Listen { .. } => Self::new(Exit::Failed, "listen", message)
                .mend("choose an address of this host with --listen or http.listen"),
            GatewayError::NoWrapper(_) => Self::new(Exit::Usage, "config", message)
                .mend("build it (`cargo build -p ccpool-wrapper`), or name it with --wrapper"),
            GatewayError::Embedded(EmbeddedError::NotInstalled) => {
                unavailable("neither redis-server nor valkey-server is on PATH".to_owned())
                    .mend("install one, or set redis.url")
            }
            GatewayError::Embedded(EmbeddedError::Io { .. } | EmbeddedError::NotUp(_)) => {
                unavailable(message).mend("choose another dataDir, or set redis.url")
            }
            GatewayError::Address(_) => {
                Self::new(Exit::Usage, "config", message).mend("correct redis.url")
            }
            // They say what mends them.
            GatewayError::Anthropic(_) | GatewayError::Provider(_) => {
                Self::new(Exit::Usage, "config", message)
            }
            GatewayError::Runtime(runtime) => unavailable(message).mend(runtime.mend()),
            GatewayError::Pool(pool) => pool.into(),
            GatewayError::Metrics(_) | GatewayError::ServerEnded { .. } => Self::internal(message),
        }
    }
}
