use std::collections::BTreeMap;
use std::sync::Arc;

use ccpool::AgentId;
use ccpool::config::{Config, Node};

use crate::Refusal;

/// The nodes of the configuration.
#[derive(Debug, Clone)]
pub(super) struct Nodes(Arc<BTreeMap<String, Node>>);

impl Nodes {
    pub(super) fn of(config: &Config) -> Self {
        Self(Arc::new(config.tools.nodes.clone()))
    }

    /// Those that this agent may use.
    pub(super) fn of_agent(&self, agent: &AgentId) -> impl Iterator<Item = (&str, &Node)> {
        let all = self.0.iter().map(|(name, node)| (name.as_str(), node));
        all.filter(|(_, node)| may_use(node, agent))
    }

    /// The node of that name. One that the agent may not use is answered as one that does not exist.
    pub(super) fn get(&self, name: &str, agent: &AgentId) -> Result<&Node, Refusal> {
        let found = self.0.get(name).filter(|node| may_use(node, agent));
        found.ok_or_else(|| Refusal::new(self.unknown(name, agent)))
    }

    fn unknown(&self, wanted: &str, agent: &AgentId) -> String {
        let names: Vec<String> = self
            .of_agent(agent)
            .map(|(name, _)| format!("`{name}`"))
            .collect();
        if names.is_empty() {
            return NONE.to_owned();
        }
        // A model's own word, so no longer than it needs to be.
        let wanted: String = wanted.chars().take(64).collect();
        format!(
            "You have no node `{wanted}`. There are: {}.",
            names.join(", ")
        )
    }
}

/// What an agent is told that has none.
pub(super) const NONE: &str =
    "Your agent has no nodes: the gateway's configuration has none for it in `tools.nodes`.";

fn may_use(node: &Node, agent: &AgentId) -> bool {
    let agents = node.agents.as_ref();
    agents.is_none_or(|agents| agents.iter().any(|name| name == agent.as_str()))
}
