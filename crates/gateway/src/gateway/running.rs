//! A running gateway.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use ccpool::config::{Config, RedisTarget, RuntimeKind, Secret};
use ccpool::runtime::{DockerRuntime, Measured, ProcessRuntime, Runtime};
use ccpool::{EmbeddedRedis, Pool, PoolParts, RedisAddress};
use ccpool_providers::ClaudeCli;
use ccpool_tools::{GatewayTools, Scheduler, bridge};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::credentials;
use super::error::GatewayError;
use super::listener::{ToolsAddress, bind, host_names};
use super::metrics;
use super::providers;
use super::wrapper;
use crate::http::{AppState, Gate, mcp_only, openapi_text, router};

/// How long streams have to end by themselves.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How often the recorder drops what is out of its window.
const UPKEEP: Duration = Duration::from_secs(5);

/// What a gateway shows to the outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Front {
    /// Everything, on `http.listen`.
    Http,
    /// Only the tools, for its own containers.
    ToolsOnly,
}

/// A pool with its servers. [`Gateway::shutdown`] stops it in order; dropping it cuts it off.
#[derive(Debug)]
pub(crate) struct Gateway {
    pool: Pool,
    scheduler: Scheduler,
    claude_cli: Option<Arc<ClaudeCli>>,
    address: Option<SocketAddr>,
    servers: JoinSet<(&'static str, io::Result<()>)>,
    /// Nothing new is taken.
    closing: CancellationToken,
    /// What is left is cut.
    stop: CancellationToken,
    redis: Option<EmbeddedRedis>,
}

impl Gateway {
    /// Starts everything that the configuration asks for. `wrapper` is the one for the process
    /// runtime, if it was named.
    ///
    /// # Errors
    /// [`GatewayError`]; nothing is left running then.
    pub(crate) async fn start(
        config: Config,
        wrapper: Option<PathBuf>,
        front: Front,
    ) -> Result<Self, GatewayError> {
        // First what is cheap and most likely wrong.
        let main = match front {
            Front::Http => Some(bind(config.http.listen).await?),
            Front::ToolsOnly => None,
        };
        let redis = match &config.redis.url {
            RedisTarget::Embedded => Some(EmbeddedRedis::start(&config.data_dir).await?),
            RedisTarget::Url(_) => None,
        };
        let embedded = redis.as_ref().map(EmbeddedRedis::url);
        match Self::compose(
            Arc::new(config),
            wrapper.as_deref(),
            main,
            embedded.as_ref(),
        )
        .await
        {
            Ok(gateway) => Ok(Self { redis, ..gateway }),
            Err(error) => {
                if let Some(redis) = redis {
                    redis.stop().await;
                }
                Err(error)
            }
        }
    }

    async fn compose(
        config: Arc<Config>,
        wrapper: Option<&Path>,
        main: Option<TcpListener>,
        embedded: Option<&Secret>,
    ) -> Result<Self, GatewayError> {
        let (runtime, host) = runtime(&config, wrapper, embedded).await?;
        let address = match &main {
            Some(listener) => {
                Some(
                    listener
                        .local_addr()
                        .map_err(|source| GatewayError::Listen {
                            address: config.http.listen,
                            source,
                        })?,
                )
            }
            None => None,
        };
        let tools = ToolsAddress::choose(&config, address, host).await?;
        let metrics = match main {
            Some(_) => Some(
                metrics::recorder().map_err(|error| GatewayError::Metrics(error.to_string()))?,
            ),
            None => None,
        };
        let credentials = credentials::from_environment(&config);
        let others = providers::beside_the_pool(&config, &credentials)?;
        let pool = Pool::start(PoolParts {
            runtime,
            redis: RedisAddress::resolve(&config, embedded, host)?,
            mcp_url: Some(tools.url.clone()),
            credentials,
            config: Arc::clone(&config),
        })
        .await?;

        let provider = match providers::chain(&pool, &others, &config) {
            Ok(provider) => provider,
            Err(error) => {
                pool.shutdown(Duration::ZERO).await;
                return Err(error);
            }
        };

        let (closing, stop) = (CancellationToken::new(), CancellationToken::new());
        let mut servers = JoinSet::new();
        let hosts = host_names(&tools.url)
            .into_iter()
            .chain(host.map(|ip| ip.to_string()));
        let offered = GatewayTools::built_in(&pool, &config);
        let mcp = bridge(&pool, offered, hosts, stop.clone());
        if let Some(listener) = tools.listener {
            serve(
                &mut servers,
                "tools",
                listener,
                mcp_only(mcp.clone()),
                &closing,
            );
        }
        if let (Some(listener), Some(metrics), Some(address)) = (main, metrics, address) {
            let state = AppState {
                pool: pool.clone(),
                provider,
                openai: Arc::new(config.openai.clone()),
                metrics: metrics.clone(),
                stop: stop.clone(),
                openapi: openapi_text(),
            };
            let app = router(state, Gate::new(&config.http, address), mcp);
            serve(&mut servers, "HTTP", listener, app, &closing);
            servers.spawn(upkeep(metrics, closing.clone()));
        }
        tracing::debug!(url = tools.url, "tools are served");
        Ok(Self {
            scheduler: Scheduler::start(&pool, &config),
            claude_cli: others.claude_cli,
            pool,
            address,
            servers,
            closing,
            stop,
            redis: None,
        })
    }

    /// The pool.
    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Where HTTP is served, with the port that was taken.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Returns when a server has ended, which none does by itself.
    pub(crate) async fn broken(&mut self) -> GatewayError {
        match self.servers.join_next().await {
            Some(Ok((name, Ok(())))) => GatewayError::ServerEnded {
                name,
                why: "without a reason".to_owned(),
            },
            Some(Ok((name, Err(error)))) => GatewayError::ServerEnded {
                name,
                why: error.to_string(),
            },
            Some(Err(panic)) => GatewayError::ServerEnded {
                name: "gateway's",
                why: panic.to_string(),
            },
            None => std::future::pending().await,
        }
    }

    /// Stops within `deadline`, or soon after it: no more claims, turns end with their terminal
    /// events, containers go, streams and servers end, and last a private Redis.
    pub(crate) async fn shutdown(mut self, deadline: Duration) {
        let end = Instant::now() + deadline;
        self.scheduler.shutdown(deadline.mul_f64(0.1)).await;
        // A part of the time is kept for the servers, which still serve the turns' last events.
        let turns = deadline.mul_f64(0.8);
        let processes = async {
            if let Some(claude_cli) = &self.claude_cli {
                claude_cli.shutdown(turns).await;
            }
        };
        tokio::join!(self.pool.shutdown(turns), processes);
        self.closing.cancel();
        // Every session has ended, so its streams end by themselves. Cutting them at once would
        // cut off what they were about to say.
        let last_words = Instant::now() + LAST_WORDS;
        if !self.drained(last_words).await {
            self.stop.cancel();
            if !self.drained(end.max(last_words + LAST_WORDS)).await {
                tracing::warn!("some connections were cut");
                self.servers.shutdown().await;
            }
        }
        if let Some(redis) = self.redis.take() {
            redis.stop().await;
        }
    }

    /// Whether all servers have ended by then.
    async fn drained(&mut self, until: Instant) -> bool {
        let drained = async { while self.servers.join_next().await.is_some() {} };
        tokio::time::timeout_at(until, drained).await.is_ok()
    }
}

/// The runtime, and where this host is on its containers' network.
async fn runtime(
    config: &Config,
    wrapper: Option<&Path>,
    embedded: Option<&Secret>,
) -> Result<(Arc<dyn Runtime>, Option<IpAddr>), GatewayError> {
    match config.runtime {
        RuntimeKind::Process => {
            let wrapper = wrapper::find(wrapper)?;
            let processes = ProcessRuntime::new(config, wrapper);
            Ok((Arc::new(Measured::new(processes)), None))
        }
        RuntimeKind::Docker => {
            let socket_dir = RedisAddress::resolve(config, embedded, None)?.socket_dir;
            let docker = DockerRuntime::connect(config, socket_dir).await?;
            let host = docker.prepare().await?;
            Ok((Arc::new(Measured::new(docker)), Some(host.ip)))
        }
    }
}

fn serve(
    servers: &mut JoinSet<(&'static str, io::Result<()>)>,
    name: &'static str,
    listener: TcpListener,
    app: Router,
    stop: &CancellationToken,
) {
    // Deltas are small and must not wait for each other.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
    });
    let stopped = stop.clone().cancelled_owned();
    servers.spawn(async move {
        (
            name,
            axum::serve(listener, app)
                .with_graceful_shutdown(stopped)
                .await,
        )
    });
}

async fn upkeep(
    metrics: PrometheusHandle,
    stop: CancellationToken,
) -> (&'static str, io::Result<()>) {
    let mut beat = tokio::time::interval(UPKEEP);
    loop {
        // Both are cancel-safe: a beat that is missed comes again.
        tokio::select! {
            () = stop.cancelled() => return ("metrics", Ok(())),
            _ = beat.tick() => metrics.run_upkeep(),
        }
    }
}
