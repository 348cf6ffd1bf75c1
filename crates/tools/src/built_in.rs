//! What ccpool brings.

use std::sync::Arc;

use ccpool::Pool;
use ccpool::config::Config;

use crate::GatewayTools;
use crate::cron::{CronCreate, CronDelete, CronList, NoChannels};
use crate::sessions::{SessionStatus, SessionsList};

pub(crate) fn add(tools: GatewayTools, pool: &Pool, config: &Config) -> GatewayTools {
    tools
        .with(SessionsList::new(pool))
        .with(SessionStatus::new(pool))
        .with(CronList::new(pool))
        .with(CronCreate::new(pool, config, Arc::new(NoChannels)))
        .with(CronDelete::new(pool))
}
