//! Which tools a caller may use: by its agent, which the token tells.

use std::collections::BTreeMap;

use ccpool::AgentId;
use ccpool::config::{Config, ToolRules};

/// Allow and deny lists, the general one and those of single agents.
#[derive(Debug, Clone)]
pub struct Policy {
    general: ToolRules,
    agents: BTreeMap<String, ToolRules>,
}

impl Policy {
    /// Everybody may use every tool.
    pub fn everything() -> Self {
        Self {
            general: ToolRules::everything(),
            agents: BTreeMap::new(),
        }
    }

    /// What the configuration says in `tools` and `agents.*.tools`.
    pub fn of(config: &Config) -> Self {
        let own = config.agents.iter();
        Self {
            general: config.tools.rules.clone(),
            agents: own
                .map(|(name, agent)| (name.clone(), agent.tools.clone()))
                .collect(),
        }
    }

    /// Whether anybody may use it: only such a tool is listed.
    pub fn offers(&self, tool: &str) -> bool {
        passes(&self.general, tool)
    }

    /// Whether this agent may use it: both the general lists and its own must let it pass.
    pub fn allows(&self, agent: &AgentId, tool: &str) -> bool {
        let own = self.agents.get(agent.as_str());
        self.offers(tool) && own.is_none_or(|rules| passes(rules, tool))
    }
}

fn passes(rules: &ToolRules, tool: &str) -> bool {
    let any = |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, tool));
    any(&rules.allow) && !any(&rules.deny)
}

impl Default for Policy {
    fn default() -> Self {
        Self::everything()
    }
}

/// `*` stands for any letters, also none.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(rest) = name.strip_prefix(head) else {
        return false;
    };
    let mut starts = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
    starts.any(|at| matches(tail, &rest[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(allow: &[&str], deny: &[&str]) -> ToolRules {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        ToolRules {
            allow: owned(allow),
            deny: owned(deny),
        }
    }

    #[test]
    fn a_star_stands_for_any_letters() {
        for (pattern, name) in [
            ("*", "web_fetch"),
            ("web_*", "web_fetch"),
            ("*_list", "cron_list"),
            ("c*_l*t", "cron_list"),
            ("message", "message"),
            ("message*", "message"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("web_", "web_fetch"),
            ("web_*", "xweb_fetch"),
            ("", "message"),
            ("*_lis", "cron_list"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn an_agents_own_lists_take_away_and_never_add() {
        let policy = Policy {
            general: rules(&["*"], &["nodes_*"]),
            agents: [
                ("reader".to_owned(), rules(&["*_list"], &[])),
                ("builder".to_owned(), rules(&["*"], &["message"])),
            ]
            .into(),
        };
        let agent = |name: &str| AgentId::new(name).unwrap();
        assert!(!policy.offers("nodes_exec"));
        assert!(!policy.allows(&agent("builder"), "nodes_exec"));
        assert!(policy.allows(&agent("builder"), "cron_create"));
        assert!(!policy.allows(&agent("builder"), "message"));
        assert!(policy.allows(&agent("reader"), "cron_list"));
        assert!(!policy.allows(&agent("reader"), "nodes_list"));
        assert!(!policy.allows(&agent("reader"), "cron_create"));
        assert!(policy.allows(&agent("anybody"), "message"));
    }
}
