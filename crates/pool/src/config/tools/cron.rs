//! `tools.cron`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::given::Given;
use crate::config::key_path::KeyPath;
use crate::config::show::millis;
use crate::config::units::Millis;
use crate::config::validate::Check;

/// Prompts and messages at set times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    /// How long one attempt may take.
    pub timeout: Duration,
}

/// Prompts and messages at set times.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawCron {
    /// How long one attempt may take, in milliseconds.
    timeout_ms: Given<Millis<1>>,
}

impl Default for RawCron {
    fn default() -> Self {
        Self {
            timeout_ms: Given::of(60_000),
        }
    }
}

impl Check<'_> {
    pub(super) fn cron(&mut self, at: &KeyPath, raw: &RawCron) -> Cron {
        let RawCron { timeout_ms } = raw;
        let default = RawCron::default();
        Cron {
            timeout: self
                .value(&at.key("timeoutMs"), timeout_ms, &default.timeout_ms)
                .into(),
        }
    }
}

impl Cron {
    pub(super) fn shown(&self) -> Value {
        json!({"timeoutMs": millis(self.timeout)})
    }
}
