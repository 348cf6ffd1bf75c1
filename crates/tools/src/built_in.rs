//! What ccpool brings.

use ccpool::Pool;
use ccpool::config::Config;

use crate::GatewayTools;
use crate::sessions::{SessionStatus, SessionsList};
use crate::web::{WebFetch, WebSearch};

pub(crate) fn add(tools: GatewayTools, pool: &Pool, config: &Config) -> GatewayTools {
    tools
        .with(SessionsList::new(pool))
        .with(SessionStatus::new(pool))
        .with(WebFetch::new(config))
        .with(WebSearch::new(config))
}
