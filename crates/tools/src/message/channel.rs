use std::future::Future;
use std::time::SystemTime;

use ccpool::{AgentId, SessionId};
use futures::FutureExt;
use futures::future::BoxFuture;
use uuid::Uuid;

use crate::Refusal;

/// A text that an agent sends somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its own id. It stays the same when the message is sent again, so that a receiver can drop
    /// doubles.
    pub id: Uuid,
    /// The channel's name.
    pub channel: String,
    /// What is said; not empty.
    pub text: String,
    /// The session that sends it.
    pub session: SessionId,
    /// On whose behalf.
    pub agent: AgentId,
    /// When it was sent first.
    pub sent_at: SystemTime,
}

/// Where messages can go. Those of the configuration are built in; a program that embeds the
/// library adds its own to [`crate::Channels`].
pub trait Channel: Send + Sync + 'static {
    /// What it is for, told to agents.
    fn description(&self) -> Option<&str> {
        None
    }

    /// Sends it; `Ok` once it has arrived. The future is dropped when the call is cancelled.
    ///
    /// # Errors
    /// What the model is told when it did not arrive.
    fn send(&self, message: &Message) -> impl Future<Output = Result<(), Refusal>> + Send;
}

/// A [`Channel`] of any kind.
pub(super) trait AnyChannel: Send + Sync {
    fn description(&self) -> Option<&str>;
    fn send<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Result<(), Refusal>>;
}

impl<C: Channel> AnyChannel for C {
    fn description(&self) -> Option<&str> {
        Channel::description(self)
    }

    fn send<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Result<(), Refusal>> {
        Channel::send(self, message).boxed()
    }
}
