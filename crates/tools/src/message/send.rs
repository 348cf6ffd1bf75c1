use schemars::JsonSchema;
use serde::Deserialize;

use super::channels::Channels;
use crate::{Answer, Call, Effect, Refusal, Tool};

/// `message`: sends a text to a channel.
#[derive(Debug, Clone)]
pub struct SendMessage {
    channels: Channels,
}

impl SendMessage {
    /// To these channels.
    pub fn through(channels: Channels) -> Self {
        Self { channels }
    }
}

/// What is sent where.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WhatWhere {
    /// The name of the channel. An unknown one is answered with a list of the known ones.
    channel: String,
    /// What to say. How long it may be depends on the channel; a text that is too long is refused
    /// with the limit, and nothing of it is sent.
    text: String,
}

impl Tool for SendMessage {
    type Arguments = WhatWhere;
    const NAME: &'static str = "message";
    const DESCRIPTION: &'static str = "Send a message to people or programs outside of this \
        conversation, through a channel of the gateway. It cannot be taken back, and no answer comes \
        this way. Not for answering in this conversation.";
    const EFFECT: Effect = Effect::Acts;

    async fn call(&self, what: WhatWhere, call: Call) -> Result<Answer, Refusal> {
        let WhatWhere { channel, text } = what;
        self.channels
            .send(&channel, &call.caller, &text, &call.cancelled)
            .await?;
        Ok(Answer::text(format!(
            "The message was sent to `{channel}`."
        )))
    }
}
