//! The configuration of a pool: one YAML file with camelCase keys, the environment, and flags.
//!
//! Sources are taken in as they are (`document`, `environment`, `overrides`), each held
//! against the known keys (`layer`), merged, and turned into a [`Config`] of real types
//! (`validate`). Nothing on the way stops at the first problem: [`ConfigErrors`] holds all of
//! them, each with its key, its file and line, and what mends it.
//!
//! ```
//! use ccpool::config::{Config, LoadOptions, Overrides};
//!
//! let env = [("CCPOOL_POOL__MINWARM".to_owned(), "3".to_owned())];
//! let loaded = Config::load(LoadOptions {
//!     path: None,
//!     env,
//!     overrides: Overrides::new().set("--max-total", "pool.maxTotal", 5),
//!     working_dir: "/nowhere".into(),
//! })?;
//! assert_eq!((loaded.config.pool.min_warm, loaded.config.pool.max_total), (3, 5));
//! # Ok::<(), ccpool::config::ConfigErrors>(())
//! ```

mod address;
mod anthropic;
mod aside_frame;
mod choice;
mod claude_cli;
mod document;
mod environment;
mod given;
mod key_path;
mod layer;
mod load;
mod marks;
mod names;
mod nearest;
mod network;
mod openai;
mod overrides;
mod problem;
mod raw;
mod schema;
mod search;
mod secret;
mod settings;
mod show;
mod tools;
mod units;
mod validate;

pub use address::{DockerHost, HttpUrl, OtlpUrl, RedisTarget, RedisUrl};
pub use anthropic::Anthropic;
pub use aside_frame::AsideFrame;
pub use choice::{MissedRuns, OnTimeout, PermissionMode, RedisAcl, RuntimeKind, SearchProvider};
pub use claude_cli::ClaudeCli;
pub use document::Form;
pub use key_path::KeyPath;
pub use load::{LoadOptions, Loaded, Sources};
pub(crate) use names::IN_CONTAINERS;
pub use names::{Bind, ImageRef, ModelRef, NotAModelRef, PROVIDERS};
pub use network::Network;
pub use openai::OpenAi;
pub use overrides::Overrides;
pub use problem::{ConfigErrors, Origin, Problem};
pub use schema::{json_schema, key_paths};
pub use secret::Secret;
pub use settings::{
    Agent, Claude, Config, Docker, Http, ImageBuild, ModelChain, Permissions, Pool, Redis,
    Resources, Telemetry, Timeouts,
};
pub use tools::{
    Channel, ChannelKind, CommandPattern, Cron, Messages, Node, NotAPattern, SearchEngine,
    SessionTools, ToolRules, Tools, WebFetch, WebSearch,
};
pub use units::NanoCpus;
