//! The Docker Engine cannot be reached for a while, as when it is restarted with its containers kept.

use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use crate::gateway::{Gateway, answer};
use crate::network::Network;
use crate::parts::eventually;

const ENGINE: &str = "/var/run/docker.sock";

/// A way to the Engine that can be closed.
pub(crate) struct Door {
    path: PathBuf,
    open: JoinSet<()>,
}

impl Door {
    pub(crate) fn new(dir: &Path) -> Self {
        let mut door = Self {
            path: dir.join("engine.sock"),
            open: JoinSet::new(),
        };
        door.open();
        door
    }

    /// As `docker.host`.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.path.display())
    }

    pub(crate) fn open(&mut self) {
        let listener = UnixListener::bind(&self.path).expect("a socket can be made");
        self.open.spawn(async move {
            let mut calls = JoinSet::new();
            while let Ok((mut from, _)) = listener.accept().await {
                calls.spawn(async move {
                    let mut to = UnixStream::connect(ENGINE).await.expect("the Engine");
                    // Either side may hang up.
                    let _ = copy_bidirectional(&mut from, &mut to).await;
                });
            }
        });
    }

    /// Cuts everything that goes through it.
    pub(crate) async fn close(&mut self) {
        self.open.shutdown().await;
        std::fs::remove_file(&self.path).expect("the socket can go");
    }
}

#[tokio::test]
async fn warm_containers_serve_while_the_engine_is_away() {
    let network = Network::create("away").await;
    let dir = tempfile::tempdir().expect("a folder");
    let mut door = Door::new(dir.path());
    let mut setup = network.setup(&json!({"minWarm": 2, "maxTotal": 4}));
    setup.config["docker"]["host"] = json!(door.host());
    setup.config["timeouts"] = json!({"healthIntervalMs": 500});
    let gateway = Gateway::start(setup).await;
    gateway.wait_warm(2).await;
    door.close().await;

    let health = eventually("it is told", async || {
        let health = gateway.get("/api/docker-cc/health").await;
        (health["runtime"]["ok"] == false && health["status"] == "degraded").then_some(health)
    })
    .await;
    assert!(
        !health["reasons"].as_array().expect("reasons").is_empty(),
        "{health}"
    );
    assert_eq!(health["canClaim"], true, "{health}");
    gateway.claim("s1").await;
    let (status, turn) = gateway.turn("s1", &json!({"prompt": "hello"})).await;
    assert_eq!(status, 200, "{turn}");
    gateway.claim("s2").await;
    // Nothing is left, and nothing can be started.
    let problem = gateway.refused_claim().await;
    let said = problem["detail"].as_str().unwrap_or_default();
    assert!(
        said.contains("Docker") || said.contains("container"),
        "{problem}"
    );

    door.open();
    gateway.wait_warm(2).await;
    let health: Value = gateway.get("/api/docker-cc/health").await;
    assert_eq!(health["status"], "ok", "{health}");
    let (status, turn) = gateway.turn("s1", &json!({"prompt": "hello"})).await;
    assert_eq!(status, 200, "{turn}");
    gateway.stop().await;
    door.close().await;
    network.remove().await;
}

#[tokio::test]
async fn every_gateway_knows_that_the_engine_is_away() {
    let network = Network::create("away-all").await;
    let dir = tempfile::tempdir().expect("a folder");
    let mut door = Door::new(dir.path());
    // No claim waits for so long.
    let pool = json!({"minWarm": 1, "maxTotal": 3, "claimTimeoutMs": 3_600_000});
    let mut setup = network.setup(&pool);
    setup.config["docker"]["host"] = json!(door.host());
    let first = Gateway::start(setup).await;
    let second = first.beside().await;
    first.wait_warm(1).await;
    door.close().await;
    second.claim("s1").await;
    for gateway in [&second, &first, &second] {
        let problem = gateway.refused_claim().await;
        let said = problem["detail"].as_str().unwrap_or_default();
        assert!(said.contains("no container can be started"), "{problem}");
    }
    let (status, health) = answer(second.request(Method::GET, "/api/docker-cc/health")).await;
    assert_eq!(
        (status, &health["canClaim"]),
        (503, &json!(false)),
        "{health}"
    );

    door.open();
    second.claim("s2").await;
    let (status, turn) = second.turn("s2", &json!({"prompt": "hello"})).await;
    assert_eq!(status, 200, "{turn}");
    second.stop().await;
    first.stop().await;
    door.close().await;
    network.remove().await;
}
