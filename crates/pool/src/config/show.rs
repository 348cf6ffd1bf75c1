use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::secret::Secret;
use super::settings::{Agent, Config};

impl Config {
    /// The whole configuration under the keys of the file, for a person to read. Secrets are
    /// `"***"`: the token, the password in a Redis URL, and every value of `claude.env` and
    /// `docker.env`. What is not set is `null`.
    #[must_use]
    pub fn to_redacted_json(&self) -> Value {
        let Self {
            pool,
            resources,
            timeouts,
            redis,
            docker,
            http,
            telemetry,
            claude,
            permissions,
            ..
        } = self;
        json!({
            "enabled": self.enabled,
            "pool": {
                "minWarm": pool.min_warm,
                "maxTotal": pool.max_total,
                "maxPerAgent": pool.max_per_agent,
                "claimTimeoutMs": millis(pool.claim_timeout),
                "adaptive": pool.adaptive,
            },
            "image": self.image.as_str(),
            "resources": {
                "memory": resources.memory.as_u64(),
                "cpus": resources.cpus.cpus(),
                "pidsLimit": resources.pids_limit,
            },
            "timeouts": {
                "idleMs": millis(timeouts.idle),
                "maxAgeMs": millis(timeouts.max_age),
                "healthIntervalMs": millis(timeouts.health_interval),
                "startupMs": millis(timeouts.startup),
                "stallMs": millis(timeouts.stall),
                "turnMs": timeouts.turn.map(millis),
                "functionMs": millis(timeouts.function),
                "retainMs": millis(timeouts.retain),
                "stopMs": millis(timeouts.stop),
            },
            "redis": {
                "url": redis.url.to_string(),
                "keyPrefix": redis.key_prefix,
                "outputBuffer": redis.output_buffer,
                "outputBufferBytes": redis.output_buffer_bytes,
                "acl": redis.acl.as_str(),
                "containerUrl": redis.container_url.as_ref().map(ToString::to_string),
            },
            "docker": {
                "host": docker.host.as_ref().map(|host| host.as_str()),
                "containerPrefix": docker.container_prefix,
                "network": docker.network,
                "capDrop": docker.cap_drop,
                "securityOpts": docker.security_opts,
                "binds": docker.binds.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "env": hidden(&docker.env),
                "gatewayUrl": docker.gateway_url.as_ref().map(|url| url.as_str()),
            },
            "http": {
                "listen": http.listen.to_string(),
                "token": http.token.as_ref().map(ToString::to_string),
            },
            "openai": self.openai.shown(),
            "telemetry": {
                "otlpEndpoint": telemetry.otlp_endpoint.as_ref().map(|url| url.as_str()),
            },
            "runtime": self.runtime.as_str(),
            "model": {
                "primary": self.model.primary.to_string(),
                "fallbacks":
                    self.model.fallbacks.iter().map(ToString::to_string).collect::<Vec<_>>(),
            },
            "anthropic": self.anthropic.shown(),
            "claude": {
                "version": claude.version,
                "env": hidden(&claude.env),
                "path": claude.path,
                "model": claude.model,
                "appendSystemPrompt": claude.append_system_prompt,
                "backgroundTasks": claude.background_tasks,
                "extraArgs": claude.extra_args,
            },
            "claudeCli": self.claude_cli.shown(),
            "permissions": {
                "mode": permissions.mode.as_str(),
                "allow": permissions.allow,
                "deny": permissions.deny,
                "ask": permissions.ask,
                "timeoutMs": millis(permissions.timeout),
                "onTimeout": permissions.on_timeout.as_str(),
            },
            "skipPermissions": self.skip_permissions,
            "agents": self
                .agents
                .iter()
                .map(|(name, agent)| (name.clone(), shown_agent(agent)))
                .collect::<Map<_, _>>(),
            "dataDir": self.data_dir,
            "imageBuild": {
                "base": self.image_build.base.as_str(),
                "caCertificates": self.image_build.ca_certificates,
            },
            "tools": self.tools.shown(),
        })
    }
}

fn shown_agent(agent: &Agent) -> Value {
    json!({
        "model": agent.model.as_ref().map(ToString::to_string),
        "maxContainers": agent.max_containers,
        "appendSystemPrompt": agent.append_system_prompt,
        "description": agent.description,
        "tools": agent.tools.shown(),
    })
}

pub(super) fn hidden(variables: &BTreeMap<String, Secret>) -> BTreeMap<&str, String> {
    variables
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_string()))
        .collect()
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
