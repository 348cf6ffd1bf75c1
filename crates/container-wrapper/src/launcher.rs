//! Starts `claude`: what it needs on disk, then the process.

use std::io;

use ccpool_cli_process::leftovers;
use ccpool_protocol::ContainerId;
use ccpool_protocol::boot::{Boot, ClaudeSpawn};
use ccpool_protocol::mark;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::board::Board;
use crate::claude::{Claude, SpawnError};
use crate::home::{self, Acting, PrepareError};
use crate::launch::{self, Conversation};
use crate::log;
use crate::news::News;

/// `claude` could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchError {
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    #[error("cannot hide the environment: {0}")]
    Hide(#[from] nix::Error),
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// The wrapper is on its way out.
    #[error("nobody listens to claude any more")]
    Deserted,
}

/// Starts it as often as need be.
#[derive(Debug)]
pub(crate) struct Launcher {
    container: ContainerId,
    spawn: ClaudeSpawn,
    /// Weak: the news end when everything else has ended.
    news: mpsc::WeakSender<News>,
    board: Board,
}

impl Launcher {
    pub(crate) fn new(boot: &Boot, news: mpsc::WeakSender<News>, board: Board) -> Self {
        Self {
            container: boot.container.clone(),
            spawn: boot.claude.clone(),
            news,
            board,
        }
    }

    /// Ends what the last one has left behind.
    pub(crate) fn sweep(&self) {
        let ended = self.end_leftovers();
        // Acting under another uid may have undone it.
        let hidden = hide().map_err(io::Error::from);
        match ended.and_then(|ended| hidden.map(|()| ended)) {
            Ok(0) => {}
            Ok(ended) => log::warn(format_args!("{ended} processes of claude's were ended")),
            Err(error) => log::error(format_args!("cannot look for what claude left: {error}")),
        }
    }

    fn end_leftovers(&self) -> io::Result<usize> {
        // Only under the agent's uid can their environment be read.
        let _agent = self.spawn.uid.map(Acting::under).transpose()?;
        leftovers::end(&self.container)
    }

    /// Starts it for this conversation; its tasks go into `tasks`.
    pub(crate) fn launch(
        &self,
        conversation: &Conversation,
        tasks: &mut JoinSet<()>,
    ) -> Result<Claude, LaunchError> {
        let news = self.news.upgrade().ok_or(LaunchError::Deserted)?;
        let command = self.command(conversation)?;
        Ok(Claude::spawn(command, tasks, news, self.board.clone())?)
    }

    fn command(&self, conversation: &Conversation) -> Result<Command, LaunchError> {
        let spawn = &self.spawn;
        let prepared = home::prepare(spawn)?;
        // Acting under another uid may have undone it.
        hide()?;
        // Unreadable is as good as empty: the names in it are a courtesy.
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let uid = spawn.uid.unwrap_or_else(|| nix::unistd::getuid().as_raw());
        let account = launch::Account::find(uid, &passwd);
        let path = std::env::var("PATH").ok();
        let mut command = Command::new(&spawn.path);
        command
            .args(launch::arguments(spawn, &prepared, conversation))
            .env_clear()
            .envs(launch::environment(spawn, &prepared, path, &account))
            .env(mark::ENV, self.container.as_str())
            .current_dir(&spawn.cwd);
        if let Some(uid) = spawn.uid {
            // The standard library drops supplementary groups too when it changes the uid as root.
            command.gid(uid).uid(uid);
        }
        Ok(command)
    }
}

/// Without this, a process of the same uid could read the boot parameters from /proc.
pub(crate) fn hide() -> nix::Result<()> {
    nix::sys::prctl::set_dumpable(false)
}
