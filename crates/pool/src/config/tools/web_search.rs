//! `tools.webSearch`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::given::Given;
use crate::config::key_path::KeyPath;
use crate::config::show::millis;
use crate::config::units::Millis;
use crate::config::validate::Check;

/// Searching the web.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSearch {
    /// How long one attempt may take.
    pub timeout: Duration,
}

/// Searching the web.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawWebSearch {
    /// How long one attempt may take, in milliseconds.
    timeout_ms: Given<Millis<1>>,
}

impl Default for RawWebSearch {
    fn default() -> Self {
        Self {
            timeout_ms: Given::of(15_000),
        }
    }
}

impl Check<'_> {
    pub(super) fn web_search(&mut self, at: &KeyPath, raw: &RawWebSearch) -> WebSearch {
        let RawWebSearch { timeout_ms } = raw;
        let default = RawWebSearch::default();
        WebSearch {
            timeout: self
                .value(&at.key("timeoutMs"), timeout_ms, &default.timeout_ms)
                .into(),
        }
    }
}

impl WebSearch {
    pub(super) fn shown(&self) -> Value {
        json!({"timeoutMs": millis(self.timeout)})
    }
}
