use ccpool::config::Config;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{Answer, Call, Caller, Effect, Refusal, Tool};

/// Sections that are about the machines and not about the agent's work.
const HIDDEN: [&str; 7] = [
    "claudeCli",
    "redis",
    "docker",
    "http",
    "telemetry",
    "dataDir",
    "imageBuild",
];

/// `config_get`.
#[derive(Debug)]
pub(crate) struct ConfigGet {
    config: Map<String, Value>,
}

impl ConfigGet {
    pub(crate) fn new(config: &Config) -> Self {
        let Value::Object(mut shown) = config.to_redacted_json() else {
            unreachable!("a configuration is an object")
        };
        for section in HIDDEN {
            shown.remove(section);
        }
        if let Some(claude) = shown.get_mut("claude").and_then(Value::as_object_mut) {
            claude.remove("env");
            claude.remove("path");
        }
        Self { config: shown }
    }

    /// Of other agents there is `agents_list`.
    fn seen_by(&self, caller: &Caller) -> Value {
        let mut seen = self.config.clone();
        if let Some(agents) = seen.get_mut("agents").and_then(Value::as_object_mut) {
            agents.retain(|name, _| name == caller.agent.as_str());
        }
        Value::Object(seen)
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    /// Keys with dots between them, such as `timeouts.idleMs`; everything when left out.
    path: Option<String>,
}

impl Tool for ConfigGet {
    type Arguments = Which;
    const NAME: &'static str = "config_get";
    const DESCRIPTION: &'static str = "Read the gateway's configuration as far as it concerns you: \
        limits, timeouts, models, permissions, tools, the options of your agent. Secrets are `***`.";
    const EFFECT: Effect = Effect::Reads;

    async fn call(&self, which: Which, call: Call) -> Result<Answer, Refusal> {
        let seen = self.seen_by(&call.caller);
        let path = which.path.unwrap_or_default();
        let found = find(&seen, &path)?;
        let text =
            serde_json::to_string_pretty(found).expect("what came from JSON goes back into it");
        Ok(Answer::with_data(
            text,
            json!({"path": path, "value": found}),
        ))
    }
}

fn find<'a>(value: &'a Value, path: &str) -> Result<&'a Value, Refusal> {
    let mut found = value;
    let mut so_far = String::new();
    for key in path.split('.').filter(|key| !key.is_empty()) {
        let next = match found {
            Value::Object(fields) => fields.get(key),
            Value::Array(items) => key.parse().ok().and_then(|at: usize| items.get(at)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        };
        let Some(next) = next else {
            let place = match so_far.as_str() {
                "" => "The configuration".to_owned(),
                path => format!("`{path}`"),
            };
            let known = match found {
                Value::Object(fields) if !fields.is_empty() => {
                    let keys: Vec<&str> = fields.keys().map(String::as_str).collect();
                    format!("it has {}", keys.join(", "))
                }
                _ => "it has no keys".to_owned(),
            };
            let key: String = key.chars().take(100).collect();
            return Err(Refusal::new(format!(
                "{place} has no key `{key}`; {known}."
            )));
        };
        if !so_far.is_empty() {
            so_far.push('.');
        }
        so_far.push_str(key);
        found = next;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use ccpool::config::Secret;
    use ccpool::{AgentId, SessionId};

    use super::*;

    fn seen() -> Value {
        let mut config = Config::default();
        config.http.token = Some(Secret::new("hunter2"));
        config
            .claude
            .env
            .insert("ANTHROPIC_API_KEY".to_owned(), Secret::new("hunter2"));
        config.agents.insert("main".to_owned(), Default::default());
        config.agents.insert("other".to_owned(), Default::default());
        let caller = Caller {
            session: SessionId::new("s").unwrap(),
            agent: AgentId::new("main").unwrap(),
            depth: 0,
        };
        ConfigGet::new(&config).seen_by(&caller)
    }

    #[test]
    fn paths_lead_to_values_and_wrong_ones_say_what_there_is() {
        let seen = seen();
        assert_eq!(find(&seen, "pool.maxTotal").unwrap(), &json!(10));
        assert_eq!(find(&seen, "").unwrap(), &seen);
        assert_eq!(find(&seen, "tools.allow.0").unwrap(), &json!("*"));
        for (path, said) in [
            (
                "pool.minwarm",
                "`pool` has no key `minwarm`; it has adaptive,",
            ),
            (
                "pool.maxTotal.x",
                "`pool.maxTotal` has no key `x`; it has no keys.",
            ),
            (
                "redis",
                "The configuration has no key `redis`; it has agents,",
            ),
            (
                "tools.allow.9",
                "`tools.allow` has no key `9`; it has no keys.",
            ),
        ] {
            let refusal = find(&seen, path).unwrap_err();
            assert!(refusal.as_str().starts_with(said), "{}", refusal.as_str());
        }
    }

    #[test]
    fn machines_secrets_and_other_agents_are_not_seen() {
        let seen = seen().to_string();
        for hidden in [
            "hunter2",
            "ANTHROPIC",
            "keyPrefix",
            "listen",
            "other",
            "dataDir",
        ] {
            assert!(!seen.contains(hidden), "{hidden}: {seen}");
        }
        assert!(seen.contains("main") && seen.contains("idleMs"), "{seen}");
    }
}
