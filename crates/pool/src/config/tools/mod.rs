//! The gateway's tools: one file for each section, from what may be written to what is shown.

mod channel;
mod command_pattern;
mod cron;
mod message;
mod name;
mod nodes;
mod rules;
mod sessions;
mod web_fetch;
mod web_search;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use channel::{Channel, ChannelKind};
pub use command_pattern::{CommandPattern, NotAPattern};
pub use cron::Cron;
pub use message::Messages;
pub use nodes::Node;
pub(crate) use rules::RawAgentRules;
pub use rules::ToolRules;
pub use sessions::SessionTools;
pub use web_fetch::WebFetch;
pub use web_search::{SearchEngine, WebSearch};

use super::given::Given;
use super::key_path::KeyPath;
use super::units::{Count, Text};
use super::validate::Check;
use cron::RawCron;
use message::RawMessages;
use nodes::RawNode;
use sessions::RawSessionTools;
use web_fetch::RawWebFetch;
use web_search::RawWebSearch;

/// The tools that agents in containers can call.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawTools {
    /// Names of tools that agents may use; `*` stands for any letters.
    pub(crate) allow: Given<Vec<Text>>,
    /// Names of tools that nobody may use; these win.
    pub(crate) deny: Given<Vec<Text>>,
    /// How many calls a session may make in a second, over time; three seconds' worth at once.
    pub(crate) calls_per_second: Given<Count<1, 100_000>>,
    pub(crate) sessions: RawSessionTools,
    pub(crate) message: RawMessages,
    pub(crate) web_search: RawWebSearch,
    pub(crate) web_fetch: RawWebFetch,
    /// Other machines that agents may run commands on, by name.
    pub(crate) nodes: BTreeMap<String, RawNode>,
    pub(crate) cron: RawCron,
}

impl Default for RawTools {
    fn default() -> Self {
        Self {
            allow: Given::of(vec!["*"]),
            deny: Given::of(Vec::<String>::new()),
            calls_per_second: Given::of(20),
            sessions: RawSessionTools::default(),
            message: RawMessages::default(),
            web_search: RawWebSearch::default(),
            web_fetch: RawWebFetch::default(),
            nodes: BTreeMap::new(),
            cron: RawCron::default(),
        }
    }
}

/// The tools that agents in containers can call.
#[derive(Clone, Debug, PartialEq)]
pub struct Tools {
    /// Who may use which.
    pub rules: ToolRules,
    /// How many calls a session may make in a second, over time; at least 1.
    pub calls_per_second: u32,
    /// Tools that deal with sessions.
    pub sessions: SessionTools,
    /// `message`.
    pub message: Messages,
    /// `web_search`.
    pub web_search: WebSearch,
    /// `web_fetch`.
    pub web_fetch: WebFetch,
    /// Other machines that agents may run commands on, by name.
    pub nodes: BTreeMap<String, Node>,
    /// Prompts and messages at set times.
    pub cron: Cron,
}

impl Check<'_> {
    pub(super) fn tools(&mut self, raw: &RawTools) -> Tools {
        let at = KeyPath::of("tools");
        Tools {
            rules: ToolRules {
                allow: self.texts(&at.key("allow"), &raw.allow),
                deny: self.texts(&at.key("deny"), &raw.deny),
            },
            calls_per_second: self
                .value(
                    &at.key("callsPerSecond"),
                    &raw.calls_per_second,
                    &RawTools::default().calls_per_second,
                )
                .0,
            sessions: self.session_tools(&at.key("sessions"), &raw.sessions),
            message: self.messages(&at.key("message"), &raw.message),
            web_search: self.web_search(&at.key("webSearch"), &raw.web_search),
            web_fetch: self.web_fetch(&at.key("webFetch"), &raw.web_fetch),
            nodes: self.nodes(&at.key("nodes"), &raw.nodes),
            cron: self.cron(&at.key("cron"), &raw.cron),
        }
    }
}

impl Tools {
    /// Under the keys of the file, secrets as `"***"`.
    pub(super) fn shown(&self) -> Value {
        let nodes = self.nodes.iter();
        let nodes: serde_json::Map<String, Value> = nodes
            .map(|(name, node)| (name.clone(), node.shown()))
            .collect();
        json!({
            "allow": self.rules.allow,
            "deny": self.rules.deny,
            "callsPerSecond": self.calls_per_second,
            "sessions": self.sessions.shown(),
            "message": self.message.shown(),
            "webSearch": self.web_search.shown(),
            "webFetch": self.web_fetch.shown(),
            "nodes": nodes,
            "cron": self.cron.shown(),
        })
    }
}
