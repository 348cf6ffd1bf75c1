//! Wrapper and `claude` as plain children of this process: no isolation at all.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ccpool_cli_process::leftovers;
use ccpool_protocol::{ContainerId, boot};
use futures::StreamExt;
use futures::stream::BoxStream;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::{Exit, Launch, Presence, Runtime, RuntimeError};
use crate::config::Config;
use crate::program_path::on_path;

/// Lines of a child's stderr that are kept.
const LOG_LINES: usize = 20;

/// Children of this process as a runtime.
pub struct ProcessRuntime {
    /// Nobody else sees these children.
    host: String,
    wrapper: PathBuf,
    /// Homes and working directories lie here, one folder per container.
    dir: PathBuf,
    claude: PathBuf,
    children: Arc<Mutex<BTreeMap<ContainerId, Running>>>,
    ended: broadcast::Sender<()>,
    tasks: TaskTracker,
}

struct Running {
    pid: Pid,
    exit: watch::Receiver<Option<Exit>>,
    log: Arc<Mutex<Vec<String>>>,
}

impl ProcessRuntime {
    /// `wrapper`: the `ccpool-wrapper` binary.
    pub fn new(config: &Config, wrapper: PathBuf) -> Self {
        let (ended, _) = broadcast::channel(16);
        Self {
            host: format!("process:{:012x}", rand::random::<u64>() >> 16),
            wrapper,
            dir: config.data_dir.join("containers"),
            claude: config.claude.path.clone(),
            children: Arc::default(),
            ended,
            tasks: TaskTracker::new(),
        }
    }

    /// The folder of one container; gone with it.
    pub(crate) fn folder(&self, container: &ContainerId) -> PathBuf {
        self.dir.join(container.as_str())
    }

    fn children(&self) -> std::sync::MutexGuard<'_, BTreeMap<ContainerId, Running>> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Owns the child until it has ended.
    async fn watch(
        mut child: Child,
        log: Arc<Mutex<Vec<String>>>,
        exit: watch::Sender<Option<Exit>>,
        ended: broadcast::Sender<()>,
    ) {
        if let Some(stderr) = child.stderr.take() {
            let mut lines = BufReader::new(stderr).lines();
            // Ends when every holder of the pipe has: the wrapper, and whoever it left behind.
            while let Ok(Some(line)) = lines.next_line().await {
                let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                if log.len() == LOG_LINES {
                    log.remove(0);
                }
                log.push(line);
            }
        }
        let code = child
            .wait()
            .await
            .ok()
            .and_then(|status| status.code())
            .map(i64::from);
        exit.send_replace(Some(Exit { code, oom: false }));
        // Nobody listening is fine: the list is the truth.
        let _ = ended.send(());
    }
}

#[async_trait]
impl Runtime for ProcessRuntime {
    fn name(&self) -> &'static str {
        "process"
    }

    fn host(&self) -> &str {
        &self.host
    }

    fn isolation(&self) -> &'static str {
        "none (process runtime): the agent acts as the user who runs the gateway"
    }

    async fn ingredients(&self) -> Result<String, RuntimeError> {
        let found = |path: &Path| {
            std::fs::metadata(path).map_err(|error| RuntimeError::ProgramMissing {
                program: path.display().to_string(),
                detail: error.to_string(),
            })
        };
        found(&self.wrapper)?;
        let claude = on_path(&self.claude);
        let meta = found(&claude)?;
        Ok(format!(
            "{} {} {}",
            self.wrapper.display(),
            claude.display(),
            meta.len()
        ))
    }

    async fn start(&self, launch: &Launch) -> Result<String, RuntimeError> {
        let folder = self.folder(&launch.container);
        std::fs::create_dir_all(&folder).map_err(|error| RuntimeError::Refused {
            action: "make a folder",
            detail: format!("{}: {error}", folder.display()),
        })?;
        let mut child = Command::new(&self.wrapper)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env(boot::ENV, launch.boot.to_json())
            // Closes when this process ends, however it does, and the wrapper with it.
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| {
                // Nothing has run in it, so it is empty.
                std::fs::remove_dir(&folder).ok();
                RuntimeError::ProgramMissing {
                    program: self.wrapper.display().to_string(),
                    detail: error.to_string(),
                }
            })?;
        let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) else {
            child.start_kill().ok();
            return Err(RuntimeError::Refused {
                action: "start a process",
                detail: "it ended at once".to_owned(),
            });
        };
        let (exit, exit_seen) = watch::channel(None);
        let log = Arc::default();
        self.tasks.spawn(Self::watch(
            child,
            Arc::clone(&log),
            exit,
            self.ended.clone(),
        ));
        let running = Running {
            pid: Pid::from_raw(pid),
            exit: exit_seen,
            log,
        };
        self.children().insert(launch.container.clone(), running);
        Ok(pid.to_string())
    }

    async fn rename(&self, _container: &ContainerId, _suffix: &str) -> Result<(), RuntimeError> {
        Ok(())
    }

    async fn list(&self, _pool: &str) -> Result<BTreeMap<ContainerId, Presence>, RuntimeError> {
        let presence = |running: &Running| match *running.exit.borrow() {
            Some(exit) => Presence::Exited(exit),
            None => Presence::Running,
        };
        Ok(self
            .children()
            .iter()
            .map(|(id, child)| (id.clone(), presence(child)))
            .collect())
    }

    async fn exit(
        &self,
        container: &ContainerId,
        patience: Duration,
    ) -> Result<Option<Exit>, RuntimeError> {
        let found = self
            .children()
            .get(container)
            .map(|child| child.exit.clone());
        let Some(mut exit) = found else {
            return Ok(None);
        };
        let ended = tokio::time::timeout(patience, exit.wait_for(Option::is_some)).await;
        Ok(ended
            .ok()
            .and_then(|ended| ended.ok().and_then(|exit| *exit)))
    }

    async fn remove(&self, container: &ContainerId, grace: Duration) -> Result<(), RuntimeError> {
        let found = self
            .children()
            .get(container)
            .map(|child| (child.pid, child.exit.clone()));
        if let Some((pid, mut exit)) = found {
            let deadline = Instant::now() + grace;
            // The wrapper's group; `claude` has a group of its own, which the wrapper ends.
            if !grace.is_zero() && exit.borrow().is_none() {
                killpg(pid, Signal::SIGTERM).ok();
                let _ = tokio::time::timeout_at(deadline, exit.wait_for(Option::is_some)).await;
            }
            if exit.borrow().is_none() {
                killpg(pid, Signal::SIGKILL).ok();
                // The end of a killed process cannot be waited for in vain.
                let _ = exit.wait_for(Option::is_some).await;
            }
        }
        // A wrapper that was killed has ended nothing, and one of an earlier gateway's may have
        // been.
        let id = container.clone();
        match tokio::task::spawn_blocking(move || leftovers::end(&id)).await {
            Ok(Ok(0)) => {}
            Ok(Ok(ended)) => tracing::warn!(%container, ended, "ended what a wrapper left behind"),
            Ok(Err(error)) => {
                tracing::warn!(%container, %error, "cannot look for what a wrapper left behind");
            }
            Err(error) => tracing::error!(%container, %error, "looking at processes failed"),
        }
        self.children().remove(container);
        let folder = self.folder(container);
        if let Err(error) = tokio::fs::remove_dir_all(&folder).await
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(folder = %folder.display(), %error, "could not remove a folder");
        }
        Ok(())
    }

    async fn log_tail(&self, container: &ContainerId) -> Result<Vec<String>, RuntimeError> {
        let log = self
            .children()
            .get(container)
            .map(|child| Arc::clone(&child.log));
        Ok(log.map_or_else(Vec::new, |log| {
            log.lock().unwrap_or_else(PoisonError::into_inner).clone()
        }))
    }

    fn ended(&self) -> BoxStream<'static, ()> {
        let receiver = self.ended.subscribe();
        futures::stream::unfold(receiver, |mut receiver| async move {
            match receiver.recv().await {
                Ok(()) | Err(broadcast::error::RecvError::Lagged(_)) => Some(((), receiver)),
                Err(broadcast::error::RecvError::Closed) => None,
            }
        })
        .boxed()
    }

    async fn ping(&self) -> Result<Duration, RuntimeError> {
        Ok(Duration::ZERO)
    }
}

impl fmt::Debug for ProcessRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessRuntime")
            .field("wrapper", &self.wrapper)
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}
