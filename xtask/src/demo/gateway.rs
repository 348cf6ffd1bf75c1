use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::client::{GatewayClient, PoolView};
use super::network::Network;
use crate::daemon::Daemon;
use crate::setup::Containers;

/// It prepares Redis and the runtime first.
const STARTUP: Duration = Duration::from_secs(60);

/// What `ccpool serve` may take to remove its containers, and what it gets before it is killed.
const STOP_SECONDS: &str = "20";
const GRACE: Duration = Duration::from_secs(40);

/// A connection breaks somewhat before the process has ended.
const DYING: Duration = Duration::from_millis(500);

/// Between two looks at the pool.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A container that fails is replaced; when this many did, none will come up.
const FAILURES: usize = 3;

/// How many warm containers the pool keeps.
pub(crate) const WARM: usize = 2;

/// What the gateway is started with.
#[derive(Debug)]
pub(crate) struct Settings<'a> {
    /// The binary `ccpool`.
    pub(crate) program: PathBuf,
    /// The engine's image, or none for the process runtime.
    pub(crate) containers: Option<&'a Containers>,
    /// The wrapper, for the process runtime.
    pub(crate) wrapper: &'a Path,
    /// The CLI, for the process runtime.
    pub(crate) claude: &'a Path,
    /// The beginning of every container's name and every key.
    pub(crate) name: &'a str,
    /// The network, with Docker.
    pub(crate) network: &'a str,
    /// For logs and data.
    pub(crate) folder: &'a Path,
    /// For the CLI.
    pub(crate) environment: BTreeMap<&'static str, String>,
    /// What else the configuration holds; it wins, key by key.
    pub(crate) own: Value,
}

/// `ccpool serve` as a child; it stops, and removes its containers, when this is dropped.
#[derive(Debug)]
pub(crate) struct Gateway {
    daemon: Daemon,
    client: GatewayClient,
    url: String,
}

impl Gateway {
    /// Starts it and waits until it answers.
    ///
    /// # Errors
    /// It does not; the message has the end of its log.
    pub(crate) fn start(settings: &Settings<'_>) -> Result<Self> {
        let folder = settings.folder;
        let configuration = folder.join("gateway.yaml");
        // JSON is YAML, and its quoting has no surprises.
        let text = format!("{:#}\n", settings.configuration());
        fs::write(&configuration, text)
            .with_context(|| format!("cannot write {}", configuration.display()))?;
        let port_file = folder.join("port");
        let mut arguments: Vec<&OsStr> = ["serve", "--stop-timeout", STOP_SECONDS, "--config"]
            .map(OsStr::new)
            .to_vec();
        arguments.extend([configuration.as_os_str(), OsStr::new("--port-file")]);
        arguments.push(port_file.as_os_str());
        if settings.containers.is_none() {
            arguments.extend([OsStr::new("--wrapper"), settings.wrapper.as_os_str()]);
        }
        let daemon = Daemon::start_without(
            "the gateway",
            &settings.program,
            &arguments,
            &own_configuration(),
            folder.join("gateway.log"),
            GRACE,
        )?;
        let mut port = None;
        daemon.wait_until(STARTUP, || {
            port = fs::read_to_string(&port_file)
                .ok()
                .and_then(|text| text.trim().parse::<u16>().ok());
            port.is_some()
        })?;
        let port = port.context("the gateway has no port")?;
        let url = format!("http://127.0.0.1:{port}");
        Ok(Self {
            daemon,
            client: GatewayClient::new(url.clone()),
            url,
        })
    }

    /// Its interface.
    pub(crate) fn client(&self) -> &GatewayClient {
        &self.client
    }

    /// Where it answers.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// Looks at the pool until it is as `enough` wants it; that view. Every look is shown to
    /// `enough`.
    ///
    /// # Errors
    /// The gateway ends, or `deadline` passes; the message has the end of its log. Or
    /// containers fail again and again; then it has theirs.
    pub(crate) fn wait_for(
        &self,
        deadline: Duration,
        mut enough: impl FnMut(&PoolView) -> bool,
    ) -> Result<PoolView> {
        let mut outcome = None;
        let mut looked: Option<Instant> = None;
        self.daemon.wait_until(deadline, || {
            if looked.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
                return false;
            }
            looked = Some(Instant::now());
            outcome = match self.client.pool() {
                Ok(view) if enough(&view) => Some(Ok(view)),
                Ok(view) if view.failures.len() >= FAILURES => Some(Err(failing(&view))),
                Ok(_) => None,
                Err(error) => Some(Err(self.explained(error))),
            };
            outcome.is_some()
        })?;
        outcome.context("the pool was not looked at")?
    }

    /// The same error, with the end of the gateway's log if it died of what caused it.
    pub(crate) fn explained(&self, error: anyhow::Error) -> anyhow::Error {
        match self.daemon.obituary(DYING) {
            Some(obituary) => anyhow::anyhow!("{error:#}; {obituary}"),
            None => error,
        }
    }
}

impl Settings<'_> {
    fn configuration(&self) -> Value {
        let name = self.name;
        let mut configuration = json!({
            "timeouts": { "startupMs": 60_000 },
            "redis": { "url": "embedded", "keyPrefix": format!("{name}:") },
            "docker": { "network": self.network, "containerPrefix": Network::container_prefix(name) },
            "http": { "listen": "127.0.0.1:0" },
            "dataDir": self.folder,
            "claude": { "env": self.environment },
            // Nobody is there to be asked.
            "permissions": { "mode": "dontAsk" },
        });
        match self.containers {
            Some(containers) => {
                configuration["runtime"] = "docker".into();
                configuration["image"] = containers.image().into();
                // An engine refuses more processors than it has.
                let cpus = std::thread::available_parallelism().map_or(1, usize::from);
                configuration["resources"] = json!({ "memory": "2g", "cpus": cpus.min(2) });
            }
            None => {
                configuration["runtime"] = "process".into();
                configuration["claude"]["path"] = json!(self.claude);
            }
        }
        merge(&mut configuration, &self.own);
        configuration
    }
}

/// Sections are merged, all else is replaced.
fn merge(into: &mut Value, own: &Value) {
    match (into, own) {
        (Value::Object(into), Value::Object(own)) => {
            for (key, value) in own {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, own) => *into = own.clone(),
    }
}

/// Variables by which a user configures a pool of their own.
fn own_configuration() -> Vec<OsString> {
    std::env::vars_os()
        .map(|(name, _)| name)
        .filter(|name| {
            let name = name.to_string_lossy();
            name == "REDIS_URL" || (name.starts_with("CCPOOL_") && name != "CCPOOL_LOG")
        })
        .collect()
}

fn failing(view: &PoolView) -> anyhow::Error {
    let mut told = format!("{} containers failed", view.failures.len());
    for failure in &view.failures {
        told.push_str(&format!("\n  {}: {}", failure.container, failure.reason));
        for line in &failure.log_tail {
            told.push_str(&format!("\n    {line}"));
        }
    }
    anyhow::Error::msg(told)
}
