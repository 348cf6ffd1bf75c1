//! What ccpool brings.

use ccpool::Pool;
use ccpool::config::Config;

use crate::GatewayTools;
use crate::sessions::{SessionStatus, SessionsList};

pub(crate) fn add(tools: GatewayTools, pool: &Pool, _config: &Config) -> GatewayTools {
    tools
        .with(SessionsList::new(pool))
        .with(SessionStatus::new(pool))
}
