//! `ccpool serve`, behind a proxy of its own: what is killed comes back at the same address.

use std::fs::OpenOptions;
use std::future::ready;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::history::{Notebook, Seen};
use crate::parts::Parts;
use crate::patience;
use crate::proxy::{Proxy, Upstream};

/// A gateway that cannot start, because Redis is away, is started anew for this long.
const COMES_UP: Duration = Duration::from_secs(30);
/// From SIGTERM to its end, with everything that it has started.
const STOPS: Duration = Duration::from_secs(30);

/// One of the gateways of a run. Ends with the value.
#[derive(Debug)]
pub(crate) struct Gateway {
    name: String,
    dir: PathBuf,
    command: Blueprint,
    /// Where clients reach it.
    pub(crate) proxy: Proxy,
    listen: SocketAddr,
    child: Option<Child>,
    notebook: Notebook,
}

/// How it is started.
#[derive(Debug)]
struct Blueprint {
    program: PathBuf,
    wrapper: PathBuf,
    model: String,
}

impl Gateway {
    /// Starts it in a folder of its own.
    ///
    /// # Errors
    /// It does not come up.
    pub(crate) async fn start(
        name: &str,
        dir: &Path,
        parts: &Parts,
        mut config: Value,
        model: String,
        notebook: Notebook,
    ) -> Result<Self> {
        let dir = dir.join(name);
        std::fs::create_dir_all(&dir).context("cannot make a gateway's folder")?;
        config["dataDir"] = dir.join("data").display().to_string().into();
        // JSON is YAML.
        std::fs::write(dir.join("ccpool.yaml"), config.to_string())
            .context("cannot write a gateway's configuration")?;
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let command = Blueprint {
            program: parts.ccpool.clone(),
            wrapper: parts.wrapper.clone(),
            model,
        };
        let mut gateway = Self {
            name: name.to_owned(),
            dir,
            command,
            proxy: Proxy::start(local.ip(), Upstream::Nobody).await?,
            listen: local,
            child: None,
            notebook,
        };
        gateway.bring_up().await?;
        Ok(gateway)
    }

    /// Starts a process in the place of the one that has ended, and another one when that ends
    /// before it serves.
    ///
    /// # Errors
    /// None serves in time.
    pub(crate) async fn bring_up(&mut self) -> Result<()> {
        let came_up = tokio::time::timeout(COMES_UP, async {
            while !self.try_once().await? {}
            anyhow::Ok(())
        });
        match came_up.await {
            Ok(result) => result,
            Err(_) => bail!("{} does not come up within {COMES_UP:?}", self.name),
        }
    }

    /// False: the process has ended again.
    async fn try_once(&mut self) -> Result<bool> {
        let port_file = self.dir.join("port");
        let _ = std::fs::remove_file(&port_file);
        let mut child = self.spawn()?;
        let served = patience::until(COMES_UP, || {
            let text = std::fs::read_to_string(&port_file).ok();
            let port = text.map(|text| text.trim().parse::<u16>().ok());
            ready(port.or_else(|| child.try_wait().ok().flatten().map(|_| None)))
        });
        let served = served.await.flatten();
        self.child = Some(child);
        if let Some(port) = served {
            self.listen.set_port(port);
            self.proxy.lead_to(Upstream::Tcp(self.listen));
        }
        Ok(served.is_some())
    }

    fn spawn(&self) -> Result<Child> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.join("log"))
            .context("cannot make a gateway's log")?;
        let Blueprint {
            program,
            wrapper,
            model,
        } = &self.command;
        Command::new(program)
            .args(["serve", "--stop-timeout", "10", "--listen"])
            .arg(self.listen.to_string())
            .arg("--config")
            .arg(self.dir.join("ccpool.yaml"))
            .arg("--wrapper")
            .arg(wrapper)
            .arg("--port-file")
            .arg(self.dir.join("port"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.join("home"))
            .envs(std::env::var_os("DOCKER_HOST").map(|host| ("DOCKER_HOST", host)))
            .env("ANTHROPIC_API_KEY", "sk-ant-fake")
            .env("ANTHROPIC_BASE_URL", model)
            .env("CCPOOL_LOG", "info,ccpool=debug")
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start ccpool")
    }

    /// SIGKILL; returns once it is gone.
    ///
    /// # Errors
    /// It cannot be killed.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        self.notice_an_end();
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        child.kill().await.context("cannot kill a gateway")
    }

    /// SIGTERM; returns once it has ended, however long that takes, and notes what was wrong about
    /// it.
    ///
    /// # Errors
    /// It cannot be told.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        self.notice_an_end();
        self.signal(Signal::SIGTERM)?;
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        match tokio::time::timeout(STOPS, child.wait()).await {
            Ok(status) => {
                let status = status.context("cannot wait for a gateway")?;
                if !status.success() {
                    self.broken(&format!("told to stop it ended with {status}"));
                }
            }
            Err(_) => {
                let hung = format!("{} has not stopped within {STOPS:?}", self.name);
                self.notebook.note(Seen::Hung(hung));
                child.kill().await.context("cannot kill a gateway")?;
            }
        }
        Ok(())
    }

    /// SIGSTOP or SIGCONT.
    ///
    /// # Errors
    /// It cannot be signalled.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.child.as_ref().and_then(Child::id);
        let Some(pid) = pid else { return Ok(()) };
        kill(Pid::from_raw(pid.cast_signed()), signal).context("cannot signal a gateway")
    }

    /// One that nobody has ended has not to end.
    pub(crate) fn notice_an_end(&mut self) {
        let ended: Option<ExitStatus> = self
            .child
            .as_mut()
            .and_then(|child| child.try_wait().ok().flatten());
        if let Some(status) = ended {
            self.child = None;
            self.broken(&format!("it ended by itself with {status}"));
        }
    }

    fn broken(&self, what: &str) {
        let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        let last = log.lines().last().unwrap_or_default();
        let broken = format!("{}: {what}: {last}", self.name);
        self.notebook.note(Seen::Broken(broken));
    }
}
