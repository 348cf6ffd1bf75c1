//! From the configuration to what one container is started with.

use std::collections::BTreeMap;
use std::iter;
use std::path::Path;
use std::time::Duration;

use ccpool_protocol::ContainerId;
use ccpool_protocol::access::Users;
use ccpool_protocol::boot::{Boot, ClaudeSpawn, McpEndpoint};
use ccpool_protocol::permission::Behavior;
use sha2::{Digest, Sha256};

use crate::ask_rules;
use crate::clock::millis;
use crate::config::{
    Config, IN_CONTAINERS, ModelChain, OnTimeout, PermissionMode, RedisAcl, RuntimeKind,
};
use crate::password::Password;
use crate::program_path::on_path;
use crate::redis_address::RedisAddress;
use crate::runtime::Launch;
use crate::token::Token;

/// The agent's uid and gid in the image.
const AGENT_UID: u32 = 1001;

/// Makes launches that differ only in who they are for.
#[derive(Debug, Clone)]
pub(crate) struct Launcher {
    boot: Boot,
    redis: RedisAddress,
    users: Users,
    acl: RedisAcl,
    mcp_url: Option<String>,
    /// On the process runtime every container has a folder of its own here.
    folders: Option<std::path::PathBuf>,
}

impl Launcher {
    /// `credentials`: environment for `claude`; the configuration's `claude.env` goes before it.
    pub(crate) fn new(
        config: &Config,
        redis: RedisAddress,
        users: Users,
        mcp_url: Option<String>,
        credentials: &BTreeMap<String, String>,
    ) -> Self {
        let mut env = credentials.clone();
        if config.runtime == RuntimeKind::Docker {
            let docker = config.docker.env.iter();
            env.extend(docker.map(|(name, value)| (name.clone(), value.expose().to_owned())));
        }
        let configured = config.claude.env.iter();
        env.extend(configured.map(|(name, value)| (name.clone(), value.expose().to_owned())));
        let docker = config.runtime == RuntimeKind::Docker;
        let extra_args = config.claude.extra_args.clone();
        let extra_args = ask_rules::merged(extra_args, &config.permissions.ask);
        let path = if docker {
            "/usr/local/bin/claude".to_owned()
        } else {
            on_path(&config.claude.path).display().to_string()
        };
        let claude = ClaudeSpawn {
            path,
            cwd: "/workspace".to_owned(),
            home: "/home/agent".to_owned(),
            uid: docker.then_some(AGENT_UID),
            mcp: None,
            model: Some(boot_model(config)),
            append_system_prompt: config.claude.append_system_prompt.clone(),
            permission_mode: match config.permissions.mode {
                PermissionMode::Default => None,
                mode @ (PermissionMode::AcceptEdits
                | PermissionMode::Plan
                | PermissionMode::DontAsk) => Some(mode.as_str().to_owned()),
            },
            allowed_tools: config.permissions.allow.clone(),
            disallowed_tools: config.permissions.deny.clone(),
            skip_permissions: config.skip_permissions,
            background_tasks: config.claude.background_tasks,
            extra_args,
            env,
        };
        let boot = Boot {
            container: ContainerId::from_random(0),
            redis_url: match config.redis.acl {
                // Whatever is told to no container need not change with the gateway's password.
                RedisAcl::On => redis.for_user(None),
                RedisAcl::Off => redis.container_url.expose().to_owned(),
            },
            key_prefix: config.redis.key_prefix.clone(),
            output_buffer: config.redis.output_buffer as usize,
            output_buffer_bytes: config.redis.output_buffer_bytes as usize,
            retain_ms: millis(config.timeouts.retain),
            stop_ms: millis(config.timeouts.stop),
            heartbeat_ms: millis(heartbeat(config)),
            stall_ms: millis(config.timeouts.stall),
            turn_ms: config.timeouts.turn.map(millis),
            permission_ms: Some(millis(config.permissions.timeout)),
            on_permission_timeout: match config.permissions.on_timeout {
                OnTimeout::Allow => Behavior::Allow,
                OnTimeout::Deny => Behavior::Deny,
            },
            function_ms: millis(config.timeouts.function),
            follow_stdin: !docker,
            claude,
        };
        let folders = (!docker).then(|| config.data_dir.join("containers"));
        Self {
            boot,
            redis,
            users,
            acl: config.redis.acl,
            mcp_url,
            folders,
        }
    }

    /// The password of a new container's Redis user, if it is to have one.
    pub(crate) fn password(&self) -> Option<Password> {
        match self.acl {
            RedisAcl::On => Some(Password::mint()),
            RedisAcl::Off => None,
        }
    }

    /// A launch for a new container.
    pub(crate) fn launch(
        &self,
        container: ContainerId,
        token: &Token,
        password: Option<&Password>,
        pool: &str,
        print: &str,
    ) -> Launch {
        let mut boot = self.boot.clone();
        boot.container = container.clone();
        if let Some(password) = password {
            let user = self.users.name(&container);
            boot.redis_url = self.redis.for_user(Some((&user, password)));
        }
        if let Some(folder) = self
            .folders
            .as_ref()
            .map(|all| all.join(container.as_str()))
        {
            let inside = |name: &str| Path::join(&folder, name).display().to_string();
            boot.claude.cwd = inside("workspace");
            boot.claude.home = inside("home");
        }
        boot.claude.mcp = self.mcp_url.clone().map(|url| McpEndpoint {
            url,
            token: token.expose().to_owned(),
        });
        Launch {
            container,
            pool: pool.to_owned(),
            fingerprint: print.to_owned(),
            boot,
        }
    }

    /// What all containers of this configuration have in common, as 16 hex digits. Another image,
    /// limit, mount, environment or flag gives another one.
    pub(crate) fn fingerprint(&self, ingredients: &str) -> String {
        let mut hasher = Sha256::new();
        hasher.update(self.boot.to_json());
        hasher.update(self.acl.as_str());
        hasher.update(self.mcp_url.as_deref().unwrap_or(""));
        hasher.update(ingredients);
        hex::encode(&hasher.finalize()[..8])
    }
}

/// The model that `claude` is started with.
pub(crate) fn boot_model(config: &Config) -> String {
    let ModelChain { primary, fallbacks } = &config.model;
    let named = || {
        let first = iter::once(primary)
            .chain(fallbacks)
            .find(|model| model.provider() == IN_CONTAINERS);
        first.unwrap_or(primary).model().to_owned()
    };
    config.claude.model.clone().unwrap_or_else(named)
}

/// How often wrappers are heard of: twice per health check, but not more than every half second
/// nor less than every five.
pub(crate) fn heartbeat(config: &Config) -> Duration {
    let half = config.timeouts.health_interval / 2;
    half.clamp(Duration::from_millis(500), Duration::from_secs(5))
}

/// After how long a silent wrapper is taken for dead.
pub(crate) fn heartbeat_limit(config: &Config) -> Duration {
    heartbeat(config) * 3 + Duration::from_secs(5)
}

#[cfg(test)]
mod tests {
    use ccpool_protocol::keys::Keys;

    use super::*;
    use crate::config::Secret;

    fn launcher(config: &Config) -> Launcher {
        let url = Secret::new("redis://:fake-gateway@127.0.0.1:1");
        let redis = RedisAddress {
            url: url.clone(),
            container_url: url,
            socket_dir: None,
        };
        let credentials = BTreeMap::from([("ANTHROPIC_API_KEY".into(), "sk-ant-fake".into())]);
        let users = Users::new(Keys::new("k:"), 0);
        Launcher::new(
            config,
            redis,
            users,
            Some("http://h/mcp".into()),
            &credentials,
        )
    }

    #[test]
    fn the_fingerprint_follows_the_configuration_and_not_the_container() {
        let config = Config::default();
        let print = launcher(&config).fingerprint("image");
        assert_eq!(print, launcher(&config).fingerprint("image"));
        assert_ne!(print, launcher(&config).fingerprint("another image"));
        let mut changed = config.clone();
        changed.claude.extra_args.push("--effort".into());
        assert_ne!(print, launcher(&changed).fingerprint("image"));
    }

    #[test]
    fn the_configured_environment_goes_before_the_gateways() {
        let mut config = Config::default();
        config
            .claude
            .env
            .insert("ANTHROPIC_API_KEY".into(), Secret::new("sk-other-fake"));
        let container = ContainerId::from_random(1);
        let token = Token::mint(&container);
        let launch = launcher(&config).launch(container.clone(), &token, None, "pool", "print");
        assert_eq!(launch.boot.claude.env["ANTHROPIC_API_KEY"], "sk-other-fake");
        assert_eq!(launch.boot.container, container);
        assert!(
            !format!("{launch:?}").contains("sk-"),
            "secrets are not shown"
        );
    }

    #[test]
    fn containers_begin_with_the_first_model_that_is_theirs() {
        let mut config = Config::default();
        assert_eq!(boot_model(&config), "opus");
        let model = |text: &str| text.parse().expect("a model");
        config.model.primary = model("anthropic/claude-sonnet-5-5");
        assert_eq!(boot_model(&config), "claude-sonnet-5-5");
        config.model.fallbacks = vec![model("claude-cli/opus"), model("docker-claude-code/haiku")];
        assert_eq!(boot_model(&config), "haiku");
        config.claude.model = Some("opus[1m]".into());
        assert_eq!(boot_model(&config), "opus[1m]");
    }

    #[test]
    fn a_container_is_told_its_own_password_and_no_other() {
        let mut config = Config::default();
        let container = ContainerId::from_random(1);
        let token = Token::mint(&container);
        let launched = |config: &Config| {
            let launcher = launcher(config);
            let password = launcher.password();
            let launch = launcher.launch(
                container.clone(),
                &token,
                password.as_ref(),
                "pool",
                "print",
            );
            (password, launch)
        };
        config.redis.acl = RedisAcl::On;
        let (password, launch) = launched(&config);
        let password = password.unwrap();
        let url = format!(
            "redis://k%3Apool%3Acontainer%3A{container}:{}@127.0.0.1:1",
            password.expose()
        );
        assert_eq!(launch.boot.redis_url, url);
        assert!(!format!("{launch:?}").contains(password.expose()));
        config.redis.acl = RedisAcl::Off;
        let (password, launch) = launched(&config);
        assert!(password.is_none());
        assert!(launch.boot.redis_url.contains(":fake-gateway@"));
    }
}
