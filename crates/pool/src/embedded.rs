//! A private Redis server for one gateway: on a Unix socket, with a password, without persistence.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use redis::{ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::config::Secret;
use crate::password::Password;
use crate::program_path::on_path;

/// Servers that speak the protocol, by preference.
const SERVERS: [&str; 2] = ["redis-server", "valkey-server"];
/// It is up within milliseconds; a loaded machine gets more.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// A running private server. It ends when this is dropped.
#[derive(Debug)]
pub struct EmbeddedRedis {
    child: Child,
    dir: PathBuf,
    socket: PathBuf,
    password: Password,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// Neither program is on PATH.
    #[error("neither redis-server nor valkey-server is on PATH; install one, or set `redis.url`")]
    NotInstalled,
    /// The folder or the program could not be used.
    #[error("could not {action} {path}: {source}")]
    Io {
        action: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    /// It ended, or never answered.
    #[error("the embedded Redis did not come up: {0}")]
    NotUp(String),
}

impl EmbeddedRedis {
    /// Starts a server with its socket in a folder of its own under `dir`, and waits until it
    /// answers. Its password lies beside that folder, which containers see. What earlier gateways
    /// left there is cleared away.
    ///
    /// # Errors
    /// [`EmbeddedError`].
    pub async fn start(dir: &Path) -> Result<Self, EmbeddedError> {
        let server = SERVERS
            .iter()
            .map(|name| on_path(Path::new(name)))
            .find(|path| path.is_absolute() && path.is_file())
            .ok_or(EmbeddedError::NotInstalled)?;
        let base = dir.join("redis");
        clear_leftovers(&base).await;
        let dir = base.join(std::process::id().to_string());
        let io = |action, path: &Path| {
            let path = path.to_owned();
            move |source| EmbeddedError::Io {
                action,
                path,
                source,
            }
        };
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(&dir)
            .map_err(io("make", &dir))?;
        let mode = std::fs::Permissions::from_mode(0o750);
        std::fs::set_permissions(&dir, mode).map_err(io("protect", &dir))?;
        let socket = dir.join("redis.sock");
        let password = Password::mint();
        let kept = password_file(&dir);
        write_secret(&kept, password.expose()).map_err(io("write", &kept))?;
        // What is on a command line can be read by everybody on the host.
        let mut child = Command::new(&server)
            .arg("-")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(io("start", &server))?;
        if let Some(mut stdin) = child.stdin.take() {
            let configuration = configuration(&dir, &socket, &password);
            let written = stdin.write_all(configuration.as_bytes()).await;
            written.map_err(io("configure", &server))?;
        }
        let mut embedded = Self {
            child,
            dir,
            socket,
            password,
        };
        embedded.wait_until_up().await?;
        Ok(embedded)
    }

    /// The server's socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Its URL, with the password.
    pub fn url(&self) -> Secret {
        let (socket, password) = (self.socket.display(), self.password.expose());
        Secret::new(format!("unix://{socket}?pass={password}"))
    }

    async fn wait_until_up(&mut self) -> Result<(), EmbeddedError> {
        let deadline = Instant::now() + START_TIMEOUT;
        let mut poll = tokio::time::interval(Duration::from_millis(5));
        loop {
            poll.tick().await;
            if let Ok(Some(status)) = self.child.try_wait() {
                let hint = "is its path too long for a socket (107 bytes)?";
                return Err(EmbeddedError::NotUp(format!("{status}; {hint}")));
            }
            if ping(&self.socket, self.password.expose()).await {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(EmbeddedError::NotUp(format!(
                    "no answer in {START_TIMEOUT:?}"
                )));
            }
        }
    }

    /// Stops the server and removes its folder.
    pub async fn stop(mut self) {
        // A private server has nothing to save.
        if let Err(error) = self.child.kill().await {
            tracing::warn!(%error, "could not stop the embedded Redis");
        }
        remove(&self.dir).await;
    }
}

/// Where the password of the server with this folder lies: beside the folder, not in it, because
/// containers see the folder.
fn password_file(dir: &Path) -> PathBuf {
    dir.with_extension("password")
}

fn write_secret(path: &Path, secret: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    file.write_all(secret.as_bytes())
}

fn configuration(dir: &Path, socket: &Path, password: &Password) -> String {
    let (dir, socket) = (quoted(dir), quoted(socket));
    let password = password.expose();
    format!(
        "port 0\nunixsocket {socket}\nunixsocketperm 770\ndir {dir}\nsave \"\"\nappendonly no\n\
         requirepass {password}\n"
    )
}

/// As Redis reads it in its configuration.
fn quoted(path: &Path) -> String {
    let mut quoted = String::from("\"");
    for byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_graphic() && !b"\"\\".contains(byte) {
            quoted.push(char::from(*byte));
        } else {
            quoted.push_str(&format!("\\x{byte:02x}"));
        }
    }
    quoted.push('"');
    quoted
}

async fn connect(socket: &Path, password: &str) -> Option<redis::aio::MultiplexedConnection> {
    let info = ConnectionAddr::Unix(socket.to_owned())
        .into_connection_info()
        .ok()?;
    let info = match password {
        "" => info,
        password => info.set_redis_settings(RedisConnectionInfo::default().set_password(password)),
    };
    redis::Client::open(info)
        .ok()?
        .get_multiplexed_async_connection()
        .await
        .ok()
}

async fn ping(socket: &Path, password: &str) -> bool {
    match connect(socket, password).await {
        Some(mut connection) => redis::cmd("PING").exec_async(&mut connection).await.is_ok(),
        None => false,
    }
}

/// A gateway that was killed leaves its server behind; its folder is named after its process.
async fn clear_leftovers(base: &Path) {
    let Ok(entries) = std::fs::read_dir(base) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if Path::new(&format!("/proc/{pid}")).exists() {
            continue;
        }
        let password = std::fs::read_to_string(password_file(&entry.path())).unwrap_or_default();
        let socket = entry.path().join("redis.sock");
        if let Some(mut connection) = connect(&socket, &password).await {
            // It answers by closing the connection.
            let _ = redis::cmd("SHUTDOWN")
                .arg("NOSAVE")
                .exec_async(&mut connection)
                .await;
        }
        remove(&entry.path()).await;
    }
}

/// The folder and the password beside it.
async fn remove(dir: &Path) {
    let password = password_file(dir);
    if let Err(error) = tokio::fs::remove_file(&password).await
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(file = %password.display(), %error, "could not remove a file");
    }
    if let Err(error) = tokio::fs::remove_dir_all(dir).await
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(dir = %dir.display(), %error, "could not remove a folder");
    }
}
