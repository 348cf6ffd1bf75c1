//! `tools.webFetch`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::given::Given;
use crate::config::key_path::KeyPath;
use crate::config::show::millis;
use crate::config::units::Millis;
use crate::config::validate::Check;

/// Fetching pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebFetch {
    /// How long one attempt may take.
    pub timeout: Duration,
}

/// Fetching pages.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawWebFetch {
    /// How long one attempt may take, in milliseconds.
    timeout_ms: Given<Millis<1>>,
}

impl Default for RawWebFetch {
    fn default() -> Self {
        Self {
            timeout_ms: Given::of(20_000),
        }
    }
}

impl Check<'_> {
    pub(super) fn web_fetch(&mut self, at: &KeyPath, raw: &RawWebFetch) -> WebFetch {
        let RawWebFetch { timeout_ms } = raw;
        let default = RawWebFetch::default();
        WebFetch {
            timeout: self
                .value(&at.key("timeoutMs"), timeout_ms, &default.timeout_ms)
                .into(),
        }
    }
}

impl WebFetch {
    pub(super) fn shown(&self) -> Value {
        json!({"timeoutMs": millis(self.timeout)})
    }
}
