//! Who answers conversations: the pool, and the others that the configuration names.

use std::collections::BTreeMap;
use std::sync::Arc;

use ccpool::Pool;
use ccpool::config::Config;
use ccpool::provider::{PoolProvider, Provider};
use ccpool_providers::{Anthropic, AnthropicSettings, Chain};

use super::error::GatewayError;

/// Those beside the pool, as far as the configuration names them: naming one is what allows callers
/// to ask it. `environment` has the credentials.
///
/// # Errors
/// [`GatewayError::Anthropic`].
pub(super) fn beside_the_pool(
    config: &Config,
    environment: &BTreeMap<String, String>,
) -> Result<Vec<Arc<dyn Provider>>, GatewayError> {
    let chain = [&config.model.primary]
        .into_iter()
        .chain(&config.model.fallbacks);
    let of_agents = config.agents.values().filter_map(|own| own.model.as_ref());
    let named: Vec<&str> = chain
        .chain(of_agents)
        .map(|model| model.provider())
        .collect();
    let mut providers: Vec<Arc<dyn Provider>> = Vec::new();
    if named.contains(&"anthropic") {
        let settings = AnthropicSettings::of(config, environment)?;
        providers.push(Arc::new(Anthropic::new(settings)));
    }
    Ok(providers)
}

/// The pool and the others, as one.
///
/// # Errors
/// [`GatewayError::Provider`].
pub(super) fn chain(
    pool: &Pool,
    others: Vec<Arc<dyn Provider>>,
    config: &Config,
) -> Result<Arc<dyn Provider>, GatewayError> {
    let mut providers: Vec<Arc<dyn Provider>> = vec![Arc::new(PoolProvider::new(pool.clone()))];
    providers.extend(others);
    Ok(Arc::new(Chain::new(providers, config)?))
}
