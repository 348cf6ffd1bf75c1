//! A pool without Docker and without a Redis of one's own, for programs that embed it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::{Config, RedisTarget, RuntimeKind};
use crate::pool::PoolParts;
use crate::program_path::on_path;
use crate::redis_address::AddressError;
use crate::runtime::ProcessRuntime;
use crate::{EmbeddedRedis, RedisAddress};

/// What of the environment `claude` is given.
const CREDENTIALS: [&str; 2] = ["ANTHROPIC_", "CLAUDE_CODE_OAUTH_"];

impl Config {
    /// The defaults, but for containers that are plain children of this program, without isolation,
    /// and a private Redis. `data_dir` is the pool's own folder.
    #[must_use]
    pub fn processes(data_dir: impl Into<PathBuf>) -> Self {
        let mut config = Self {
            runtime: RuntimeKind::Process,
            data_dir: data_dir.into(),
            ..Self::default()
        };
        config.redis.url = RedisTarget::Embedded;
        config
    }
}

impl PoolParts {
    /// The parts of a pool on the process runtime: `ccpool-wrapper` and `claude` from PATH, the
    /// model's credential from the environment, no tools.
    ///
    /// # Errors
    /// When Redis' address cannot be what the configuration says.
    pub fn processes(config: Config, redis: &EmbeddedRedis) -> Result<Self, AddressError> {
        let wrapper = on_path(Path::new("ccpool-wrapper"));
        Ok(Self {
            runtime: Arc::new(ProcessRuntime::new(&config, wrapper)),
            redis: RedisAddress::resolve(&config, Some(&redis.url()), None)?,
            mcp_url: None,
            credentials: std::env::vars()
                .filter(|(name, _)| CREDENTIALS.iter().any(|own| name.starts_with(own)))
                .collect(),
            config: Arc::new(config),
        })
    }
}
