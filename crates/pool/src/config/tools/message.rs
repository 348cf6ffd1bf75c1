//! `tools.message`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::given::Given;
use crate::config::key_path::KeyPath;
use crate::config::show::millis;
use crate::config::units::Millis;
use crate::config::validate::Check;

/// Messages to channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Messages {
    /// How long one attempt may take.
    pub timeout: Duration,
}

/// Messages to channels.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawMessages {
    /// How long one attempt may take, in milliseconds.
    timeout_ms: Given<Millis<1>>,
}

impl Default for RawMessages {
    fn default() -> Self {
        Self {
            timeout_ms: Given::of(10_000),
        }
    }
}

impl Check<'_> {
    pub(super) fn messages(&mut self, at: &KeyPath, raw: &RawMessages) -> Messages {
        let RawMessages { timeout_ms } = raw;
        let default = RawMessages::default();
        Messages {
            timeout: self
                .value(&at.key("timeoutMs"), timeout_ms, &default.timeout_ms)
                .into(),
        }
    }
}

impl Messages {
    pub(super) fn shown(&self) -> Value {
        json!({"timeoutMs": millis(self.timeout)})
    }
}
