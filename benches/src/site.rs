use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Error, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use crate::docker;

/// How long a server may take to stop; a gateway removes its containers meanwhile.
const GRACE: Duration = Duration::from_secs(12);

/// How much of a log is shown when something failed.
const LOG_TAIL: usize = 2000;

/// Everything that a run starts and makes, so that nothing of it is left: servers, and whatever
/// in Docker has a name with this run's prefix, and one folder.
#[derive(Debug)]
pub(crate) struct Site {
    prefix: String,
    folder: PathBuf,
    servers: Vec<Server>,
}

#[derive(Debug)]
struct Server {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Site {
    /// Makes the folder. Its path is short, because a Unix socket's has to be.
    pub(crate) fn clear_ground() -> Result<Self> {
        let prefix = format!("ccpool-bench-{}-", std::process::id());
        let folder = std::env::temp_dir().join(prefix.trim_end_matches('-'));
        fs::DirBuilder::new()
            .mode(0o711)
            .create(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(Self {
            prefix,
            folder,
            servers: Vec::new(),
        })
    }

    /// A name for something in Docker.
    pub(crate) fn name(&self, what: &str) -> String {
        format!("{}{what}", self.prefix)
    }

    /// A path in this run's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A new folder.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.path(name);
        fs::create_dir(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(path)
    }

    /// A bridge network; returns this host's address on it.
    pub(crate) async fn network(&self, what: &str) -> Result<String> {
        let name = self.name(what);
        docker::run(&["network", "create", &name]).await?;
        let form = "{{(index .IPAM.Config 0).Gateway}}";
        docker::run(&["network", "inspect", "--format", form, &name]).await
    }

    /// Starts a server, its output in a file.
    pub(crate) fn start(&mut self, name: &str, command: &mut Command) -> Result<u32> {
        let log = self.path(&format!("{name}.log"));
        let file =
            fs::File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
        let child = command
            .stdin(std::process::Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let pid = child
            .id()
            .context("a server that was just started has an id")?;
        self.servers.push(Server {
            name: name.to_owned(),
            child,
            log,
        });
        Ok(pid)
    }

    /// The first line that a server printed, once it is whole.
    ///
    /// # Errors
    /// It has ended, or there is none in time.
    pub(crate) async fn first_line(&mut self, name: &str, within: Duration) -> Result<String> {
        let server = self.servers.iter_mut().find(|server| server.name == name);
        let server = server.with_context(|| format!("{name} was not started"))?;
        let mut poll = tokio::time::interval(Duration::from_millis(10));
        let line = async {
            loop {
                poll.tick().await;
                let text = fs::read_to_string(&server.log)?;
                let json = text.lines().find(|line| line.starts_with('{'));
                if let Some(line) = json.filter(|_| text.ends_with('\n')) {
                    return Ok(line.to_owned());
                }
                if let Some(status) = server.child.try_wait()? {
                    anyhow::bail!("{name} ended with {status}");
                }
            }
        };
        tokio::time::timeout(within, line)
            .await
            .with_context(|| format!("{name} did not come up in time"))?
    }

    /// Adds the ends of the servers' logs, which are about to go.
    pub(crate) fn with_logs(&self, error: &Error) -> Error {
        let mut text = String::new();
        for Server { name, log, .. } in &self.servers {
            let all = fs::read_to_string(log).unwrap_or_default();
            let mut start = all.len().saturating_sub(LOG_TAIL);
            while !all.is_char_boundary(start) {
                start += 1;
            }
            text.push_str(&format!("--- {name}\n{}\n", all[start..].trim_end()));
        }
        anyhow::anyhow!("{error:#}\n{text}")
    }

    /// Stops and removes everything. Goes on past what fails.
    pub(crate) async fn clear(mut self) -> Result<()> {
        // The newest first: a gateway before the model that its containers talk to.
        while let Some(mut server) = self.servers.pop() {
            stop(&mut server.child).await;
        }
        let containers = docker::remove_containers(&self.prefix).await;
        let networks = docker::remove_networks(&self.prefix).await;
        let folder = remove(&self.folder);
        containers
            .and(networks)
            .and(folder)
            .context("something of the benchmark is left")
    }
}

async fn stop(child: &mut Child) {
    let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()) else {
        return;
    };
    // It may have ended by itself.
    let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}

fn remove(folder: &Path) -> Result<()> {
    fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))
}
