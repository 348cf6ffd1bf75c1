//! A Redis server of a run's own, on a Unix socket, that can be killed and come back.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use ccpool_testing::{serve, socket};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use redis::Client;
use redis::aio::MultiplexedConnection;
use tokio::net::UnixStream;
use tokio::process::Child;

use crate::patience;

/// Ends with the value.
#[derive(Debug)]
pub(crate) struct RedisServer {
    child: Child,
    program: PathBuf,
    dir: PathBuf,
    durable: bool,
}

impl RedisServer {
    /// Starts it with everything it has in `dir`. `durable`: it writes down every change before it
    /// answers.
    ///
    /// # Errors
    /// It does not come up.
    pub(crate) async fn start(program: &Path, dir: &Path, durable: bool) -> Result<Self> {
        std::fs::create_dir_all(dir).context("cannot make a folder for Redis")?;
        let child = spawn(program, dir, durable)?;
        let server = Self {
            child,
            program: program.to_owned(),
            dir: dir.to_owned(),
            durable,
        };
        server.up().await?;
        Ok(server)
    }

    /// Its Unix socket.
    pub(crate) fn socket(&self) -> PathBuf {
        socket(&self.dir)
    }

    /// Whether a start finds what the last one had.
    pub(crate) fn is_durable(&self) -> bool {
        self.durable
    }

    /// SIGKILL; returns once it is gone.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        self.child.kill().await.context("cannot kill redis-server")
    }

    /// Another one in the place of the one that was killed.
    pub(crate) async fn restart(&mut self) -> Result<()> {
        self.child = spawn(&self.program, &self.dir, self.durable)?;
        self.up().await
    }

    /// SIGSTOP or SIGCONT.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.child.id().context("redis-server has ended")?;
        kill(Pid::from_raw(pid.cast_signed()), signal).context("cannot signal redis-server")
    }

    async fn up(&self) -> Result<()> {
        let socket = self.socket();
        let ping = || async {
            UnixStream::connect(&socket).await.ok()?;
            let mut connection = connect(&socket).await.ok()?;
            // While it loads what it has it answers with an error.
            let pong: redis::RedisResult<String> =
                redis::cmd("PING").query_async(&mut connection).await;
            pong.ok()
        };
        let up = patience::until(Duration::from_secs(20), ping).await;
        up.map(drop).context("redis-server does not come up")
    }
}

/// A connection, past every proxy.
pub(crate) async fn connect(socket: &Path) -> redis::RedisResult<MultiplexedConnection> {
    let client = Client::open(format!("unix://{}", socket.display()))?;
    client.get_multiplexed_async_connection().await
}

fn spawn(program: &Path, dir: &Path, durable: bool) -> Result<Child> {
    serve(program, dir, durable).context("cannot start redis-server")
}
