//! Which tools may be used: `tools.allow`, `tools.deny`, and the same of single agents.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::given::Given;
use crate::config::key_path::KeyPath;
use crate::config::units::Text;
use crate::config::validate::Check;

/// Names of tools, in which `*` stands for any letters. What is denied is not allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolRules {
    /// What may be used.
    pub allow: Vec<String>,
    /// What may not be used all the same.
    pub deny: Vec<String>,
}

impl ToolRules {
    /// Everything may be used.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            allow: vec!["*".to_owned()],
            deny: Vec::new(),
        }
    }

    pub(in crate::config) fn shown(&self) -> Value {
        json!({"allow": self.allow, "deny": self.deny})
    }
}

impl Default for ToolRules {
    fn default() -> Self {
        Self::everything()
    }
}

/// Which of the gateway's tools one agent may use, of those that `tools` allows.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawAgentRules {
    /// Names of tools that this agent may use; `*` stands for any letters.
    allow: Given<Vec<Text>>,
    /// Names of tools that this agent may not use; these win.
    deny: Given<Vec<Text>>,
}

impl Default for RawAgentRules {
    fn default() -> Self {
        Self {
            allow: Given::of(vec!["*"]),
            deny: Given::of(Vec::<String>::new()),
        }
    }
}

impl Check<'_> {
    pub(in crate::config) fn agent_rules(
        &mut self,
        at: &KeyPath,
        raw: &RawAgentRules,
    ) -> ToolRules {
        ToolRules {
            allow: self.texts(&at.key("allow"), &raw.allow),
            deny: self.texts(&at.key("deny"), &raw.deny),
        }
    }
}
