use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};

use super::docker::DockerView;
use crate::cleanup::Cleanup;
use crate::progress::{say, warn};

/// Whose network it is: that of a process of this namespace, which its name ends in.
const LABEL: &str = "ccpool.demo";

const PREFIX: &str = "ccpool-demo-";

/// A Docker network of one run's own. It goes with this value, or with the process, and so do
/// containers of the run that are still there then.
#[derive(Debug)]
pub(crate) struct Network {
    gateway: IpAddr,
    remove: Cleanup,
}

impl Network {
    /// A name for the network, and for all else, of the run of this process.
    pub(crate) fn own_name() -> String {
        format!("{PREFIX}{}", std::process::id())
    }

    /// How the names of the containers in the network of this name begin.
    pub(crate) fn container_prefix(name: &str) -> String {
        format!("{name}-")
    }

    /// Makes it, and removes those of earlier runs that were killed.
    ///
    /// # Errors
    /// The engine refuses.
    pub(crate) fn create(docker: &DockerView, name: &str) -> Result<Self> {
        let namespace = std::fs::read_link("/proc/self/ns/pid")
            .context("cannot tell this process's namespace: is /proc mounted?")?;
        let namespace = namespace.to_string_lossy();
        let label = (LABEL, namespace.as_ref());
        for stale in docker.networks(label)?.iter().filter(|name| is_stale(name)) {
            say(format!("removing {stale}, left by a run that was killed"));
            clear(&docker.of_pool(Self::container_prefix(stale)), stale);
        }
        // The engine is not quick: a signal may come while it works. Then the removal waits.
        let making = Arc::new(Mutex::new(()));
        let made = making.lock().unwrap_or_else(PoisonError::into_inner);
        let (making_then, docker_then, name_then) =
            (Arc::clone(&making), docker.clone(), name.to_owned());
        let remove = Cleanup::new(move || {
            let _made = making_then.lock().unwrap_or_else(PoisonError::into_inner);
            clear(&docker_then, &name_then);
        });
        let created = docker.create_network(name, label);
        drop(made);
        created?;
        let gateway = docker.gateway_of(name)?;
        Ok(Self { gateway, remove })
    }

    /// This host, as its containers see it.
    pub(crate) fn gateway(&self) -> IpAddr {
        self.gateway
    }

    /// Removes it now.
    pub(crate) fn remove(self) {
        drop(self.remove);
    }
}

/// Whether the process that made the network of this name is gone.
fn is_stale(name: &str) -> bool {
    name.strip_prefix(PREFIX)
        .and_then(|pid| pid.parse::<u32>().ok())
        .is_some_and(|pid| {
            pid == std::process::id() || !Path::new(&format!("/proc/{pid}")).exists()
        })
}

fn clear(docker: &DockerView, name: &str) {
    match docker.remove_containers() {
        Ok(0) => {}
        // A gateway that had to be killed leaves them.
        Ok(count) => warn(format!("{count} containers were left over and are removed")),
        Err(error) => warn(format!("cannot look for containers: {error:#}")),
    }
    if let Err(error) = docker.remove_network(name) {
        warn(format!(
            "cannot remove the network {name}: {error:#}; try `docker network rm {name}`"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_networks_of_dead_processes_are_stale() {
        assert!(!is_stale(&format!("{PREFIX}1")));
        // Above the largest process id that Linux gives.
        assert!(is_stale(&format!("{PREFIX}4194305")));
        assert!(
            is_stale(&Network::own_name()),
            "of an earlier process with our id"
        );
        for foreign in ["clawdbot-net", "ccpool-demo-", "ccpool-demo-4194305x"] {
            assert!(!is_stale(foreign), "{foreign}");
        }
    }
}
