//! Who answers conversations: the pool, and the others that the configuration names.

use std::collections::BTreeMap;
use std::sync::Arc;

use ccpool::Pool;
use ccpool::config::Config;
use ccpool::provider::{PoolProvider, Provider};
use ccpool_providers::{Anthropic, AnthropicSettings, Chain, ClaudeCli};

use super::error::GatewayError;

/// Those beside the pool, as far as the configuration names them: naming one is what allows callers
/// to ask it.
pub(super) struct Others {
    anthropic: Option<Arc<Anthropic>>,
    /// The one that has processes to end.
    pub(super) claude_cli: Option<Arc<ClaudeCli>>,
}

/// `environment` has the credentials.
///
/// # Errors
/// [`GatewayError::Anthropic`].
pub(super) fn beside_the_pool(
    config: &Config,
    environment: &BTreeMap<String, String>,
) -> Result<Others, GatewayError> {
    let chain = [&config.model.primary]
        .into_iter()
        .chain(&config.model.fallbacks);
    let of_agents = config.agents.values().filter_map(|own| own.model.as_ref());
    let named: Vec<&str> = chain
        .chain(of_agents)
        .map(|model| model.provider())
        .collect();
    let anthropic = match named.contains(&"anthropic") {
        true => Some(AnthropicSettings::of(config, environment)?),
        false => None,
    };
    let claude_cli = named.contains(&"claude-cli");
    Ok(Others {
        anthropic: anthropic.map(|settings| Arc::new(Anthropic::new(settings))),
        claude_cli: claude_cli.then(|| Arc::new(ClaudeCli::new(config))),
    })
}

/// The pool and the others, as one.
///
/// # Errors
/// [`GatewayError::Provider`].
pub(super) fn chain(
    pool: &Pool,
    others: &Others,
    config: &Config,
) -> Result<Arc<dyn Provider>, GatewayError> {
    let mut providers: Vec<Arc<dyn Provider>> = vec![Arc::new(PoolProvider::new(pool.clone()))];
    if let Some(claude_cli) = &others.claude_cli {
        providers.push(Arc::clone(claude_cli) as _);
    }
    if let Some(anthropic) = &others.anthropic {
        providers.push(Arc::clone(anthropic) as _);
    }
    Ok(Arc::new(Chain::new(providers, config)?))
}
