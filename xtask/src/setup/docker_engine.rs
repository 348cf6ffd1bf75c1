use std::ffi::OsStr;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::packages::Packages;
use super::privilege::Privilege;
use crate::daemon::Daemon;
use crate::http::{self, Address, Response};
use crate::progress::Step;

const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

const APPARMOR: &str = "/sys/module/apparmor/parameters/enabled";

/// A fresh engine makes its networks and looks for old containers first.
const STARTUP: Duration = Duration::from_secs(60);

/// The engine stops its containers before it ends.
const GRACE: Duration = Duration::from_secs(30);

/// For what the engine answers from its own records.
const SHORT: Duration = Duration::from_secs(10);

/// Between two signs of life while it pulls or imports an image.
const LONG: Duration = Duration::from_secs(300);

/// A Docker Engine that answers, perhaps started here: then it stops when this is dropped.
#[derive(Debug)]
pub(crate) struct DockerEngine {
    address: Address,
    started: Option<Daemon>,
}

/// There is no engine and none can be had; the process runtime is left.
#[derive(Debug)]
pub(crate) struct NoEngine(String);

impl NoEngine {
    /// Nobody looked for one.
    pub(super) fn not_asked_for() -> Self {
        Self("not asked for".to_owned())
    }
}

impl fmt::Display for NoEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoEngine {}

impl DockerEngine {
    /// The engine at DOCKER_HOST or the usual socket; where none answers, one that is
    /// installed and started here, with its log in `state`.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn obtain(
        privilege: Privilege,
        packages: &mut Packages,
        state: &Path,
    ) -> Result<Self, NoEngine> {
        let host = std::env::var("DOCKER_HOST")
            .ok()
            .filter(|host| !host.is_empty());
        let address = match &host {
            Some(host) => address_of(host).ok_or_else(|| {
                NoEngine(format!("DOCKER_HOST={host} is neither unix:// nor tcp://"))
            })?,
            None => Address::Unix(PathBuf::from(DEFAULT_SOCKET)),
        };
        let failure = match ping(&address) {
            Ok(()) => {
                return Ok(Self {
                    address,
                    started: None,
                });
            }
            Err(failure) => failure,
        };
        if host.is_some() {
            // Whoever names an engine means that one.
            return Err(NoEngine(format!(
                "no engine answers at DOCKER_HOST={address}: {failure:#}"
            )));
        }
        if privilege != Privilege::Root {
            return Err(NoEngine(format!(
                "no engine answers at {address} ({failure:#}) and only root can start one: \
                 start Docker, or join the group that may use its socket"
            )));
        }
        let started =
            start(&address, packages, state).map_err(|error| NoEngine(format!("{error:#}")))?;
        Ok(Self {
            address,
            started: Some(started),
        })
    }

    /// Where it answers.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// What a child needs as DOCKER_HOST, when it is not the usual place.
    pub(crate) fn docker_host(&self) -> Option<String> {
        (self.address != Address::Unix(PathBuf::from(DEFAULT_SOCKET)))
            .then(|| self.address.to_string())
    }

    /// The process id of the engine that was started here.
    pub(crate) fn started_pid(&self) -> Option<u32> {
        self.started.as_ref().map(Daemon::pid)
    }

    /// Whether it has this image.
    pub(crate) fn has_image(&self, reference: &str) -> Result<bool> {
        let target = format!("/images/{reference}/json");
        let response = http::request(&self.address, "GET", &target, SHORT)
            .with_context(|| format!("cannot ask the Docker Engine for {reference}"))?;
        match response.status {
            200 => Ok(true),
            404 => Ok(false),
            status => bail!("the Docker Engine answers {status} when asked for {reference}"),
        }
    }

    /// Pulls `name:tag` from its registry.
    pub(crate) fn pull(&self, name: &str, tag: &str) -> Result<()> {
        let target = format!("/images/create?fromImage={name}&tag={tag}");
        let response = http::request(&self.address, "POST", &target, LONG)?;
        accepted(&response)
    }

    /// Makes the image `name:tag` of the root file system in the archive `tar`.
    pub(crate) fn import(&self, name: &str, tag: &str, tar: &mut dyn Read) -> Result<()> {
        let target = format!("/images/create?fromSrc=-&repo={name}&tag={tag}");
        let response = http::post_tar(&self.address, &target, tar, LONG)?;
        accepted(&response)
    }
}

fn start(address: &Address, packages: &mut Packages, state: &Path) -> Result<Daemon> {
    let dockerd = packages.ensure("dockerd", "docker.io")?;
    // Where the kernel enforces AppArmor, no container starts without its parser.
    if std::fs::read_to_string(APPARMOR).is_ok_and(|enabled| enabled.starts_with('Y')) {
        packages.ensure("apparmor_parser", "apparmor")?;
    }
    let step = Step::begin("starting a Docker Engine, since none answers (some seconds)");
    let log = state.join("dockerd.log");
    // At its usual level the log buries the one line that matters.
    let arguments = ["--log-level", "warn"].map(OsStr::new);
    let daemon = Daemon::start("dockerd", &dockerd, &arguments, log, GRACE)?;
    daemon.wait_until(STARTUP, || ping(address).is_ok())?;
    step.done();
    Ok(daemon)
}

fn ping(address: &Address) -> Result<()> {
    let response = http::request(address, "GET", "/_ping", SHORT)?;
    if response.status == 200 {
        Ok(())
    } else {
        bail!("it answers {}", response.status)
    }
}

/// The engine reports a failure by status, or, once it has begun, as a line of its answer.
fn accepted(response: &Response) -> Result<()> {
    let failure = response
        .body
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok())
        .find_map(|line| {
            line["error"]
                .as_str()
                .or_else(|| line["message"].as_str())
                .map(str::to_owned)
        });
    match failure {
        Some(message) => bail!("{message}"),
        None if response.status == 200 => Ok(()),
        None => bail!("the Docker Engine answers {}", response.status),
    }
}

fn address_of(host: &str) -> Option<Address> {
    if let Some(path) = host.strip_prefix("unix://") {
        Some(Address::Unix(PathBuf::from(path)))
    } else {
        host.strip_prefix("tcp://")
            .map(|address| Address::Tcp(address.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_within_the_answer_counts() {
        let response = |status, body: &str| Response {
            status,
            body: body.as_bytes().to_vec(),
        };
        assert!(accepted(&response(200, "{\"status\":\"sha256:0\"}\r\n")).is_ok());
        let late = response(200, "{\"status\":\"x\"}\r\n{\"error\":\"disk full\"}\r\n");
        assert_eq!(accepted(&late).unwrap_err().to_string(), "disk full");
        let refused = response(500, "{\"message\":\"no such host\"}");
        assert_eq!(accepted(&refused).unwrap_err().to_string(), "no such host");
        assert!(accepted(&response(500, "")).is_err());
    }

    #[test]
    fn hosts_are_sockets_or_ports() {
        assert_eq!(
            address_of("unix:///x/y.sock"),
            Some(Address::Unix("/x/y.sock".into()))
        );
        assert_eq!(
            address_of("tcp://127.0.0.1:2375"),
            Some(Address::Tcp("127.0.0.1:2375".into()))
        );
        assert_eq!(address_of("ssh://host"), None);
    }
}
