//! Containers in Docker, through the Engine API (Engine 20.10 and newer).

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bollard::Docker;
use bollard::errors::Error as DockerError;
use bollard::models::{ContainerCreateBody, HostConfig, NetworkCreateRequest};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, EventsOptionsBuilder, InspectContainerOptions,
    InspectNetworkOptions, ListContainersOptionsBuilder, LogsOptionsBuilder,
    RemoveContainerOptionsBuilder, RenameContainerOptionsBuilder, StartContainerOptions,
    StopContainerOptionsBuilder, WaitContainerOptions,
};
use ccpool_protocol::{ContainerId, boot};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use sha2::{Digest, Sha256};

use super::{Exit, HostAddress, Launch, Presence, Runtime, RuntimeError};
use crate::config::Config;

/// On every container of any pool.
const LABEL: &str = "clawdbot.docker-cc";
/// Whose container it is.
const LABEL_POOL: &str = "ccpool.pool";
/// Which one.
const LABEL_CONTAINER: &str = "ccpool.container";
/// What it was made from.
const LABEL_FINGERPRINT: &str = "ccpool.fingerprint";

/// The wrapper starts `claude` under another uid and stops it again; nothing else needs rights.
const CAPABILITIES: [&str; 3] = ["SETUID", "SETGID", "KILL"];
/// How long one call to the Engine may take.
const CALL_TIMEOUT_S: u64 = 60;

/// How long another one's removal of a container is waited for.
const REMOVAL_TIMEOUT: Duration = Duration::from_secs(10);

/// The Docker Engine as a runtime.
pub struct DockerRuntime {
    docker: Docker,
    /// By the Engine's own id, which two gateways on one Engine both see.
    host: String,
    image: String,
    prefix: String,
    network: String,
    host_config: HostConfig,
    env: Vec<String>,
}

impl DockerRuntime {
    /// Connects to the Engine that the configuration names, or to Docker's default one.
    /// `socket_dir`: a folder with Redis' Unix socket, to be seen inside as
    /// [`crate::redis_address::CONTAINER_SOCKET_DIR`].
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn connect(
        config: &Config,
        socket_dir: Option<PathBuf>,
    ) -> Result<Self, RuntimeError> {
        let connected = match &config.docker.host {
            Some(host) => Docker::connect_with_host(host.as_str()),
            None => Docker::connect_with_defaults(),
        };
        let docker = connected
            .map_err(|error| unreachable(&error))?
            .with_timeout(Duration::from_secs(CALL_TIMEOUT_S))
            .negotiate_version()
            .await
            .map_err(|error| unreachable(&error))?;
        let info = docker.info().await.map_err(|error| unreachable(&error))?;
        Ok(Self {
            docker,
            host: format!("docker:{}", info.id.unwrap_or_default()),
            image: config.image.as_str().to_owned(),
            prefix: config.docker.container_prefix.clone(),
            network: config.docker.network.clone(),
            host_config: host_config(config, socket_dir),
            env: config
                .docker
                .env
                .iter()
                .map(|(name, value)| format!("{name}={}", value.expose()))
                .collect(),
        })
    }

    /// Creates the network if it is missing and tells where this host is on it.
    ///
    /// # Errors
    /// When the Engine refuses, or the network has no gateway address.
    pub async fn prepare(&self) -> Result<HostAddress, RuntimeError> {
        if let Some(address) = self.gateway().await? {
            return Ok(address);
        }
        let request = NetworkCreateRequest {
            name: self.network.clone(),
            driver: Some("bridge".to_owned()),
            labels: Some(HashMap::from([(LABEL.to_owned(), "1".to_owned())])),
            ..NetworkCreateRequest::default()
        };
        match self.docker.create_network(request).await {
            // Another gateway was quicker.
            Ok(_)
            | Err(DockerError::DockerResponseServerError {
                status_code: 409, ..
            }) => {}
            Err(error) => return Err(refused("create the network", &error)),
        }
        self.gateway().await?.ok_or_else(|| RuntimeError::Refused {
            action: "tell the network's gateway",
            detail: format!("the network `{}` has no gateway address", self.network),
        })
    }

    async fn gateway(&self) -> Result<Option<HostAddress>, RuntimeError> {
        let network = match self
            .docker
            .inspect_network(&self.network, None::<InspectNetworkOptions>)
            .await
        {
            Ok(network) => network,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(refused("inspect the network", &error)),
        };
        let configs = network
            .ipam
            .and_then(|ipam| ipam.config)
            .unwrap_or_default();
        let gateway = configs
            .into_iter()
            .find_map(|config| config.gateway?.parse::<IpAddr>().ok());
        Ok(gateway.map(|ip| HostAddress { ip }))
    }

    /// The Engine's own id of a container; names change, this label does not.
    async fn find(&self, container: &ContainerId) -> Result<Option<String>, RuntimeError> {
        let found = self
            .summaries(format!("{LABEL_CONTAINER}={container}"))
            .await?;
        Ok(found.into_iter().next().and_then(|summary| summary.id))
    }

    async fn summaries(
        &self,
        label: String,
    ) -> Result<Vec<bollard::models::ContainerSummary>, RuntimeError> {
        let labels = vec![format!("{LABEL}=1"), label];
        let filters = HashMap::from([("label".to_owned(), labels)]);
        let options = ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&filters)
            .build();
        self.docker
            .list_containers(Some(options))
            .await
            .map_err(|error| refused("list containers", &error))
    }

    async fn until_gone(&self, container: &ContainerId) -> Result<(), RuntimeError> {
        let mut look = tokio::time::interval(Duration::from_millis(50));
        let gone = async {
            while self.find(container).await?.is_some() {
                look.tick().await;
            }
            Ok(())
        };
        match tokio::time::timeout(REMOVAL_TIMEOUT, gone).await {
            Ok(gone) => gone,
            Err(_) => Err(RuntimeError::Refused {
                action: "remove a container",
                detail: format!("its removal is still in progress after {REMOVAL_TIMEOUT:?}"),
            }),
        }
    }

    async fn exit_of(&self, runtime_id: &str) -> Exit {
        let inspected = self
            .docker
            .inspect_container(runtime_id, None::<InspectContainerOptions>)
            .await;
        let state = inspected.ok().and_then(|container| container.state);
        Exit {
            code: state.as_ref().and_then(|state| state.exit_code),
            oom: state.is_some_and(|state| state.oom_killed == Some(true)),
        }
    }
}

fn host_config(config: &Config, socket_dir: Option<PathBuf>) -> HostConfig {
    let mut binds: Vec<String> = config
        .docker
        .binds
        .iter()
        .map(ToString::to_string)
        .collect();
    let mut groups = None;
    if let Some(dir) = socket_dir {
        binds.push(format!(
            "{}:{}:ro",
            dir.display(),
            crate::redis_address::CONTAINER_SOCKET_DIR
        ));
        // The wrapper may enter the folder as a member of its group; the agent is in no group.
        use std::os::unix::fs::MetadataExt as _;
        groups = std::fs::metadata(&dir)
            .ok()
            .map(|meta| vec![meta.gid().to_string()]);
    }
    HostConfig {
        // Validated to fit.
        memory: i64::try_from(config.resources.memory.as_u64()).ok(),
        memory_swap: i64::try_from(config.resources.memory.as_u64()).ok(),
        nano_cpus: i64::try_from(config.resources.cpus.get()).ok(),
        pids_limit: Some(i64::from(config.resources.pids_limit)),
        cap_drop: Some(config.docker.cap_drop.clone()),
        cap_add: Some(CAPABILITIES.map(str::to_owned).to_vec()),
        security_opt: Some(config.docker.security_opts.clone()),
        binds: Some(binds),
        group_add: groups,
        network_mode: Some(config.docker.network.clone()),
        init: Some(false),
        ..HostConfig::default()
    }
}

#[async_trait]
impl Runtime for DockerRuntime {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn host(&self) -> &str {
        &self.host
    }

    fn isolation(&self) -> &'static str {
        "container"
    }

    async fn ingredients(&self) -> Result<String, RuntimeError> {
        let image = match self.docker.inspect_image(&self.image).await {
            Ok(image) => image.id.unwrap_or_default(),
            Err(error) if is_missing(&error) => {
                return Err(RuntimeError::ImageMissing {
                    image: self.image.clone(),
                });
            }
            Err(error) => return Err(refused("inspect the image", &error)),
        };
        let limits = serde_json::to_string(&self.host_config).unwrap_or_default();
        let env = hex::encode(Sha256::digest(self.env.join("\n").as_bytes()));
        Ok(format!("{image}\n{limits}\n{env}"))
    }

    async fn start(&self, launch: &Launch) -> Result<String, RuntimeError> {
        let mut env = self.env.clone();
        env.push(format!("{}={}", boot::ENV, launch.boot.to_json()));
        let labels = HashMap::from([
            (LABEL.to_owned(), "1".to_owned()),
            (LABEL_POOL.to_owned(), launch.pool.clone()),
            (LABEL_CONTAINER.to_owned(), launch.container.to_string()),
            (LABEL_FINGERPRINT.to_owned(), launch.fingerprint.clone()),
        ]);
        let body = ContainerCreateBody {
            image: Some(self.image.clone()),
            env: Some(env),
            labels: Some(labels),
            host_config: Some(self.host_config.clone()),
            ..ContainerCreateBody::default()
        };
        let name = format!("{}{}", self.prefix, launch.container);
        let options = CreateContainerOptionsBuilder::new().name(&name).build();
        let id = match self.docker.create_container(Some(options), body).await {
            Ok(created) => created.id,
            Err(error) if is_missing(&error) => {
                return Err(RuntimeError::ImageMissing {
                    image: self.image.clone(),
                });
            }
            Err(error) => return Err(refused("create a container", &error)),
        };
        if let Err(error) = self
            .docker
            .start_container(&id, None::<StartContainerOptions>)
            .await
        {
            self.remove(&launch.container, Duration::ZERO).await?;
            return Err(refused("start a container", &error));
        }
        Ok(id)
    }

    async fn rename(&self, container: &ContainerId, suffix: &str) -> Result<(), RuntimeError> {
        let Some(id) = self.find(container).await? else {
            return Ok(());
        };
        let name = format!("{}{suffix}", self.prefix);
        let options = RenameContainerOptionsBuilder::new().name(&name).build();
        self.docker
            .rename_container(&id, options)
            .await
            .map_err(|error| refused("rename a container", &error))
    }

    async fn list(&self, pool: &str) -> Result<BTreeMap<ContainerId, Presence>, RuntimeError> {
        let mut present = BTreeMap::new();
        for summary in self.summaries(format!("{LABEL_POOL}={pool}")).await? {
            let label = summary
                .labels
                .as_ref()
                .and_then(|labels| labels.get(LABEL_CONTAINER));
            let Some(container) = label.and_then(|id| ContainerId::new(id.as_str()).ok()) else {
                continue;
            };
            let state = summary
                .state
                .map(|state| state.to_string())
                .unwrap_or_default();
            let presence = match (state.as_str(), summary.id) {
                ("exited" | "dead", Some(id)) => Presence::Exited(self.exit_of(&id).await),
                _ => Presence::Running,
            };
            present.insert(container, presence);
        }
        Ok(present)
    }

    async fn exit(
        &self,
        container: &ContainerId,
        patience: Duration,
    ) -> Result<Option<Exit>, RuntimeError> {
        let Some(id) = self.find(container).await? else {
            return Ok(None);
        };
        let mut ended = self
            .docker
            .wait_container(&id, None::<WaitContainerOptions>);
        // What it says of the exit code, inspecting says too.
        if tokio::time::timeout(patience, ended.next()).await.is_err() {
            return Ok(None);
        }
        Ok(Some(self.exit_of(&id).await))
    }

    async fn remove(&self, container: &ContainerId, grace: Duration) -> Result<(), RuntimeError> {
        let Some(id) = self.find(container).await? else {
            return Ok(());
        };
        if !grace.is_zero() {
            // Whole seconds are all that the Engine takes.
            let seconds = i32::try_from(grace.as_millis().div_ceil(1000)).unwrap_or(i32::MAX);
            let options = StopContainerOptionsBuilder::new().t(seconds).build();
            match self.docker.stop_container(&id, Some(options)).await {
                Ok(()) => {}
                // Stopped already (304), or gone.
                Err(DockerError::DockerResponseServerError {
                    status_code: 304 | 404,
                    ..
                }) => {}
                Err(error) => return Err(refused("stop a container", &error)),
            }
        }
        let options = RemoveContainerOptionsBuilder::new()
            .force(true)
            .v(true)
            .build();
        match self.docker.remove_container(&id, Some(options)).await {
            Ok(())
            | Err(DockerError::DockerResponseServerError {
                status_code: 404, ..
            }) => Ok(()),
            // Somebody else is removing it; it is gone when they are done.
            Err(DockerError::DockerResponseServerError {
                status_code: 409, ..
            }) => self.until_gone(container).await,
            Err(error) => Err(refused("remove a container", &error)),
        }
    }

    async fn log_tail(&self, container: &ContainerId) -> Result<Vec<String>, RuntimeError> {
        let Some(id) = self.find(container).await? else {
            return Ok(Vec::new());
        };
        let options = LogsOptionsBuilder::new()
            .stdout(true)
            .stderr(true)
            .tail("20")
            .build();
        self.docker
            .logs(&id, Some(options))
            .map_ok(|line| line.to_string().trim_end().to_owned())
            .try_collect()
            .await
            .map_err(|error| refused("read the log", &error))
    }

    fn ended(&self) -> BoxStream<'static, ()> {
        let filters = HashMap::from([
            ("type".to_owned(), vec!["container".to_owned()]),
            ("event".to_owned(), vec!["die".to_owned()]),
            ("label".to_owned(), vec![format!("{LABEL}=1")]),
        ]);
        let options = EventsOptionsBuilder::new().filters(&filters).build();
        let docker = self.docker.clone();
        // Ends when the connection does; whoever listens asks for a new one.
        docker
            .events(Some(options))
            .take_while(|e| std::future::ready(e.is_ok()))
            .map(|_| ())
            .boxed()
    }

    async fn ping(&self) -> Result<Duration, RuntimeError> {
        let asked = Instant::now();
        let answer = tokio::time::timeout(Duration::from_secs(2), self.docker.ping()).await;
        match answer {
            Ok(Ok(_)) => Ok(asked.elapsed()),
            Ok(Err(error)) => Err(unreachable(&error)),
            Err(_) => Err(RuntimeError::Unreachable {
                detail: "no answer within 2 s".to_owned(),
            }),
        }
    }
}

fn is_missing(error: &DockerError) -> bool {
    matches!(
        error,
        DockerError::DockerResponseServerError {
            status_code: 404,
            ..
        }
    )
}

/// Says the innermost cause: what is around it names the client's own layers.
fn unreachable(error: &DockerError) -> RuntimeError {
    let mut cause: &dyn Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    RuntimeError::Unreachable {
        detail: cause.to_string(),
    }
}

fn refused(action: &'static str, error: &DockerError) -> RuntimeError {
    match error {
        DockerError::DockerResponseServerError { message, .. } => RuntimeError::Refused {
            action,
            detail: message.clone(),
        },
        error => unreachable(error),
    }
}

impl fmt::Debug for DockerRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DockerRuntime")
            .field("image", &self.image)
            .field("network", &self.network)
            .finish_non_exhaustive()
    }
}
