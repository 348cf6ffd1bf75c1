//! A Redis server of a test's own, on a Unix socket.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

use crate::parts::{PATIENCE, redis_server};

/// Ends with the value.
#[derive(Debug)]
pub(crate) struct RedisServer {
    child: Mutex<Child>,
    socket: PathBuf,
}

impl RedisServer {
    /// Starts it with its socket in `dir`, and waits until it takes connections.
    pub(crate) async fn start(dir: &Path) -> Self {
        // Containers see this folder, and only the wrapper in them may enter it.
        let dir = &dir.join("redis");
        let mut folder = std::fs::DirBuilder::new();
        folder
            .mode(0o700)
            .create(dir)
            .expect("a folder can be made");
        let socket = dir.join("redis.sock");
        let child = Mutex::new(serve(&socket).await);
        Self { child, socket }
    }

    /// Ends it with SIGKILL; what it held is lost.
    pub(crate) async fn crash(&self) {
        let mut child = self.child.lock().await;
        child.kill().await.expect("it can be killed");
    }

    /// An empty one in its place.
    pub(crate) async fn revive(&self) {
        // The socket of one that was killed is still there.
        let _ = std::fs::remove_file(&self.socket);
        *self.child.lock().await = serve(&self.socket).await;
    }

    /// Holds it up, or lets it go on.
    pub(crate) async fn freeze(&self, frozen: bool) {
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
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// A connection to it.
    pub(crate) async fn connect(&self) -> MultiplexedConnection {
        let client = Client::open(self.url()).expect("an address");
        // On a busy machine an answer may take longer than the client's own patience.
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
        client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .expect("redis-server takes connections")
    }

    /// As `redis.url`.
    pub(crate) fn url(&self) -> String {
        format!("unix://{}", self.socket.display())
    }
}

async fn serve(socket: &Path) -> Child {
    let mut child = Command::new(redis_server())
        .args([
            "--port",
            "0",
            "--save",
            "",
            "--appendonly",
            "no",
            "--unixsocket",
        ])
        .arg(socket)
        .arg("--dir")
        .arg(socket.parent().expect("it lies in a folder"))
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("redis-server starts");
    let up = async {
        let mut look = tokio::time::interval(Duration::from_millis(10));
        loop {
            look.tick().await;
            if let Some(status) = child.try_wait().expect("a child can be asked") {
                panic!("redis-server ended with {status}");
            }
            if UnixStream::connect(socket).await.is_ok() {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, up)
        .await
        .expect("redis-server comes up");
    child
}
