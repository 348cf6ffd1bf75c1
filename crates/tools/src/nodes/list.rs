use std::fmt::Write as _;

use ccpool::config::{Config, Node};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::known::{NONE, Nodes};
use crate::{Answer, Call, Effect, Refusal, Tool};

/// `nodes_list`: which machines an agent may run commands on.
#[derive(Debug, Clone)]
pub struct NodesList {
    nodes: Nodes,
}

impl NodesList {
    /// Those of `tools.nodes` in the configuration.
    pub fn of(config: &Config) -> Self {
        Self {
            nodes: Nodes::of(config),
        }
    }
}

/// No arguments.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

impl Tool for NodesList {
    type Arguments = Nothing;
    const NAME: &'static str = "nodes_list";
    const DESCRIPTION: &'static str = "List the machines (nodes) that you can run commands on with \
        nodes_exec, and which commands each allows. In a pattern of a command `*` stands for letters \
        of one word, without spaces and slashes; `**` at the end stands for any more words.";
    const EFFECT: Effect = Effect::Reads;

    async fn call(&self, _: Nothing, call: Call) -> Result<Answer, Refusal> {
        let nodes: Vec<(&str, &Node)> = self.nodes.of_agent(&call.caller.agent).collect();
        if nodes.is_empty() {
            return Ok(Answer::with_data(NONE, json!({"nodes": []})));
        }
        let mut text = String::new();
        for (name, node) in &nodes {
            let _ = write!(text, "{name}");
            if let Some(description) = &node.description {
                let _ = write!(text, " ({description})");
            }
            let _ = writeln!(
                text,
                ":{}",
                if node.allow.is_empty() {
                    " nothing may be run"
                } else {
                    ""
                }
            );
            for pattern in &node.allow {
                let _ = writeln!(text, "  {pattern}");
            }
        }
        let nodes: Vec<Value> = nodes.iter().map(|(name, node)| data(name, node)).collect();
        Ok(Answer::with_data(text.trim_end(), json!({"nodes": nodes})))
    }
}

fn data(name: &str, node: &Node) -> Value {
    let allow = node.allow.iter().map(ToString::to_string);
    json!({
        "name": name,
        "description": node.description,
        "allow": allow.collect::<Vec<_>>(),
        "timeoutMs": u64::try_from(node.timeout.as_millis()).unwrap_or(u64::MAX),
    })
}
