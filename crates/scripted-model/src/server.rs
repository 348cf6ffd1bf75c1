//! The running stand-in.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    director::Director,
    record::RecordedRequest,
    request_log::RequestLog,
    routes::{Stage, router},
    scene::Scene,
    script_file::ScriptFile,
    wire::{WireCutter, WireListener},
};

/// A stand-in Messages API, listening. Dropping it stops it.
#[derive(Debug)]
pub struct ScriptedModel {
    stage: Arc<Stage>,
    addrs: Vec<SocketAddr>,
    stop: DropGuard,
    servers: JoinSet<io::Result<()>>,
}

/// Why the stand-in could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No address was given.
    #[error("at least one address to listen on is needed")]
    NoAddress,
    /// An address could not be bound.
    #[error("cannot listen on {addr}")]
    Bind {
        addr: SocketAddr,
        #[source]
        source: io::Error,
    },
}

/// Why a wait ended without a request.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// The time is over.
    #[error("no such request within {waited:?}; {seen} others are recorded")]
    Timeout {
        waited: Duration,
        /// How many requests were there, none of them wanted.
        seen: usize,
    },
}

impl ScriptedModel {
    /// Listens on one address (port 0: any free port), with the built-in scenes.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(addr: SocketAddr) -> Result<Self, StartError> {
        Self::start_on(&[addr]).await
    }

    /// Listens on several addresses, with the built-in scenes.
    ///
    /// # Errors
    /// When there is no address, or one cannot be bound.
    pub async fn start_on(addrs: &[SocketAddr]) -> Result<Self, StartError> {
        Self::start_with(addrs, ScriptFile::builtin()).await
    }

    /// Listens on several addresses, with these scenes.
    ///
    /// # Errors
    /// When there is no address, or one cannot be bound.
    pub async fn start_with(addrs: &[SocketAddr], script: ScriptFile) -> Result<Self, StartError> {
        if addrs.is_empty() {
            return Err(StartError::NoAddress);
        }
        let stage = Arc::new(Stage::new(Director::new(script)));
        let stop = CancellationToken::new();
        let mut bound = Vec::new();
        let mut servers = JoinSet::new();
        for &addr in addrs {
            let refused = |source| StartError::Bind { addr, source };
            let listener = TcpListener::bind(addr).await.map_err(refused)?;
            bound.push(listener.local_addr().map_err(refused)?);
            let service =
                router(Arc::clone(&stage)).into_make_service_with_connect_info::<WireCutter>();
            let listener = WireListener::new(listener, stop.clone());
            let stopped = stop.clone().cancelled_owned();
            servers.spawn(async move {
                axum::serve(listener, service)
                    .with_graceful_shutdown(stopped)
                    .await
            });
        }
        Ok(Self {
            stage,
            addrs: bound,
            stop: stop.drop_guard(),
            servers,
        })
    }

    /// The first address it listens on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addrs[0]
    }

    /// All addresses it listens on, in the order given.
    #[must_use]
    pub fn addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// `http://ADDR` of the first address, for `ANTHROPIC_BASE_URL`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.addr())
    }

    /// Queues the answers of a scene, each for one request, before markers and the default scene.
    pub fn push(&self, scene: impl Into<Scene>) {
        self.stage.director().push(scene.into());
    }

    /// How many queued answers no request has taken yet.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.stage.director().queued()
    }

    /// The recorded requests, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<Arc<RecordedRequest>> {
        self.log().since(0)
    }

    /// Forgets recorded requests, queued answers and attempt counts.
    pub fn clear(&self) {
        self.log().clear();
        self.stage.director().clear();
    }

    /// The first recorded request for which `wanted` holds, waiting for it if need be. `wanted` is
    /// asked again when an answer ends, so it may look at the outcome.
    ///
    /// # Errors
    /// When there was none within `timeout`.
    pub async fn wait_for_request(
        &self,
        wanted: impl Fn(&RecordedRequest) -> bool,
        timeout: Duration,
    ) -> Result<Arc<RecordedRequest>, WaitError> {
        let mut changes = self.log().changes();
        let search = async {
            loop {
                changes.mark_unchanged();
                if let Some(found) = self.requests().into_iter().find(|request| wanted(request)) {
                    return found;
                }
                changes
                    .changed()
                    .await
                    .expect("the log outlives this borrow of it");
            }
        };
        tokio::time::timeout(timeout, search)
            .await
            .map_err(|_| WaitError::Timeout {
                waited: timeout,
                seen: self.requests().len(),
            })
    }

    /// Stops listening, cuts every connection and waits until all of them are gone.
    pub async fn shutdown(self) {
        let Self {
            stop, mut servers, ..
        } = self;
        drop(stop);
        while let Some(ended) = servers.join_next().await {
            if let Err(error) = ended.map_err(io::Error::other).and_then(|served| served) {
                tracing::error!(%error, "the scripted model's server failed");
            }
        }
    }

    fn log(&self) -> &RequestLog {
        &self.stage.log
    }
}
