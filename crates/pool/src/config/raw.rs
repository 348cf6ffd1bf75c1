//! The configuration as it may be written: every key, its default, and what it means. The
//! doc comments become the descriptions of the JSON Schema.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::address::{DockerHost, HttpUrl, Listen, OtlpUrl, RedisTarget, RedisUrl};
use super::anthropic::RawAnthropic;
use super::choice::{OnTimeout, PermissionMode, RedisAcl, RuntimeKind};
use super::claude_cli::RawClaudeCli;
use super::given::Given;
use super::names::{
    Bind, Capability, DockerName, EnvValue, HostPath, ImageRef, KeyPrefix, ModelRef, Token, Version,
};
use super::openai::RawOpenAi;
use super::tools::{RawAgentRules, RawTools};
use super::units::{Count, Memory, Millis, NanoCpus, Text};

/// Configuration of ccpool.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawConfig {
    /// Whether the provider answers at all.
    pub(crate) enabled: Given<bool>,
    pub(crate) pool: RawPool,
    /// Image of the containers.
    pub(crate) image: Given<ImageRef>,
    pub(crate) resources: RawResources,
    pub(crate) timeouts: RawTimeouts,
    pub(crate) redis: RawRedis,
    pub(crate) docker: RawDocker,
    pub(crate) http: RawHttp,
    pub(crate) openai: RawOpenAi,
    pub(crate) telemetry: RawTelemetry,
    /// Where containers run: `docker`, or `process` for plain children without isolation.
    pub(crate) runtime: Given<RuntimeKind>,
    pub(crate) model: RawModel,
    pub(crate) anthropic: RawAnthropic,
    pub(crate) claude: RawClaude,
    pub(crate) claude_cli: RawClaudeCli,
    pub(crate) permissions: RawPermissions,
    /// Run every tool without asking. Only sensible inside containers.
    pub(crate) skip_permissions: Given<bool>,
    /// Options of single agents, by name. `defaults` is reserved.
    pub(crate) agents: BTreeMap<String, RawAgent>,
    /// Folder for the pool's own files; `$XDG_STATE_HOME/ccpool` or `~/.local/state/ccpool`.
    #[serde(skip_serializing_if = "Given::is_unset")]
    pub(crate) data_dir: Given<HostPath>,
    pub(crate) image_build: RawImageBuild,
    pub(crate) tools: RawTools,
}

impl Default for RawConfig {
    fn default() -> Self {
        Self {
            enabled: Given::of(true),
            pool: RawPool::default(),
            image: Given::of("clawdbot/docker-cc:latest"),
            resources: RawResources::default(),
            timeouts: RawTimeouts::default(),
            redis: RawRedis::default(),
            docker: RawDocker::default(),
            http: RawHttp::default(),
            openai: RawOpenAi::default(),
            telemetry: RawTelemetry::default(),
            runtime: Given::of("docker"),
            model: RawModel::default(),
            anthropic: RawAnthropic::default(),
            claude: RawClaude::default(),
            claude_cli: RawClaudeCli::default(),
            permissions: RawPermissions::default(),
            skip_permissions: Given::of(false),
            agents: BTreeMap::new(),
            data_dir: Given::unset(),
            image_build: RawImageBuild::default(),
            tools: RawTools::default(),
        }
    }
}

/// How many containers there are.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawPool {
    /// Warm containers to keep ready.
    pub(crate) min_warm: Given<Count<0>>,
    /// Containers allowed in all.
    pub(crate) max_total: Given<Count<1>>,
    /// Containers allowed for one agent.
    pub(crate) max_per_agent: Given<Count<1>>,
    /// How long a claim waits for a container, in milliseconds; 0 does not wait.
    pub(crate) claim_timeout_ms: Given<Millis<0>>,
    /// Let the number of warm containers follow demand, between `minWarm` and `maxTotal`.
    pub(crate) adaptive: Given<bool>,
}

impl Default for RawPool {
    fn default() -> Self {
        Self {
            min_warm: Given::of(0),
            max_total: Given::of(10),
            max_per_agent: Given::of(3),
            claim_timeout_ms: Given::of(10_000),
            adaptive: Given::of(false),
        }
    }
}

/// What one container may use.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawResources {
    /// Memory limit: 4g, 512m, 1.5g, 4GiB, or bytes.
    pub(crate) memory: Given<Memory>,
    /// CPU limit.
    pub(crate) cpus: Given<NanoCpus>,
    /// Processes and threads allowed.
    pub(crate) pids_limit: Given<Count<1>>,
}

impl Default for RawResources {
    fn default() -> Self {
        Self {
            memory: Given::of("4g"),
            cpus: Given::of(2),
            pids_limit: Given::of(256),
        }
    }
}

/// Times in milliseconds.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawTimeouts {
    /// A session without activity for this long ends.
    pub(crate) idle_ms: Given<Millis<1>>,
    /// A container older than this goes, after its turn.
    pub(crate) max_age_ms: Given<Millis<1>>,
    /// Between two health checks.
    pub(crate) health_interval_ms: Given<Millis<1>>,
    /// From creating a container to its being warm.
    pub(crate) startup_ms: Given<Millis<1>>,
    /// A turn without any output for this long has stalled.
    pub(crate) stall_ms: Given<Millis<1>>,
    /// Longest turn; none if left out.
    #[serde(skip_serializing_if = "Given::is_unset")]
    pub(crate) turn_ms: Given<Millis<1>>,
    /// How long a call of a function of the caller's waits for its result.
    pub(crate) function_ms: Given<Millis<1>>,
    /// How long the keys of an ended session stay readable.
    pub(crate) retain_ms: Given<Millis<0>>,
    /// Grace for `claude` to stop before it is killed.
    pub(crate) stop_ms: Given<Millis<0>>,
}

impl Default for RawTimeouts {
    fn default() -> Self {
        Self {
            idle_ms: Given::of(300_000),
            max_age_ms: Given::of(3_600_000),
            health_interval_ms: Given::of(10_000),
            startup_ms: Given::of(30_000),
            stall_ms: Given::of(120_000),
            turn_ms: Given::unset(),
            function_ms: Given::of(600_000),
            retain_ms: Given::of(3_600_000),
            stop_ms: Given::of(3_000),
        }
    }
}

/// The Redis between gateway and containers.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawRedis {
    /// Connection URL, or `embedded` for a private server; the environment's `REDIS_URL` wins.
    pub(crate) url: Given<RedisTarget>,
    /// Beginning of every key.
    pub(crate) key_prefix: Given<KeyPrefix>,
    /// Envelopes kept per session for replay.
    pub(crate) output_buffer: Given<Count<1, 1_000_000>>,
    /// Bytes of envelopes kept per session; the newest envelope is kept whatever its size.
    pub(crate) output_buffer_bytes: Given<Count<65_536, 1_073_741_824>>,
    /// `on` gives every container a Redis user limited to its own session.
    pub(crate) acl: Given<RedisAcl>,
    /// Redis' address as seen from inside containers, if it differs from `url`.
    #[serde(skip_serializing_if = "Given::is_unset")]
    pub(crate) container_url: Given<RedisUrl>,
}

impl Default for RawRedis {
    fn default() -> Self {
        Self {
            url: Given::of("redis://127.0.0.1:6379"),
            key_prefix: Given::of("clawdbot:cc:"),
            output_buffer: Given::of(1000),
            output_buffer_bytes: Given::of(33_554_432),
            acl: Given::of("on"),
            container_url: Given::unset(),
        }
    }
}

/// How containers are made.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawDocker {
    /// Address of the Docker Engine; Docker's own default if left out.
    #[serde(skip_serializing_if = "Given::is_unset")]
    pub(crate) host: Given<DockerHost>,
    /// Beginning of container names.
    pub(crate) container_prefix: Given<DockerName>,
    /// Network of the containers; created if missing.
    pub(crate) network: Given<DockerName>,
    /// Capabilities to drop.
    pub(crate) cap_drop: Given<Vec<Capability>>,
    /// Security options.
    pub(crate) security_opts: Given<Vec<Text>>,
    /// Volume binds beyond the pool's own, `source:target[:options]`.
    pub(crate) binds: Given<Vec<Bind>>,
    /// Environment of the containers beyond the pool's own.
    pub(crate) env: BTreeMap<String, Given<EnvValue>>,
    /// Where containers reach the gateway's `/mcp`; found from the network if left out.
    #[serde(skip_serializing_if = "Given::is_unset")]
    pub(crate) gateway_url: Given<HttpUrl>,
}

impl Default for RawDocker {
    fn default() -> Self {
        Self {
            host: Given::unset(),
            container_prefix: Given::of("clawdbot-cc-"),
            network: Given::of("clawdbot-net"),
            cap_drop: Given::of(vec!["ALL"]),
            security_opts: Given::of(vec!["no-new-privileges"]),
            binds: Given::of(Vec::<String>::new()),
            env: BTreeMap::new(),
            gateway_url: Given::unset(),
        }
    }
}

/// The gateway's own server.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawHttp {
    /// Address and port to listen on. Beyond loopback only with `token`.
    pub(crate) listen: Given<Listen>,
    /// Bearer token that every request must carry. Secret.
    #[serde(skip_serializing_if = "Given::is_unset")]
    pub(crate) token: Given<Token>,
}

impl Default for RawHttp {
    fn default() -> Self {
        Self {
            listen: Given::of("127.0.0.1:18789"),
            token: Given::unset(),
        }
    }
}

/// What the gateway tells others of its work.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawTelemetry {
    /// Collector that traces are sent to, by OTLP over HTTP; the environment's
    /// `OTEL_EXPORTER_OTLP_ENDPOINT` wins. None are made if left out.
    #[serde(skip_serializing_if = "Given::is_unset")]
    pub(crate) otlp_endpoint: Given<OtlpUrl>,
}

impl Default for RawTelemetry {
    fn default() -> Self {
        Self {
            otlp_endpoint: Given::unset(),
        }
    }
}

/// Which model answers, and which ones stand in for it.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawModel {
    /// The model asked first, as `provider/model`.
    pub(crate) primary: Given<ModelRef>,
    /// The models asked in turn when it cannot answer.
    pub(crate) fallbacks: Given<Vec<ModelRef>>,
}

impl Default for RawModel {
    fn default() -> Self {
        Self {
            primary: Given::of("docker-claude-code/opus"),
            fallbacks: Given::of(Vec::<String>::new()),
        }
    }
}

/// The Claude Code CLI.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawClaude {
    /// Version of the CLI that the image holds.
    pub(crate) version: Given<Version>,
    /// Environment of the CLI, credentials among it. Secret.
    pub(crate) env: BTreeMap<String, Given<EnvValue>>,
    /// The program that the process runtime starts; without a slash it is looked up on PATH.
    pub(crate) path: Given<HostPath>,
    /// Model to start the CLI with; the first `docker-claude-code/…` of `model` if left out.
    #[serde(skip_serializing_if = "Given::is_unset")]
    pub(crate) model: Given<Text>,
    /// Text added to the CLI's system prompt.
    #[serde(skip_serializing_if = "Given::is_unset")]
    pub(crate) append_system_prompt: Given<Text>,
    /// Let subagents and commands go on in the background after a turn; the CLI then reports them
    /// in turns of its own.
    pub(crate) background_tasks: Given<bool>,
    /// More arguments for the CLI, after the pool's own.
    pub(crate) extra_args: Given<Vec<Text>>,
}

impl Default for RawClaude {
    fn default() -> Self {
        Self {
            version: Given::of("2.1.329"),
            env: BTreeMap::new(),
            path: Given::of("claude"),
            model: Given::unset(),
            append_system_prompt: Given::unset(),
            background_tasks: Given::of(false),
            extra_args: Given::of(Vec::<String>::new()),
        }
    }
}

/// What the agent may do, in Claude Code's rule notation.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawPermissions {
    /// What happens to a tool call that no rule decides.
    pub(crate) mode: Given<PermissionMode>,
    /// Rules of what is allowed.
    pub(crate) allow: Given<Vec<Text>>,
    /// Rules of what is denied; these win.
    pub(crate) deny: Given<Vec<Text>>,
    /// Rules of what is asked.
    pub(crate) ask: Given<Vec<Text>>,
    /// How long a request waits for an answer, in milliseconds.
    pub(crate) timeout_ms: Given<Millis<1>>,
    /// What a request becomes that nobody answers.
    pub(crate) on_timeout: Given<OnTimeout>,
}

impl Default for RawPermissions {
    fn default() -> Self {
        Self {
            mode: Given::of("default"),
            allow: Given::of(Vec::<String>::new()),
            deny: Given::of(Vec::<String>::new()),
            ask: Given::of(Vec::<String>::new()),
            timeout_ms: Given::of(300_000),
            on_timeout: Given::of("deny"),
        }
    }
}

/// Options of one agent; what is left out comes from the general options.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawAgent {
    /// Model of this agent, as `provider/model`.
    #[serde(skip_serializing_if = "Given::is_unset")]
    pub(crate) model: Given<ModelRef>,
    /// Containers allowed for this agent, instead of `pool.maxPerAgent`.
    #[serde(skip_serializing_if = "Given::is_unset")]
    pub(crate) max_containers: Given<Count<1>>,
    /// Text added to the system prompt, instead of `claude.appendSystemPrompt`.
    #[serde(skip_serializing_if = "Given::is_unset")]
    pub(crate) append_system_prompt: Given<Text>,
    /// What this agent is for, as `agents_list` tells the others.
    #[serde(skip_serializing_if = "Given::is_unset")]
    pub(crate) description: Given<Text>,
    /// Which of the gateway's tools it may use, of those that `tools` allows.
    pub(crate) tools: RawAgentRules,
}

impl Default for RawAgent {
    fn default() -> Self {
        Self {
            description: Given::unset(),
            tools: RawAgentRules::default(),
            model: Given::unset(),
            max_containers: Given::unset(),
            append_system_prompt: Given::unset(),
        }
    }
}

/// How `ccpool image build` makes the image.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawImageBuild {
    /// Image to build upon.
    pub(crate) base: Given<ImageRef>,
    /// Files with certificates that the build trusts, for networks with an intercepting proxy.
    pub(crate) ca_certificates: Given<Vec<HostPath>>,
}

impl Default for RawImageBuild {
    fn default() -> Self {
        Self {
            base: Given::of("debian:bookworm-slim"),
            ca_certificates: Given::of(Vec::<String>::new()),
        }
    }
}
