//! The flags that say where a pool lives, and how they become configuration.

use std::path::PathBuf;

use ccpool::config::{Config, LoadOptions, Loaded, Overrides};
use clap::Args;

use super::command::{Global, Runtime};
use super::error::CliError;

/// Where containers run and where Redis is.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Place {
    /// Where containers run [runtime].
    #[arg(long, value_enum)]
    pub(crate) runtime: Option<Runtime>,
    /// A Redis URL, or `embedded` for a private one [redis.url].
    #[arg(long, value_name = "URL")]
    pub(crate) redis: Option<String>,
    /// The wrapper that the process runtime starts [next to this program, then on PATH].
    #[arg(long, value_name = "FILE")]
    pub(crate) wrapper: Option<PathBuf>,
}

impl Place {
    /// Whether any of the flags was given.
    pub(crate) fn is_given(&self) -> bool {
        self.runtime.is_some() || self.redis.is_some() || self.wrapper.is_some()
    }

    /// The flags as configuration.
    pub(crate) fn overrides(&self) -> Overrides {
        let mut overrides = Overrides::new();
        if let Some(runtime) = self.runtime {
            let word = match runtime {
                Runtime::Docker => "docker",
                Runtime::Process => "process",
            };
            overrides = overrides.set("--runtime", "runtime", word);
        }
        if let Some(url) = &self.redis {
            overrides = overrides.set_text("--redis", "redis.url", url);
        }
        overrides
    }
}

/// Loads the configuration with these flags on top.
pub(crate) fn load(global: &Global, overrides: Overrides) -> Result<Loaded, CliError> {
    let loaded = Config::load(LoadOptions::of_this_process(
        global.config.clone(),
        overrides,
    ))?;
    for key in &loaded.sources.passed_over {
        tracing::warn!(
            key,
            "this key of the Clawdbot configuration is not read: it does not stand under \
             agents.defaults.dockerClaudeCode"
        );
    }
    Ok(loaded)
}
