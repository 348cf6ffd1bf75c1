//! What ccpool brings.

use std::sync::Arc;

use ccpool::Pool;
use ccpool::config::Config;

use crate::GatewayTools;
use crate::agents::AgentsList;
use crate::config_get::ConfigGet;
use crate::cron::{CronCreate, CronDelete, CronList};
use crate::message::{Channels, SendMessage};
use crate::nodes::{NodesExec, NodesList};
use crate::sessions::{SessionStatus, SessionsHistory, SessionsList, SessionsSend, SessionsSpawn};
use crate::web::{WebFetch, WebSearch};

pub(crate) fn add(tools: GatewayTools, pool: &Pool, config: &Config) -> GatewayTools {
    let sessions = &config.tools.sessions;
    let channels = Channels::of(config);
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
        .with(CronList::new(pool))
        .with(CronCreate::new(pool, config, Arc::new(channels.clone())))
        .with(CronDelete::new(pool))
        .with(SendMessage::through(channels))
        .with(NodesList::of(config))
        .with(NodesExec::of(config))
}
