//! What ccpool brings.

use std::sync::Arc;

use ccpool::Pool;
use ccpool::config::Config;

use crate::GatewayTools;
use crate::cron::{CronCreate, CronDelete, CronList};
use crate::message::{Channels, SendMessage};
use crate::nodes::{NodesExec, NodesList};
use crate::sessions::{SessionStatus, SessionsList};

pub(crate) fn add(tools: GatewayTools, pool: &Pool, config: &Config) -> GatewayTools {
    tools
        .with(SessionsList::new(pool))
        .with(SessionStatus::new(pool))
        .with(CronList::new(pool))
        .with(CronCreate::new(
            pool,
            config,
            Arc::new(Channels::of(config)),
        ))
        .with(CronDelete::new(pool))
        .with(SendMessage::through(Channels::of(config)))
        .with(NodesList::of(config))
        .with(NodesExec::of(config))
}
