//! `tools.message`.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::channel::{Channel, RawChannel};
use crate::config::given::Given;
use crate::config::key_path::KeyPath;
use crate::config::show::millis;
use crate::config::units::{Count, Millis};
use crate::config::validate::Check;

/// Messages to channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Messages {
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How often a message is sent again that may not have arrived.
    pub retries: u32,
    /// Where messages can go, by name.
    pub channels: BTreeMap<String, Channel>,
}

/// Messages to channels.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawMessages {
    /// How long one attempt may take, in milliseconds.
    timeout_ms: Given<Millis<1>>,
    /// How often a message is sent again that may not have arrived.
    retries: Given<Count<0, 10>>,
    /// Where messages can go, by name.
    channels: BTreeMap<String, RawChannel>,
}

impl Default for RawMessages {
    fn default() -> Self {
        Self {
            timeout_ms: Given::of(10_000),
            retries: Given::of(3),
            channels: BTreeMap::new(),
        }
    }
}

impl Check<'_> {
    pub(super) fn messages(&mut self, at: &KeyPath, raw: &RawMessages) -> Messages {
        let RawMessages {
            timeout_ms,
            retries,
            channels,
        } = raw;
        let default = RawMessages::default();
        Messages {
            timeout: self
                .value(&at.key("timeoutMs"), timeout_ms, &default.timeout_ms)
                .into(),
            retries: self.value(&at.key("retries"), retries, &default.retries).0,
            channels: self.channels(&at.key("channels"), channels),
        }
    }
}

impl Messages {
    pub(super) fn shown(&self) -> Value {
        let channels = self.channels.iter();
        let channels: serde_json::Map<String, Value> = channels
            .map(|(name, channel)| (name.clone(), channel.shown()))
            .collect();
        json!({
            "timeoutMs": millis(self.timeout),
            "retries": self.retries,
            "channels": channels,
        })
    }
}
