//! Where messages go.

use std::fmt;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::{Caller, Refusal};

/// The channels that messages can be sent to.
#[async_trait]
pub(crate) trait Post: Send + Sync + fmt::Debug {
    /// The channels' names.
    fn names(&self) -> Vec<String>;

    /// Sends a text to a channel.
    async fn send(
        &self,
        channel: &str,
        from: &Caller,
        text: &str,
        cancelled: &CancellationToken,
    ) -> Result<(), Refusal>;
}

/// There is none.
#[derive(Debug)]
pub(crate) struct NoChannels;

#[async_trait]
impl Post for NoChannels {
    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    async fn send(
        &self,
        channel: &str,
        _: &Caller,
        _: &str,
        _: &CancellationToken,
    ) -> Result<(), Refusal> {
        Err(Refusal::new(format!("There is no channel `{channel}`.")))
    }
}
