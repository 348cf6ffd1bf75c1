//! `tools.sessions`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::given::Given;
use crate::config::key_path::KeyPath;
use crate::config::show::millis;
use crate::config::units::{Count, Millis};
use crate::config::validate::Check;

/// Tools that deal with sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionTools {
    /// How many generations of sessions may come of one that a person has begun; 0 allows none.
    pub max_depth: u32,
    /// Longest time that `sessions_send` and `sessions_spawn` wait for an answer.
    pub wait: Duration,
}

/// Tools that deal with sessions.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawSessionTools {
    /// How many generations of sessions `sessions_spawn` may bring forth; 0 turns it off.
    max_depth: Given<Count<0, 16>>,
    /// Longest time that a tool waits for another session's answer, in milliseconds.
    wait_ms: Given<Millis<1>>,
}

impl Default for RawSessionTools {
    fn default() -> Self {
        Self {
            max_depth: Given::of(2),
            wait_ms: Given::of(300_000),
        }
    }
}

impl Check<'_> {
    pub(super) fn session_tools(&mut self, at: &KeyPath, raw: &RawSessionTools) -> SessionTools {
        let RawSessionTools { max_depth, wait_ms } = raw;
        let default = RawSessionTools::default();
        SessionTools {
            max_depth: self
                .value(&at.key("maxDepth"), max_depth, &default.max_depth)
                .0,
            wait: self
                .value(&at.key("waitMs"), wait_ms, &default.wait_ms)
                .into(),
        }
    }
}

impl SessionTools {
    pub(super) fn shown(&self) -> Value {
        json!({"maxDepth": self.max_depth, "waitMs": millis(self.wait)})
    }
}
