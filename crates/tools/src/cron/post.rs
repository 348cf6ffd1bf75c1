//! Where messages go.

use std::fmt;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::message::Channels;
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

#[async_trait]
impl Post for Channels {
    fn names(&self) -> Vec<String> {
        Self::names(self).map(str::to_owned).collect()
    }

    async fn send(
        &self,
        channel: &str,
        from: &Caller,
        text: &str,
        cancelled: &CancellationToken,
    ) -> Result<(), Refusal> {
        Self::send(self, channel, from, text, cancelled).await
    }
}
