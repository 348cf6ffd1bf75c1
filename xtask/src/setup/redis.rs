use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::daemon::Daemon;

/// A private redis-server: its own directory, nothing written to disk, gone when dropped.
#[derive(Debug)]
pub(crate) struct RedisServer {
    socket: PathBuf,
    daemon: Daemon,
}

/// What a private redis-server offers beside its socket.
#[derive(Debug, Default)]
pub(crate) struct RedisOptions {
    /// Also listen here; containers cannot use a host's socket.
    pub(crate) tcp: Option<SocketAddr>,
    /// Password of the default user. Needed when `tcp` is not loopback: whoever reaches
    /// the port would otherwise own the server.
    pub(crate) password: Option<String>,
}

/// The system's limit for a socket's path, with its closing zero.
const PATH_LIMIT: usize = 107;

const STARTUP: Duration = Duration::from_secs(10);
const GRACE: Duration = Duration::from_secs(5);

impl RedisServer {
    /// Starts `program` with its files in `directory` and waits until it answers.
    ///
    /// # Errors
    /// It cannot be started or does not answer; the message holds the end of its log.
    pub(crate) fn start(program: &Path, directory: &Path, options: &RedisOptions) -> Result<Self> {
        let remote = options
            .tcp
            .is_some_and(|address| !address.ip().is_loopback());
        ensure!(
            !remote || options.password.is_some(),
            "a redis-server beyond loopback needs a password"
        );
        let socket = directory.join("redis.sock");
        ensure!(
            socket.as_os_str().len() <= PATH_LIMIT,
            "the path of the Redis socket is longer than {PATH_LIMIT} bytes: {} \
             (choose a shorter target directory)",
            socket.display()
        );
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
        let configuration = directory.join("redis.conf");
        write_privately(
            &configuration,
            &configuration_of(directory, &socket, options),
        )
        .with_context(|| format!("cannot write {}", configuration.display()))?;

        let log = directory.join("redis.log");
        let arguments: [&OsStr; 1] = [configuration.as_os_str()];
        let daemon = Daemon::start("redis-server", program, &arguments, log, GRACE)?;
        daemon.wait_until(STARTUP, || answers(&socket).unwrap_or(false))?;
        Ok(Self { socket, daemon })
    }

    /// The path of its Unix socket.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.daemon.pid()
    }
}

fn configuration_of(directory: &Path, socket: &Path, options: &RedisOptions) -> String {
    let mut text = format!(
        "dir \"{}\"\nunixsocket \"{}\"\nunixsocketperm 700\n\
         daemonize no\nsave \"\"\nappendonly no\n",
        directory.display(),
        socket.display()
    );
    match options.tcp {
        Some(address) => {
            let _ = writeln!(text, "bind {}\nport {}", address.ip(), address.port());
        }
        None => text.push_str("port 0\n"),
    }
    if let Some(password) = &options.password {
        let _ = writeln!(text, "requirepass {password}");
    }
    text
}

/// The file may hold a password: nobody else reads it, and it is on no command line.
fn write_privately(path: &Path, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path)?.write_all(text.as_bytes())
}

const PING: &[u8; 14] = b"*1\r\n$4\r\nPING\r\n";

/// True when the server speaks: `+PONG`, or `-NOAUTH` where it wants a password first.
fn answers(socket: &Path) -> io::Result<bool> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(PING)?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer)?;
    Ok(&answer == b"+PONG\r\n" || &answer == b"-NOAUTH")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_beyond_loopback_wants_a_password() {
        let options = RedisOptions {
            tcp: Some(([0, 0, 0, 0], 6379).into()),
            password: None,
        };
        let error = RedisServer::start(Path::new("none"), Path::new("none"), &options).unwrap_err();
        assert!(error.to_string().contains("password"), "{error}");
    }

    #[test]
    fn without_a_port_only_the_socket_is_open() {
        let text = configuration_of(Path::new("/d"), Path::new("/d/s"), &RedisOptions::default());
        assert!(
            text.contains("\nport 0\n") && !text.contains("bind"),
            "{text}"
        );
    }
}
