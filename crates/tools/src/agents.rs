use std::collections::BTreeMap;
use std::fmt::Write as _;

use ccpool::config::{Agent, Config};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Answer, Call, Effect, Refusal, Tool};

/// `agents_list`.
#[derive(Debug)]
pub(crate) struct AgentsList {
    agents: BTreeMap<String, Agent>,
    model: String,
    max_containers: u32,
}

impl AgentsList {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            agents: config.agents.clone(),
            model: config.model.primary.to_string(),
            max_containers: config.pool.max_per_agent,
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

impl Tool for AgentsList {
    type Arguments = Nothing;
    const NAME: &'static str = "agents_list";
    const DESCRIPTION: &'static str = "List the agents that this gateway is configured for: name, what \
        each is for, model, how many sessions it may have. Your own is marked.";
    const EFFECT: Effect = Effect::Reads;

    async fn call(&self, _: Nothing, call: Call) -> Result<Answer, Refusal> {
        let me = call.caller.agent.as_str();
        let mut agents = self.agents.clone();
        // It runs, so it is there, whether it has options of its own or not.
        agents.entry(me.to_owned()).or_default();
        let mut text = format!("{} agents", agents.len());
        let mut data = Vec::new();
        for (name, agent) in &agents {
            let model = agent.model.as_ref().map(ToString::to_string);
            let model = model.unwrap_or_else(|| self.model.clone());
            let most = agent.max_containers.unwrap_or(self.max_containers);
            let _ = write!(text, "\n{name} ({model}, at most {most} sessions)");
            if let Some(description) = &agent.description {
                let _ = write!(text, ": {description}");
            }
            if name == me {
                text.push_str(" <- you");
            }
            data.push(json!({
                "name": name,
                "own": name == me,
                "description": agent.description,
                "model": model,
                "maxSessions": most,
            }));
        }
        Ok(Answer::with_data(
            text,
            json!({"agents": Value::from(data)}),
        ))
    }
}
