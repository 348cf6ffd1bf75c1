//! Which models are asked for a conversation, and in which order.

use std::collections::BTreeMap;

use ccpool::AgentId;
use ccpool::config::{Config, ModelRef};

/// The models that the configuration names.
#[derive(Debug, Clone)]
pub(super) struct Models {
    pub(super) primary: ModelRef,
    pub(super) fallbacks: Vec<ModelRef>,
    /// Instead of the primary one, by the agent's name.
    pub(super) agents: BTreeMap<String, ModelRef>,
}

/// A name that no model can have here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoSuchModel {
    #[error("there is no provider `{named}` here; write one of {} before the slash", .known.join(", "))]
    Provider { named: String, known: Vec<String> },
    #[error("no model has such a name; write provider/model, or the model alone")]
    Name,
}

impl Models {
    pub(super) fn of(config: &Config) -> Self {
        let own = |(name, agent): (&String, &ccpool::config::Agent)| {
            Some((name.clone(), agent.model.clone()?))
        };
        Self {
            primary: config.model.primary.clone(),
            fallbacks: config.model.fallbacks.clone(),
            agents: config.agents.iter().filter_map(own).collect(),
        }
    }

    /// All of them, the primary one first.
    pub(super) fn all(&self) -> impl Iterator<Item = &ModelRef> {
        [&self.primary]
            .into_iter()
            .chain(&self.fallbacks)
            .chain(self.agents.values())
    }

    /// Whom to ask, in order, never the same twice.
    ///
    /// `asked` is what the caller wrote: nothing, `provider/model`, or a model of the primary
    /// provider. `known` are the providers that there are.
    ///
    /// # Errors
    /// [`NoSuchModel`].
    pub(super) fn route(
        &self,
        agent: &AgentId,
        asked: Option<&str>,
        known: &[&str],
    ) -> Result<Vec<ModelRef>, NoSuchModel> {
        let first = match asked {
            None => self
                .agents
                .get(agent.as_str())
                .unwrap_or(&self.primary)
                .clone(),
            Some(name) => self.named(name, known)?,
        };
        let mut route = vec![first];
        for fallback in &self.fallbacks {
            if !route.contains(fallback) {
                route.push(fallback.clone());
            }
        }
        Ok(route)
    }

    fn named(&self, name: &str, known: &[&str]) -> Result<ModelRef, NoSuchModel> {
        let full = match name.split_once('/') {
            Some((provider, _)) if known.contains(&provider) => name.to_owned(),
            Some((provider, _)) => {
                return Err(NoSuchModel::Provider {
                    named: provider.to_owned(),
                    known: known.iter().map(|name| (*name).to_owned()).collect(),
                });
            }
            None => format!("{}/{name}", self.primary.provider()),
        };
        full.parse().map_err(|_| NoSuchModel::Name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 2] = ["docker-claude-code", "anthropic"];

    fn model(text: &str) -> ModelRef {
        text.parse().expect("a model")
    }

    fn models() -> Models {
        Models {
            primary: model("docker-claude-code/opus"),
            fallbacks: vec![
                model("docker-claude-code/sonnet"),
                model("anthropic/claude-x"),
                model("anthropic/claude-x"),
            ],
            agents: BTreeMap::from([("helper".into(), model("docker-claude-code/haiku"))]),
        }
    }

    fn route(agent: &str, asked: Option<&str>) -> String {
        let agent = AgentId::new(agent).expect("an agent");
        match models().route(&agent, asked, &KNOWN) {
            Ok(route) => route
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" "),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn whom_to_ask() {
        for (asked, wanted) in [
            (
                None,
                "docker-claude-code/opus docker-claude-code/sonnet anthropic/claude-x",
            ),
            (
                Some("docker-claude-code/opus"),
                "docker-claude-code/opus docker-claude-code/sonnet anthropic/claude-x",
            ),
            (
                Some("opus"),
                "docker-claude-code/opus docker-claude-code/sonnet anthropic/claude-x",
            ),
            (
                Some("haiku"),
                "docker-claude-code/haiku docker-claude-code/sonnet anthropic/claude-x",
            ),
            (
                Some("anthropic/claude-x"),
                "anthropic/claude-x docker-claude-code/sonnet",
            ),
            (
                Some("docker-claude-code/us/arn:x"),
                "docker-claude-code/us/arn:x docker-claude-code/sonnet anthropic/claude-x",
            ),
            (
                Some("openai/gpt"),
                "there is no provider `openai` here; write one of docker-claude-code, anthropic \
                 before the slash",
            ),
            (
                Some("anthropic/"),
                "no model has such a name; write provider/model, or the model alone",
            ),
            (
                Some(""),
                "no model has such a name; write provider/model, or the model alone",
            ),
            (
                Some("a b"),
                "no model has such a name; write provider/model, or the model alone",
            ),
        ] {
            assert_eq!(route("main", asked), wanted, "{asked:?}");
        }
    }

    #[test]
    fn an_agent_may_have_a_model_of_its_own() {
        let own = "docker-claude-code/haiku docker-claude-code/sonnet anthropic/claude-x";
        assert_eq!(route("helper", None), own);
        let named = "docker-claude-code/sonnet anthropic/claude-x";
        assert_eq!(route("helper", Some("sonnet")), named);
    }
}
