//! A Docker network of a test's own, and the containers on it.

use std::net::{IpAddr, SocketAddr};

use bollard::Docker;
use bollard::exec::StartExecResults;
use bollard::models::{ContainerInspectResponse, ExecConfig, NetworkCreateRequest};
use bollard::query_parameters::{
    InspectContainerOptions, InspectNetworkOptions, KillContainerOptionsBuilder,
    ListContainersOptionsBuilder,
};
use futures::StreamExt;
use serde_json::{Value, json};

use crate::gateway::Setup;
use crate::parts::image;

/// A network; the model listens on its gateway address.
pub(crate) struct Network {
    docker: Docker,
    pub(crate) name: String,
    host: IpAddr,
    removed: bool,
}

impl Network {
    /// Makes one for this test.
    pub(crate) async fn create(test: &str) -> Self {
        let docker = Docker::connect_with_defaults().expect("a Docker client");
        let docker = docker
            .negotiate_version()
            .await
            .expect("the Docker Engine answers");
        let name = format!("ccpool-test-{test}-{}", std::process::id());
        let request = NetworkCreateRequest {
            name: name.clone(),
            ..NetworkCreateRequest::default()
        };
        docker
            .create_network(request)
            .await
            .expect("a network can be made");
        let network = docker
            .inspect_network(&name, None::<InspectNetworkOptions>)
            .await;
        let ipam = network
            .expect("the network is there")
            .ipam
            .and_then(|ipam| ipam.config);
        let gateway = ipam.into_iter().flatten().find_map(|config| config.gateway);
        let host = gateway
            .expect("the network has a gateway")
            .parse()
            .expect("an address");
        Self {
            docker,
            name,
            host,
            removed: false,
        }
    }

    /// A gateway with its containers on this network.
    pub(crate) fn setup(&self, pool: &Value) -> Setup {
        let config = json!({
            "runtime": "docker",
            "image": image(),
            "pool": pool,
            "resources": {"memory": "768m", "cpus": 1.5, "pidsLimit": 200},
            "docker": {
                "network": self.name,
                "containerPrefix": format!("{}-", self.name),
                "env": {"FROM_DOCKER_ENV": "yes"},
            },
            "claude": {"env": {"FROM_CLAUDE_ENV": "yes"}},
            "permissions": {"allow": ["Bash"]},
        });
        Setup {
            config,
            model: SocketAddr::new(self.host, 0),
            ..Setup::default()
        }
    }

    /// The container of a session.
    pub(crate) async fn inspect(&self, name: &str) -> Option<ContainerInspectResponse> {
        let name = format!("{}-{name}", self.name);
        self.docker
            .inspect_container(&name, None::<InspectContainerOptions>)
            .await
            .ok()
    }

    /// Ends the container of a session with SIGKILL.
    pub(crate) async fn kill(&self, session: &str) {
        let name = format!("{}-{session}", self.name);
        let options = KillContainerOptionsBuilder::new().signal("SIGKILL").build();
        self.docker
            .kill_container(&name, Some(options))
            .await
            .expect("it can be killed");
    }

    /// Halts the wrapper of a session. (A container that is paused runs on for a moment when it is
    /// killed.)
    pub(crate) async fn halt_wrapper(&self, session: &str) {
        let script = "for dir in /proc/[0-9]*; do \
            [ \"$(cat $dir/comm)\" = ccpool-wrapper ] && kill -STOP ${dir#/proc/} && echo halted; \
            done";
        let config = ExecConfig {
            cmd: Some(["sh", "-c", script].map(str::to_owned).to_vec()),
            user: Some("root".to_owned()),
            attach_stdout: Some(true),
            ..ExecConfig::default()
        };
        let name = format!("{}-{session}", self.name);
        let exec = self.docker.create_exec(&name, config).await;
        let exec = exec.expect("a command can be made");
        let started = self.docker.start_exec(&exec.id, None).await;
        let StartExecResults::Attached { output, .. } = started.expect("it starts") else {
            panic!("its output was asked for");
        };
        let said: Vec<String> = output
            .map(|part| part.expect("its output comes").to_string())
            .collect()
            .await;
        assert_eq!(said.concat().trim(), "halted");
    }

    /// Nothing of the test is left, and the network goes too.
    pub(crate) async fn remove(mut self) {
        let filters = [("network".to_owned(), vec![self.name.clone()])].into();
        let options = ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&filters)
            .build();
        let left = self
            .docker
            .list_containers(Some(options))
            .await
            .expect("a list");
        assert!(left.is_empty(), "containers are left: {left:?}");
        self.docker
            .remove_network(&self.name)
            .await
            .expect("the network can go");
        self.removed = true;
    }
}

/// A test that fails leaves nothing behind either.
impl Drop for Network {
    fn drop(&mut self) {
        if !self.removed {
            let script =
                "docker ps -aq --filter network=$0 | xargs -r docker rm -f; docker network rm $0";
            let swept = std::process::Command::new("sh")
                .args(["-c", script, &self.name])
                .output();
            eprintln!("swept after a failure: {swept:?}");
        }
    }
}
