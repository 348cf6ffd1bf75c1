use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;

use super::address::{DockerHost, HttpUrl, OtlpUrl, RedisTarget, RedisUrl};
use super::anthropic::Anthropic;
use super::choice::{OnTimeout, PermissionMode, RedisAcl, RuntimeKind};
use super::claude_cli::ClaudeCli;
use super::names::{Bind, ImageRef, ModelRef};
use super::openai::OpenAi;
use super::secret::Secret;
use super::tools::{ToolRules, Tools};
use super::units::NanoCpus;

/// The validated configuration. Every option is described in `docs/configuration.md`.
///
/// `Debug` shows no secrets. [`Config::default`] holds the built-in defaults, without a look at
/// the environment.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Whether the provider answers at all.
    pub enabled: bool,
    /// How many containers there are.
    pub pool: Pool,
    /// Image of the containers.
    pub image: ImageRef,
    /// What one container may use.
    pub resources: Resources,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// The Redis between gateway and containers.
    pub redis: Redis,
    /// How containers are made.
    pub docker: Docker,
    /// The gateway's own server.
    pub http: Http,
    /// The interface of the OpenAI API.
    pub openai: OpenAi,
    /// What the gateway tells others of its work.
    pub telemetry: Telemetry,
    /// Where containers run.
    pub runtime: RuntimeKind,
    /// Which model answers, and which ones stand in for it.
    pub model: ModelChain,
    /// Models that are asked without Claude Code.
    pub anthropic: Anthropic,
    /// The Claude Code CLI.
    pub claude: Claude,
    /// The CLI of this host as a provider.
    pub claude_cli: ClaudeCli,
    /// What the agent may do.
    pub permissions: Permissions,
    /// Run every tool without asking.
    pub skip_permissions: bool,
    /// Options of single agents, by name.
    pub agents: BTreeMap<String, Agent>,
    /// Folder for the pool's own files.
    pub data_dir: PathBuf,
    /// How the image is made.
    pub image_build: ImageBuild,
    /// The tools that agents can call.
    pub tools: Tools,
}

/// How many containers there are. `min_warm` is at most `max_total`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Warm containers to keep ready.
    pub min_warm: u32,
    /// Containers allowed in all; at least 1.
    pub max_total: u32,
    /// Containers allowed for one agent; at least 1.
    pub max_per_agent: u32,
    /// How long a claim waits for a container; zero does not wait.
    pub claim_timeout: Duration,
    /// Whether the number of warm containers follows demand.
    pub adaptive: bool,
}

/// What one container may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resources {
    /// Memory limit in bytes; fits an `i64`.
    pub memory: ByteSize,
    /// CPU limit.
    pub cpus: NanoCpus,
    /// Processes and threads allowed.
    pub pids_limit: u32,
}

/// How long things may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// A session without activity for this long ends.
    pub idle: Duration,
    /// A container older than this goes, after its turn.
    pub max_age: Duration,
    /// Between two health checks.
    pub health_interval: Duration,
    /// From creating a container to its being warm.
    pub startup: Duration,
    /// A turn without any output for this long has stalled.
    pub stall: Duration,
    /// Longest turn, if there is a limit.
    pub turn: Option<Duration>,
    /// How long a call of a function of the caller's waits for its result.
    pub function: Duration,
    /// How long the keys of an ended session stay readable.
    pub retain: Duration,
    /// Grace for `claude` to stop before it is killed.
    pub stop: Duration,
}

/// The Redis between gateway and containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redis {
    /// Where it is.
    pub url: RedisTarget,
    /// Beginning of every key; free of glob characters.
    pub key_prefix: String,
    /// Envelopes kept per session.
    pub output_buffer: u32,
    /// Bytes of envelopes kept per session.
    pub output_buffer_bytes: u32,
    /// Whether every container gets a user of its own.
    pub acl: RedisAcl,
    /// Its address as seen from inside containers, if that differs.
    pub container_url: Option<RedisUrl>,
}

/// How containers are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Docker {
    /// Address of the Docker Engine; `None` is Docker's own default.
    pub host: Option<DockerHost>,
    /// Beginning of container names.
    pub container_prefix: String,
    /// Network of the containers.
    pub network: String,
    /// Capabilities to drop, in capitals.
    pub cap_drop: Vec<String>,
    /// Security options.
    pub security_opts: Vec<String>,
    /// Volume binds beyond the pool's own.
    pub binds: Vec<Bind>,
    /// Environment of the containers beyond the pool's own.
    pub env: BTreeMap<String, Secret>,
    /// Where containers reach the gateway; `None` is found from the network.
    pub gateway_url: Option<HttpUrl>,
}

/// The gateway's own server. A `listen` beyond loopback comes with a `token`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Address and port to listen on.
    pub listen: SocketAddr,
    /// Bearer token that every request must carry.
    pub token: Option<Secret>,
}

/// What the gateway tells others of its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// Collector that traces are sent to; without one none are made.
    pub otlp_endpoint: Option<OtlpUrl>,
}

/// Which model answers, and which ones stand in for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelChain {
    /// The model asked first.
    pub primary: ModelRef,
    /// The models asked in turn when it cannot answer.
    pub fallbacks: Vec<ModelRef>,
}

/// The Claude Code CLI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claude {
    /// Version of the CLI that the image holds.
    pub version: String,
    /// Environment of the CLI.
    pub env: BTreeMap<String, Secret>,
    /// The program that the process runtime starts.
    pub path: PathBuf,
    /// Model to start the CLI with; `None` is the first one of the chain that
    /// is asked in containers.
    pub model: Option<String>,
    /// Text added to the CLI's system prompt.
    pub append_system_prompt: Option<String>,
    /// Whether subagents and commands may go on after their turn.
    pub background_tasks: bool,
    /// More arguments for the CLI.
    pub extra_args: Vec<String>,
}

/// What the agent may do, in Claude Code's rule notation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// What happens to a tool call that no rule decides.
    pub mode: PermissionMode,
    /// Rules of what is allowed.
    pub allow: Vec<String>,
    /// Rules of what is denied.
    pub deny: Vec<String>,
    /// Rules of what is asked.
    pub ask: Vec<String>,
    /// How long a request waits for an answer.
    pub timeout: Duration,
    /// What a request becomes that nobody answers.
    pub on_timeout: OnTimeout,
}

/// Options of one agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agent {
    /// Model of this agent.
    pub model: Option<ModelRef>,
    /// Containers allowed for this agent; at least 1.
    pub max_containers: Option<u32>,
    /// Text added to the system prompt, instead of the general one.
    pub append_system_prompt: Option<String>,
    /// What this agent is for.
    pub description: Option<String>,
    /// Which of the gateway's tools it may use, of those that are allowed at all.
    pub tools: ToolRules,
}

/// How the image is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageBuild {
    /// Image to build upon.
    pub base: ImageRef,
    /// Files with certificates that the build trusts.
    pub ca_certificates: Vec<PathBuf>,
}
