//! A Redis server of one's own, on a Unix socket.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

use crate::{PATIENCE, eventually, redis_server};

/// Ends with the value.
#[derive(Debug)]
pub struct RedisServer {
    child: Mutex<Child>,
    socket: PathBuf,
}

impl RedisServer {
    /// Starts it in a folder below `dir`, and waits until it takes connections.
    pub async fn start(dir: &Path) -> Self {
        // Containers see this folder, and only the wrapper in them may enter it.
        let dir = &dir.join("redis");
        let mut folder = std::fs::DirBuilder::new();
        folder
            .mode(0o700)
            .create(dir)
            .expect("a folder can be made");
        let child = Mutex::new(up(dir).await);
        let socket = socket(dir);
        Self { child, socket }
    }

    /// Ends it with SIGKILL; what it held is lost.
    pub async fn crash(&self) {
        let mut child = self.child.lock().await;
        child.kill().await.expect("it can be killed");
    }

    /// An empty one in its place.
    pub async fn revive(&self) {
        // The socket of one that was killed is still there.
        let _ = std::fs::remove_file(&self.socket);
        let dir = self.socket.parent().expect("it lies in a folder");
        *self.child.lock().await = up(dir).await;
    }

    /// Holds it up, or lets it go on.
    pub async fn freeze(&self, frozen: bool) {
        let pid = self.child.lock().await.id().expect("it runs");
        let pid = Pid::from_raw(i32::try_from(pid).expect("a process id is positive"));
        let signal = if frozen {
            Signal::SIGSTOP
        } else {
            Signal::SIGCONT
        };
        kill(pid, signal).expect("it can be signalled");
    }

    /// Its Unix socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// A connection to it.
    pub async fn connect(&self) -> MultiplexedConnection {
        let client = Client::open(self.url()).expect("an address");
        // On a busy machine an answer may take longer than the client's own patience.
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
        client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .expect("redis-server takes connections")
    }

    /// As `redis.url`.
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket.display())
    }
}

async fn up(dir: &Path) -> Child {
    let mut child = serve(&redis_server(), dir, false).expect("redis-server starts");
    let socket = socket(dir);
    eventually("redis-server comes up", async || {
        if let Some(status) = child.try_wait().expect("a child can be asked") {
            panic!("redis-server ended with {status}");
        }
        UnixStream::connect(&socket).await.ok()
    })
    .await;
    child
}

/// Where the server of a folder listens.
pub fn socket(dir: &Path) -> PathBuf {
    dir.join("redis.sock")
}

/// Starts a server with everything it has in `dir`; soon it takes connections. It ends with the value.
/// `durable`: it writes down every change before it answers, so that the next one there finds it.
///
/// # Errors
/// The program cannot be started.
pub fn serve(program: &Path, dir: &Path, durable: bool) -> io::Result<Child> {
    let append = if durable { "yes" } else { "no" };
    Command::new(program)
        .args(["--port", "0", "--save", "", "--appendonly", append])
        .args(["--appendfsync", "always", "--unixsocket"])
        .arg(socket(dir))
        .arg("--dir")
        .arg(dir)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
}
