//! What ccpool brings.

use ccpool::Pool;
use ccpool::config::Config;

use crate::GatewayTools;
use crate::agents::AgentsList;
use crate::config_get::ConfigGet;
use crate::sessions::{SessionStatus, SessionsHistory, SessionsList, SessionsSend, SessionsSpawn};
use crate::web::{WebFetch, WebSearch};

pub(crate) fn add(tools: GatewayTools, pool: &Pool, config: &Config) -> GatewayTools {
    let sessions = &config.tools.sessions;
    tools
        .with(SessionsList::new(pool))
        .with(SessionStatus::new(pool))
        .with(SessionsHistory::new(pool))
        .with(SessionsSend::new(pool, sessions.wait))
        .with(SessionsSpawn::new(pool, sessions.wait, sessions.max_depth))
        .with(AgentsList::new(config))
        .with(ConfigGet::new(config))
        .with(WebFetch::new(config))
        .with(WebSearch::new(config))
}
