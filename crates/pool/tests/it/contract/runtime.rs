//! What every runtime must do, and each of them does: the fake, processes and Docker.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bollard::Docker;
use bollard::query_parameters::KillContainerOptions;
use ccpool::ContainerId;
use ccpool::config::{Config, LoadOptions};
use ccpool::runtime::{
    DockerRuntime, Exit, FakeRuntime, Launch, Presence, ProcessRuntime, Runtime, RuntimeError,
};
use ccpool_testing::{claude, wrapper};
use futures::StreamExt;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::support::{PATIENCE, eventually};

/// How long a container has to end in order.
const GRACE: Duration = Duration::from_secs(10);

/// A runtime under test.
#[async_trait]
trait Host: Sync {
    fn runtime(&self) -> &dyn Runtime;
    /// One like it that can start nothing.
    async fn broken(&self) -> Arc<dyn Runtime>;
    fn launch(&self, container: &ContainerId) -> Launch;
    /// Ends a container from outside, by a signal. `started`: what its start gave.
    async fn kill(&self, container: &ContainerId, started: &str);
    /// Removes what the test has made beside containers.
    async fn end(self);
}

async fn all_of_it(host: impl Host) {
    what_is_started_is_listed_until_it_is_removed(&host).await;
    one_that_ended_is_told_and_stays_until_it_is_removed(&host).await;
    what_cannot_be_started_leaves_nothing(&host).await;
    host.end().await;
}

/// Of this run's own: others may test on the same Engine.
fn pool() -> String {
    format!("contract-{}", std::process::id())
}

fn id(number: u64) -> ContainerId {
    ContainerId::from_random((u64::from(std::process::id()) << 8) + number)
}

fn launch(container: &ContainerId) -> Launch {
    Launch {
        pool: pool(),
        ..crate::swarm::launch(container)
    }
}

async fn listed(runtime: &dyn Runtime, container: &ContainerId) -> Option<Presence> {
    runtime.list(&pool()).await.unwrap().remove(container)
}

async fn what_is_started_is_listed_until_it_is_removed(host: &impl Host) {
    let runtime = host.runtime();
    assert!(!runtime.name().is_empty() && !runtime.host().is_empty());
    assert_eq!(
        runtime.ingredients().await.unwrap(),
        runtime.ingredients().await.unwrap(),
        "the same things are made from the same ingredients"
    );
    let (first, second) = (id(1), id(2));
    // One that is not there is removed already, and printed nothing.
    runtime.remove(&first, GRACE).await.unwrap();
    assert!(runtime.log_tail(&first).await.unwrap().is_empty());
    assert!(runtime.list(&pool()).await.unwrap().is_empty());

    let mut ids = Vec::new();
    for container in [&first, &second] {
        ids.push(runtime.start(&host.launch(container)).await.unwrap());
        assert_eq!(listed(runtime, container).await, Some(Presence::Running));
    }
    assert_ne!(ids[0], ids[1]);
    runtime.rename(&first, "a-session").await.unwrap();
    assert_eq!(listed(runtime, &first).await, Some(Presence::Running));
    runtime.log_tail(&first).await.unwrap();

    runtime.remove(&first, GRACE).await.unwrap();
    assert_eq!(listed(runtime, &first).await, None);
    assert_eq!(listed(runtime, &second).await, Some(Presence::Running));
    runtime.remove(&first, GRACE).await.unwrap();
    // At once, and by two at a time.
    let (one, two) = tokio::join!(
        runtime.remove(&second, Duration::ZERO),
        runtime.remove(&second, Duration::ZERO)
    );
    one.unwrap();
    two.unwrap();
    assert!(runtime.list(&pool()).await.unwrap().is_empty());
    assert!(runtime.ping().await.unwrap() < PATIENCE);
}

async fn one_that_ended_is_told_and_stays_until_it_is_removed(host: &impl Host) {
    let runtime = host.runtime();
    let mut ended = runtime.ended();
    let mut told = false;
    // The first ones may be missed: it takes a moment until the Engine knows that somebody listens.
    for number in 10..20 {
        let container = id(number);
        let started = runtime.start(&host.launch(&container)).await.unwrap();
        host.kill(&container, &started).await;
        let exited = eventually("it is seen to have ended", async || {
            match listed(runtime, &container).await {
                Some(Presence::Exited(exit)) => Some(exit),
                Some(Presence::Running) => None,
                None => panic!("nobody has removed it"),
            }
        });
        tokio::pin!(exited);
        let exit = loop {
            tokio::select! {
                heard = ended.next(), if !told => told = heard.is_some(),
                exit = &mut exited => break exit,
            }
        };
        // The Engine says in its own way that it was a signal.
        assert!(matches!(exit.code, None | Some(137)), "{exit:?}");
        assert!(!exit.oom);
        runtime.log_tail(&container).await.unwrap();
        runtime.remove(&container, GRACE).await.unwrap();
        assert_eq!(listed(runtime, &container).await, None);
        if told {
            return;
        }
    }
    panic!("nobody was told that containers have ended");
}

async fn what_cannot_be_started_leaves_nothing(host: &impl Host) {
    let broken = host.broken().await;
    let container = id(4);
    let error = broken.start(&host.launch(&container)).await.unwrap_err();
    assert!(!error.mend().is_empty());
    assert_eq!(listed(host.runtime(), &container).await, None);
}

struct Fake(FakeRuntime);

#[async_trait]
impl Host for Fake {
    fn runtime(&self) -> &dyn Runtime {
        &self.0
    }

    async fn broken(&self) -> Arc<dyn Runtime> {
        let broken = FakeRuntime::default();
        broken.fail(Some("it was told to"));
        Arc::new(broken)
    }

    fn launch(&self, container: &ContainerId) -> Launch {
        launch(container)
    }

    async fn kill(&self, container: &ContainerId, _started: &str) {
        let exit = Exit {
            code: None,
            oom: false,
        };
        self.0.kill(container, exit);
    }

    async fn end(self) {}
}

#[tokio::test]
async fn the_fake() {
    all_of_it(Fake(FakeRuntime::default())).await;
}

struct Processes {
    runtime: ProcessRuntime,
    config: Config,
    dir: TempDir,
}

#[async_trait]
impl Host for Processes {
    fn runtime(&self) -> &dyn Runtime {
        &self.runtime
    }

    async fn broken(&self) -> Arc<dyn Runtime> {
        let nowhere = self.dir.path().join("no-wrapper");
        Arc::new(ProcessRuntime::new(&self.config, nowhere))
    }

    fn launch(&self, container: &ContainerId) -> Launch {
        let mut launch = launch(container);
        let folder = self.dir.path().join("containers").join(container.as_str());
        launch.boot.claude.path = self.config.claude.path.display().to_string();
        launch.boot.claude.cwd = folder.join("workspace").display().to_string();
        launch.boot.claude.home = folder.join("home").display().to_string();
        launch
    }

    async fn kill(&self, _container: &ContainerId, started: &str) {
        let pid = Pid::from_raw(started.parse().unwrap());
        kill(pid, Signal::SIGKILL).unwrap();
    }

    async fn end(self) {
        let folders = self.dir.path().join("containers");
        let left: Vec<_> = std::fs::read_dir(folders).into_iter().flatten().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[tokio::test]
async fn processes() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config {
        data_dir: dir.path().to_owned(),
        ..Config::default()
    };
    config.claude.path = claude();
    let runtime = ProcessRuntime::new(&config, wrapper());
    let host = Processes {
        runtime,
        config,
        dir,
    };
    all_of_it(host).await;
}

struct Engine {
    runtime: DockerRuntime,
    docker: Docker,
    network: String,
    dir: TempDir,
}

/// A configuration with this image and this network.
fn configured(dir: &TempDir, image: &str, network: &str) -> Config {
    let path = dir.path().join("ccpool.json");
    let document = serde_json::json!({"image": image, "docker": {"network": network}});
    std::fs::write(&path, document.to_string()).unwrap();
    let options = LoadOptions {
        path: Some(path),
        env: Vec::<(String, String)>::new(),
        overrides: ccpool::config::Overrides::default(),
        working_dir: dir.path().to_owned(),
    };
    Config::load(options).unwrap().config
}

#[async_trait]
impl Host for Engine {
    fn runtime(&self) -> &dyn Runtime {
        &self.runtime
    }

    async fn broken(&self) -> Arc<dyn Runtime> {
        let config = configured(&self.dir, "ccpool/not-there:never", &self.network);
        let broken = DockerRuntime::connect(&config, None).await.unwrap();
        let missing = broken.ingredients().await;
        assert!(
            matches!(missing, Err(RuntimeError::ImageMissing { .. })),
            "{missing:?}"
        );
        Arc::new(broken)
    }

    fn launch(&self, container: &ContainerId) -> Launch {
        let mut launch = launch(container);
        launch.boot.follow_stdin = false;
        launch
    }

    async fn kill(&self, _container: &ContainerId, started: &str) {
        let killed = self
            .docker
            .kill_container(started, None::<KillContainerOptions>);
        killed.await.unwrap();
    }

    async fn end(self) {
        self.docker.remove_network(&self.network).await.unwrap();
    }
}

#[tokio::test]
async fn docker() {
    if std::env::var_os("CCPOOL_TEST_DOCKER").is_none() {
        eprintln!("not run: CCPOOL_TEST_DOCKER is unset, so there is no Docker Engine");
        return;
    }
    let image = std::env::var("CCPOOL_TEST_IMAGE");
    let image = image.expect("CCPOOL_TEST_DOCKER comes with an image");
    let dir = tempfile::tempdir().unwrap();
    let network = format!("ccpool-test-contract-{}", std::process::id());
    let config = configured(&dir, &image, &network);
    let runtime = DockerRuntime::connect(&config, None).await.unwrap();
    runtime.prepare().await.unwrap();
    let docker = Docker::connect_with_defaults().unwrap();
    let host = Engine {
        runtime,
        docker: docker.negotiate_version().await.unwrap(),
        network,
        dir,
    };
    all_of_it(host).await;
}
