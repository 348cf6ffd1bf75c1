//! What the reconciler hears over a channel.

use std::sync::Arc;

use crate::listener::{Listener, Signal};

/// What has come over a channel.
pub(crate) enum Heard {
    Message(Arc<str>),
    /// Something, but not what: look.
    Something,
    /// The subscription is gone.
    Nothing,
}

/// Waits for the next. Without a subscription it waits for ever.
pub(crate) async fn heard(channel: &mut Option<Listener>) -> Heard {
    match channel {
        Some(listener) => match listener.next().await {
            Some(Signal::Message(message)) => Heard::Message(message),
            Some(Signal::Missed) => Heard::Something,
            None => Heard::Nothing,
        },
        None => std::future::pending().await,
    }
}
