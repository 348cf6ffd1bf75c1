//! `tools.nodes`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::given::{Complaint, Given};
use crate::config::key_path::KeyPath;
use crate::config::units::Text;
use crate::config::validate::Check;

/// A machine that agents may run commands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name or address.
    pub host: String,
}

/// A machine that agents may run commands on.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawNode {
    /// Its name or address.
    host: Given<Text>,
}

impl Default for RawNode {
    fn default() -> Self {
        Self {
            host: Given::unset(),
        }
    }
}

impl Check<'_> {
    pub(super) fn nodes(
        &mut self,
        at: &KeyPath,
        raw: &BTreeMap<String, RawNode>,
    ) -> BTreeMap<String, Node> {
        let mut nodes = BTreeMap::new();
        for (name, raw) in raw {
            let at = at.key(name);
            let RawNode { host } = raw;
            if host.is_unset() {
                let complaint = Complaint::new("is missing", "name the machine's host");
                self.complain(&at.key("host"), complaint);
            }
            if let Some(host) = self.optional(&at.key("host"), host) {
                nodes.insert(name.clone(), Node { host: host.0 });
            }
        }
        nodes
    }
}

impl Node {
    pub(super) fn shown(&self) -> Value {
        json!({"host": self.host})
    }
}
