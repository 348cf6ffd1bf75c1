use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::given::{Complaint, FromValue, Given};
use super::key_path::KeyPath;
use super::names::{EnvValue, HostPath, env_name_complaint};
use super::problem::{ConfigErrors, Origin, Problem};
use super::raw::{
    RawAgent, RawClaude, RawConfig, RawDocker, RawHttp, RawImageBuild, RawModel, RawPermissions,
    RawPool, RawRedis, RawResources, RawTelemetry, RawTimeouts,
};
use super::search::home_expanded;
use super::secret::Secret;
use super::settings::{
    Agent, Claude, Config, Docker, Http, ImageBuild, ModelChain, Permissions, Pool, Redis,
    Resources, Telemetry, Timeouts,
};
use super::units::Text;
use crate::ask_rules;

/// A merged configuration that has not been checked, and what checking it takes.
pub(crate) struct Candidate<'a> {
    pub(crate) raw: RawConfig,
    /// Where its values came from, to say so in problems.
    pub(crate) origins: &'a BTreeMap<KeyPath, Origin>,
    /// What `~` stands for.
    pub(crate) home: Option<&'a Path>,
    /// `dataDir` where none is given.
    pub(crate) data_dir: PathBuf,
}

impl TryFrom<Candidate<'_>> for Config {
    type Error = ConfigErrors;

    fn try_from(candidate: Candidate<'_>) -> Result<Self, Self::Error> {
        let Candidate {
            raw,
            origins,
            home,
            data_dir,
        } = candidate;
        let mut check = Check {
            origins,
            home,
            problems: Vec::new(),
        };
        let fallback = RawConfig::default();
        let top = KeyPath::ROOT;
        let config = Config {
            enabled: check.value(&top.key("enabled"), &raw.enabled, &fallback.enabled),
            pool: check.pool(&raw.pool),
            image: check.value(&top.key("image"), &raw.image, &fallback.image),
            resources: check.resources(&raw.resources),
            timeouts: check.timeouts(&raw.timeouts),
            redis: check.redis(&raw.redis),
            docker: check.docker(&raw.docker),
            http: check.http(&raw.http),
            openai: check.openai(&raw.openai),
            telemetry: check.telemetry(&raw.telemetry),
            runtime: check.value(&top.key("runtime"), &raw.runtime, &fallback.runtime),
            model: check.model(&raw.model),
            anthropic: check.anthropic(&raw.anthropic),
            claude: check.claude(&raw.claude),
            claude_cli: check.claude_cli(&raw.claude_cli),
            permissions: check.permissions(&raw.permissions),
            skip_permissions: check.value(
                &top.key("skipPermissions"),
                &raw.skip_permissions,
                &fallback.skip_permissions,
            ),
            agents: check.agents(&raw.agents),
            data_dir: check
                .optional(&top.key("dataDir"), &raw.data_dir)
                .map_or(data_dir, |path| check.host_path(&path)),
            image_build: check.image_build(&raw.image_build),
            tools: check.tools(&raw.tools),
        };
        if !config.permissions.ask.is_empty()
            && let Some(at) = ask_rules::hidden_by(&config.claude.extra_args)
        {
            let what =
                "gives settings that are no JSON object, so `permissions.ask` cannot join them";
            let mend = "write them here as JSON, or put the ask rules into that file";
            let path = KeyPath::of("claude.extraArgs").index(at);
            check.complain(&path, Complaint::new(what, mend));
        }
        ConfigErrors::check(check.problems).map(|()| config)
    }
}

/// Collects problems while values are taken. A value that is wrong is replaced by its default,
/// so that checking goes on; the configuration is then thrown away.
pub(super) struct Check<'a> {
    origins: &'a BTreeMap<KeyPath, Origin>,
    home: Option<&'a Path>,
    problems: Vec<Problem>,
}

impl Check<'_> {
    pub(super) fn value<T: FromValue>(
        &mut self,
        path: &KeyPath,
        given: &Given<T>,
        fallback: &Given<T>,
    ) -> T {
        T::from_value(given.value()).unwrap_or_else(|complaint| {
            self.complain(path, complaint);
            match T::from_value(fallback.value()) {
                Ok(value) => value,
                Err(complaint) => unreachable!("default of {path} {}", complaint.what),
            }
        })
    }

    pub(super) fn optional<T: FromValue>(&mut self, path: &KeyPath, given: &Given<T>) -> Option<T> {
        if given.is_unset() {
            return None;
        }
        T::from_value(given.value())
            .map_err(|complaint| self.complain(path, complaint))
            .ok()
    }

    /// A value that has no default and must be there; `mend` says what to write where it is not.
    pub(super) fn needed<T: FromValue>(
        &mut self,
        path: &KeyPath,
        given: &Given<T>,
        mend: &str,
    ) -> Option<T> {
        if given.is_unset() {
            self.complain(path, Complaint::new("is missing", mend));
        }
        self.optional(path, given)
    }

    pub(super) fn list<T: FromValue>(&mut self, path: &KeyPath, given: &Given<Vec<T>>) -> Vec<T> {
        let items = given.value().as_array().unwrap_or_default();
        let mut values = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            match T::from_value(item) {
                Ok(value) => values.push(value),
                Err(complaint) => self.complain(&path.index(index), complaint),
            }
        }
        values
    }

    pub(super) fn texts(&mut self, path: &KeyPath, given: &Given<Vec<Text>>) -> Vec<String> {
        self.list(path, given)
            .into_iter()
            .map(|text| text.0)
            .collect()
    }

    pub(super) fn variables(
        &mut self,
        path: &KeyPath,
        given: &BTreeMap<String, Given<EnvValue>>,
    ) -> BTreeMap<String, Secret> {
        let mut variables = BTreeMap::new();
        for (name, value) in given {
            let at = path.key(name.split('=').next().unwrap_or_default());
            if let Some(complaint) = env_name_complaint(name) {
                self.complain(&at, complaint);
            } else if let Some(value) = self.optional(&at, value) {
                variables.insert(name.clone(), value.0);
            }
        }
        variables
    }

    pub(super) fn host_path(&self, path: &HostPath) -> PathBuf {
        home_expanded(Path::new(&path.0), self.home)
    }

    pub(super) fn complain(&mut self, path: &KeyPath, complaint: Complaint) {
        // Named by the nearest key that something set: a list may have been set as a whole.
        let source = std::iter::successors(Some(path.clone()), KeyPath::parent)
            .find_map(|path| self.origins.get(&path).cloned())
            .unwrap_or(Origin::Default);
        let what = format!("`{path}` {}", complaint.what);
        self.problems.push(Problem {
            path: path.clone(),
            source,
            what,
            mend: complaint.mend,
        });
    }

    pub(super) fn is_sound(&self, paths: &[&KeyPath]) -> bool {
        !self
            .problems
            .iter()
            .any(|problem| paths.contains(&&problem.path))
    }

    fn pool(&mut self, raw: &RawPool) -> Pool {
        let RawPool {
            min_warm,
            max_total,
            max_per_agent,
            claim_timeout_ms,
            adaptive,
        } = raw;
        let default = RawPool::default();
        let at = |key: &str| KeyPath::of("pool").key(key);
        let (warm_path, total_path) = (at("minWarm"), at("maxTotal"));
        let pool = Pool {
            min_warm: self.value(&warm_path, min_warm, &default.min_warm).0,
            max_total: self.value(&total_path, max_total, &default.max_total).0,
            max_per_agent: self
                .value(&at("maxPerAgent"), max_per_agent, &default.max_per_agent)
                .0,
            claim_timeout: self
                .value(
                    &at("claimTimeoutMs"),
                    claim_timeout_ms,
                    &default.claim_timeout_ms,
                )
                .into(),
            adaptive: self.value(&at("adaptive"), adaptive, &default.adaptive),
        };
        if pool.min_warm > pool.max_total && self.is_sound(&[&warm_path, &total_path]) {
            let Pool {
                min_warm,
                max_total,
                ..
            } = pool;
            // Told where the person wrote something: `minWarm` may be the default.
            let path = if self.origins.contains_key(&warm_path) {
                warm_path
            } else {
                total_path
            };
            let what = format!(
                "does not fit: `pool.minWarm` is {min_warm}, more than `pool.maxTotal`, which \
                 is {max_total}"
            );
            let mend = format!("lower minWarm to {max_total} or raise maxTotal to {min_warm}");
            self.complain(&path, Complaint::new(what, mend));
        }
        pool
    }

    fn resources(&mut self, raw: &RawResources) -> Resources {
        let RawResources {
            memory,
            cpus,
            pids_limit,
        } = raw;
        let default = RawResources::default();
        let at = |key: &str| KeyPath::of("resources").key(key);
        Resources {
            memory: self.value(&at("memory"), memory, &default.memory).0,
            cpus: self.value(&at("cpus"), cpus, &default.cpus),
            pids_limit: self
                .value(&at("pidsLimit"), pids_limit, &default.pids_limit)
                .0,
        }
    }

    fn timeouts(&mut self, raw: &RawTimeouts) -> Timeouts {
        let default = RawTimeouts::default();
        let at = |key: &str| KeyPath::of("timeouts").key(key);
        Timeouts {
            idle: self
                .value(&at("idleMs"), &raw.idle_ms, &default.idle_ms)
                .into(),
            max_age: self
                .value(&at("maxAgeMs"), &raw.max_age_ms, &default.max_age_ms)
                .into(),
            health_interval: self
                .value(
                    &at("healthIntervalMs"),
                    &raw.health_interval_ms,
                    &default.health_interval_ms,
                )
                .into(),
            startup: self
                .value(&at("startupMs"), &raw.startup_ms, &default.startup_ms)
                .into(),
            stall: self
                .value(&at("stallMs"), &raw.stall_ms, &default.stall_ms)
                .into(),
            turn: self.optional(&at("turnMs"), &raw.turn_ms).map(Into::into),
            function: self
                .value(&at("functionMs"), &raw.function_ms, &default.function_ms)
                .into(),
            retain: self
                .value(&at("retainMs"), &raw.retain_ms, &default.retain_ms)
                .into(),
            stop: self
                .value(&at("stopMs"), &raw.stop_ms, &default.stop_ms)
                .into(),
        }
    }

    fn redis(&mut self, raw: &RawRedis) -> Redis {
        let RawRedis {
            url,
            key_prefix,
            output_buffer,
            output_buffer_bytes,
            acl,
            container_url,
        } = raw;
        let default = RawRedis::default();
        let at = |key: &str| KeyPath::of("redis").key(key);
        Redis {
            url: self.value(&at("url"), url, &default.url),
            key_prefix: self
                .value(&at("keyPrefix"), key_prefix, &default.key_prefix)
                .0,
            output_buffer: self
                .value(&at("outputBuffer"), output_buffer, &default.output_buffer)
                .0,
            output_buffer_bytes: self
                .value(
                    &at("outputBufferBytes"),
                    output_buffer_bytes,
                    &default.output_buffer_bytes,
                )
                .0,
            acl: self.value(&at("acl"), acl, &default.acl),
            container_url: self.optional(&at("containerUrl"), container_url),
        }
    }

    fn docker(&mut self, raw: &RawDocker) -> Docker {
        let default = RawDocker::default();
        let at = |key: &str| KeyPath::of("docker").key(key);
        Docker {
            host: self.optional(&at("host"), &raw.host),
            container_prefix: self
                .value(
                    &at("containerPrefix"),
                    &raw.container_prefix,
                    &default.container_prefix,
                )
                .0,
            network: self.value(&at("network"), &raw.network, &default.network).0,
            cap_drop: self
                .list(&at("capDrop"), &raw.cap_drop)
                .into_iter()
                .map(|capability| capability.0)
                .collect(),
            security_opts: self.texts(&at("securityOpts"), &raw.security_opts),
            binds: self.list(&at("binds"), &raw.binds),
            env: self.variables(&at("env"), &raw.env),
            gateway_url: self.optional(&at("gatewayUrl"), &raw.gateway_url),
        }
    }

    fn telemetry(&mut self, raw: &RawTelemetry) -> Telemetry {
        let RawTelemetry { otlp_endpoint } = raw;
        let path = KeyPath::of("telemetry.otlpEndpoint");
        Telemetry {
            otlp_endpoint: self.optional(&path, otlp_endpoint),
        }
    }

    fn http(&mut self, raw: &RawHttp) -> Http {
        let default = RawHttp::default();
        let listen_path = KeyPath::of("http.listen");
        let token_path = KeyPath::of("http.token");
        let http = Http {
            listen: self.value(&listen_path, &raw.listen, &default.listen).0,
            token: self.optional(&token_path, &raw.token).map(|token| token.0),
        };
        let is_open = !http.listen.ip().to_canonical().is_loopback();
        if is_open && http.token.is_none() && self.is_sound(&[&listen_path, &token_path]) {
            let what = format!(
                "is {}, which other machines reach, and without `http.token` anyone there could \
                 run agents and spend your tokens",
                http.listen
            );
            let mend = "set http.token (CCPOOL_HTTP__TOKEN), or listen on 127.0.0.1";
            self.complain(&listen_path, Complaint::new(what, mend));
        }
        http
    }

    fn model(&mut self, raw: &RawModel) -> ModelChain {
        let default = RawModel::default();
        ModelChain {
            primary: self.value(
                &KeyPath::of("model.primary"),
                &raw.primary,
                &default.primary,
            ),
            fallbacks: self.list(&KeyPath::of("model.fallbacks"), &raw.fallbacks),
        }
    }

    fn claude(&mut self, raw: &RawClaude) -> Claude {
        let RawClaude {
            version,
            env,
            path,
            model,
            append_system_prompt,
            background_tasks,
            extra_args,
        } = raw;
        let default = RawClaude::default();
        let at = |key: &str| KeyPath::of("claude").key(key);
        let path = self.value(&at("path"), path, &default.path);
        Claude {
            version: self.value(&at("version"), version, &default.version).0,
            env: self.variables(&at("env"), env),
            path: self.host_path(&path),
            model: self.optional(&at("model"), model).map(|text| text.0),
            append_system_prompt: self
                .optional(&at("appendSystemPrompt"), append_system_prompt)
                .map(|text| text.0),
            background_tasks: self.value(
                &at("backgroundTasks"),
                background_tasks,
                &default.background_tasks,
            ),
            extra_args: self.texts(&at("extraArgs"), extra_args),
        }
    }

    fn permissions(&mut self, raw: &RawPermissions) -> Permissions {
        let RawPermissions {
            mode,
            allow,
            deny,
            ask,
            timeout_ms,
            on_timeout,
        } = raw;
        let default = RawPermissions::default();
        let at = |key: &str| KeyPath::of("permissions").key(key);
        Permissions {
            mode: self.value(&at("mode"), mode, &default.mode),
            allow: self.texts(&at("allow"), allow),
            deny: self.texts(&at("deny"), deny),
            ask: self.texts(&at("ask"), ask),
            timeout: self
                .value(&at("timeoutMs"), timeout_ms, &default.timeout_ms)
                .into(),
            on_timeout: self.value(&at("onTimeout"), on_timeout, &default.on_timeout),
        }
    }

    fn agents(&mut self, raw: &BTreeMap<String, RawAgent>) -> BTreeMap<String, Agent> {
        let mut agents = BTreeMap::new();
        for (name, raw) in raw {
            let path = KeyPath::of("agents").key(name);
            if name == "defaults" || name.trim().is_empty() {
                let mend = "choose another name";
                self.complain(&path, Complaint::new("cannot be an agent's name", mend));
                continue;
            }
            let RawAgent {
                model,
                max_containers,
                append_system_prompt,
                description,
                tools,
            } = raw;
            let agent = Agent {
                model: self.optional(&path.key("model"), model),
                max_containers: self
                    .optional(&path.key("maxContainers"), max_containers)
                    .map(|count| count.0),
                append_system_prompt: self
                    .optional(&path.key("appendSystemPrompt"), append_system_prompt)
                    .map(|text| text.0),
                description: self
                    .optional(&path.key("description"), description)
                    .map(|text| text.0),
                tools: self.agent_rules(&path.key("tools"), tools),
            };
            agents.insert(name.clone(), agent);
        }
        agents
    }

    fn image_build(&mut self, raw: &RawImageBuild) -> ImageBuild {
        let RawImageBuild {
            base,
            ca_certificates,
        } = raw;
        let default = RawImageBuild::default();
        let certificates = self.list(&KeyPath::of("imageBuild.caCertificates"), ca_certificates);
        ImageBuild {
            base: self.value(&KeyPath::of("imageBuild.base"), base, &default.base),
            ca_certificates: certificates
                .iter()
                .map(|path| self.host_path(path))
                .collect(),
        }
    }
}
