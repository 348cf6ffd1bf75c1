//! What of the gateway's environment `claude` is given.

use std::collections::BTreeMap;

use ccpool::config::Config;

/// Credentials, and where they count.
pub(crate) const NAMES: [&str; 4] = [
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "ANTHROPIC_BASE_URL",
];

/// The variables of [`NAMES`] that are set. `claude.env` in the configuration wins.
pub(crate) fn from_environment(config: &Config) -> BTreeMap<String, String> {
    chosen(config, |name| std::env::var(name).ok())
}

fn chosen(config: &Config, look: impl Fn(&str) -> Option<String>) -> BTreeMap<String, String> {
    let configured = |name: &str| {
        config
            .claude
            .env
            .get(name)
            .map(|secret| secret.expose().to_owned())
    };
    NAMES
        .into_iter()
        .filter_map(|name| {
            let value = configured(name).or_else(|| look(name))?;
            (!value.is_empty()).then(|| (name.to_owned(), value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use ccpool::config::Secret;

    use super::*;

    #[test]
    fn the_configuration_wins_and_nothing_else_is_taken() {
        let mut config = Config::default();
        config
            .claude
            .env
            .insert("ANTHROPIC_API_KEY".into(), Secret::new("sk-ant-fake-file"));
        config.claude.env.insert("OTHER".into(), Secret::new("x"));
        let chosen = chosen(&config, |name| match name {
            "ANTHROPIC_API_KEY" => Some("sk-ant-fake-environment".to_owned()),
            "ANTHROPIC_AUTH_TOKEN" => Some(String::new()),
            "ANTHROPIC_BASE_URL" => Some("http://127.0.0.1:1".to_owned()),
            _ => None,
        });
        let names: Vec<_> = chosen.keys().map(String::as_str).collect();
        assert_eq!(names, ["ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"]);
        assert_eq!(chosen["ANTHROPIC_API_KEY"], "sk-ant-fake-file");
    }
}
