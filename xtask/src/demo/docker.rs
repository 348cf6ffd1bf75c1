use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::http::{self, Address};

/// For what the engine answers from its own records, or does at once.
const SHORT: Duration = Duration::from_secs(30);

/// Labels of containers: that a pool made them, and which of its own they are.
const LABEL: &str = "clawdbot.docker-cc=1";
const LABEL_CONTAINER: &str = "ccpool.container";

/// The Docker Engine as one pool's containers are seen through it, without asking the gateway.
#[derive(Debug, Clone)]
pub(crate) struct DockerView {
    address: Address,
    prefix: String,
}

/// A container in the engine's own words.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DockerContainer {
    id: String,
    names: Vec<String>,
    status: String,
    labels: std::collections::BTreeMap<String, String>,
}

impl DockerContainer {
    /// As `docker ps` shows it.
    pub(crate) fn short_id(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        self.names
            .first()
            .map_or("", |name| name.trim_start_matches('/'))
    }

    /// `Up 3 seconds`, …
    pub(crate) fn status(&self) -> &str {
        &self.status
    }

    /// The pool's id of it.
    pub(crate) fn container(&self) -> Option<&str> {
        self.labels.get(LABEL_CONTAINER).map(String::as_str)
    }
}

impl DockerView {
    /// Of the pool whose containers' names begin with `prefix`.
    pub(crate) fn new(address: Address, prefix: impl Into<String>) -> Self {
        Self {
            address,
            prefix: prefix.into(),
        }
    }

    /// All of the pool's containers, those that have ended included, as `docker ps -a` would.
    pub(crate) fn containers(&self) -> Result<Vec<DockerContainer>> {
        let filters = encoded(&json!({ "label": [LABEL] }).to_string());
        let mut containers: Vec<DockerContainer> =
            self.get(&format!("/containers/json?all=1&filters={filters}"))?;
        containers.retain(|container| container.name().starts_with(&self.prefix));
        Ok(containers)
    }

    /// The ids, on the engine's host, of a container's processes called `name`. Not every
    /// engine can tell.
    pub(crate) fn processes(&self, id: &str, name: &str) -> Result<Vec<u32>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Top {
            processes: Vec<Vec<String>>,
        }
        let top: Top = self.get(&format!("/containers/{id}/top?ps_args=-eo%20pid,comm"))?;
        let pid = |row: Vec<String>| match row.as_slice() {
            [pid, called] if called == name => pid.parse().ok(),
            _ => None,
        };
        Ok(top.processes.into_iter().filter_map(pid).collect())
    }

    /// Removes whatever containers of the pool there are; how many there were.
    pub(crate) fn remove_containers(&self) -> Result<usize> {
        let containers = self.containers()?;
        for container in &containers {
            let target = format!("/containers/{}?force=1&v=1", container.id);
            let status = http::request(&self.address, "DELETE", &target, SHORT)?.status;
            // 404 and 409: gone, or going.
            if !matches!(status, 204 | 404 | 409) {
                bail!("the Docker Engine answers {status} when asked to remove a container");
            }
        }
        Ok(containers.len())
    }

    /// Makes a network of this name and label; none of this name may exist.
    pub(crate) fn create_network(&self, name: &str, (label, value): (&str, &str)) -> Result<()> {
        let body = json!({
            "Name": name,
            "CheckDuplicate": true,
            "Driver": "bridge",
            "Labels": { label: value },
        });
        let response = http::post_json(&self.address, "/networks/create", &body, SHORT)
            .context("cannot ask the Docker Engine for a network")?;
        if response.status == 201 {
            return Ok(());
        }
        bail!(
            "the Docker Engine makes no network {name}: {} (`docker network prune` frees \
             addresses that no container uses)",
            message(&response.body)
        )
    }

    /// The names of networks with this label, whichever pool's they are.
    pub(crate) fn networks(&self, (label, value): (&str, &str)) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Network {
            name: String,
        }
        let filters = encoded(&json!({ "label": [format!("{label}={value}")] }).to_string());
        let networks: Vec<Network> = self.get(&format!("/networks?filters={filters}"))?;
        Ok(networks.into_iter().map(|network| network.name).collect())
    }

    /// The same engine, looked at for another pool.
    pub(crate) fn of_pool(&self, prefix: impl Into<String>) -> Self {
        Self::new(self.address.clone(), prefix)
    }

    /// This host's address on a network.
    pub(crate) fn gateway_of(&self, network: &str) -> Result<std::net::IpAddr> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Network {
            #[serde(rename = "IPAM")]
            ipam: Ipam,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Ipam {
            config: Vec<Subnet>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Subnet {
            gateway: Option<std::net::IpAddr>,
        }
        let found: Network = self.get(&format!("/networks/{network}"))?;
        let gateway = found
            .ipam
            .config
            .into_iter()
            .find_map(|subnet| subnet.gateway);
        gateway.with_context(|| format!("the network {network} has no gateway address"))
    }

    /// Removes a network; false when there is none of this name.
    pub(crate) fn remove_network(&self, name: &str) -> Result<bool> {
        let target = format!("/networks/{name}");
        let response = http::request(&self.address, "DELETE", &target, SHORT)?;
        match response.status {
            204 => Ok(true),
            404 => Ok(false),
            _ => bail!("{}", message(&response.body)),
        }
    }

    /// Whether a network of this name exists.
    pub(crate) fn has_network(&self, name: &str) -> Result<bool> {
        let target = format!("/networks/{name}");
        match http::request(&self.address, "GET", &target, SHORT)?.status {
            200 => Ok(true),
            404 => Ok(false),
            status => bail!("the Docker Engine answers {status} when asked for a network"),
        }
    }

    fn get<T: DeserializeOwned>(&self, target: &str) -> Result<T> {
        let response = http::request(&self.address, "GET", target, SHORT)
            .context("cannot ask the Docker Engine")?;
        if response.status != 200 {
            bail!("the Docker Engine: {}", message(&response.body));
        }
        serde_json::from_slice(&response.body).context("the Docker Engine's answer is not JSON")
    }
}

fn message(body: &[u8]) -> String {
    serde_json::from_slice::<serde_json::Value>(body)
        .ok()
        .and_then(|body| Some(body["message"].as_str()?.to_owned()))
        .unwrap_or_else(|| String::from_utf8_lossy(body).trim().to_owned())
}

/// For a query's value.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_encoded() {
        assert_eq!(
            encoded(r#"{"a":["b=1"]}"#),
            "%7B%22a%22%3A%5B%22b%3D1%22%5D%7D"
        );
    }

    #[test]
    fn the_engines_message_is_found() {
        assert_eq!(
            message(br#"{"message":"no subnet left"}"#),
            "no subnet left"
        );
        assert_eq!(message(b"page not found\n"), "page not found");
    }
}
