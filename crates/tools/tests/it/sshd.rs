//! A real `sshd` on loopback, with its own configuration, host key and known user.
//!
//! The gateway's tests take this file in too.

use std::fs;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, User, getuid};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

/// As root it insists on this folder, which only a service manager makes.
const PRIVILEGE_SEPARATION: &str = "/run/sshd";

/// Takes connections until it is dropped. Each gets an `sshd` of its own, as `inetd` starts them, so
/// the port is the listener's from beginning to end.
#[derive(Debug)]
pub(crate) struct Sshd {
    dir: TempDir,
    address: SocketAddr,
    connections: Arc<Mutex<Vec<Child>>>,
    _accepting: JoinSet<()>,
}

impl Sshd {
    pub(crate) async fn start() -> Self {
        let sshd = program("sshd");
        let dir = TempDir::with_prefix("ccp-sshd-").expect("a temporary folder can be made");
        if getuid().is_root() && !Path::new(PRIVILEGE_SEPARATION).is_dir() {
            fs::create_dir_all(PRIVILEGE_SEPARATION).expect("root can make it");
        }
        let path = |name: &str| dir.path().join(name);
        for key in ["host_key", "other_host_key", "user_key", "other_user_key"] {
            make_key(&path(key)).await;
        }
        let key = |name: &str| fs::read_to_string(path(name)).expect("a key");
        fs::write(path("authorized_keys"), key("user_key.pub")).expect("a file");
        let config = format!(
            "HostKey {host_key}\nAuthorizedKeysFile {authorized_keys}\nStrictModes no\nUsePAM no\n\
             PidFile none\nPermitRootLogin prohibit-password\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nLogLevel VERBOSE\n",
            host_key = path("host_key").display(),
            authorized_keys = path("authorized_keys").display(),
        );
        fs::write(path("sshd_config"), config).expect("a file");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        for (name, host_key) in [
            ("known_hosts", "host_key.pub"),
            ("wrong_known_hosts", "other_host_key.pub"),
        ] {
            let line = format!("[127.0.0.1]:{} {}", address.port(), key(host_key));
            fs::write(path(name), line).expect("a file");
        }
        let connections = Arc::default();
        let mut accepting = JoinSet::new();
        let folder = dir.path().to_owned();
        accepting.spawn(accept(listener, sshd, folder, Arc::clone(&connections)));
        Self {
            dir,
            address,
            connections,
            _accepting: accepting,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Whom it lets in: who runs the tests.
    pub(crate) fn user(&self) -> String {
        let user = User::from_uid(getuid()).expect("users can be read");
        user.expect("a user of a name").name
    }

    /// Of `user_key`, which opens it, `other_user_key`, which does not, `known_hosts`,
    /// `wrong_known_hosts`, and whatever a test puts there.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// How many connections there have been.
    pub(crate) fn connections(&self) -> usize {
        self.children().len()
    }

    /// Ends all connections from its side, whatever processes `sshd` has made for them; not what they
    /// have started.
    pub(crate) fn cut(&self) {
        for child in self.children().iter() {
            if let Some(pid) = child.id() {
                let group = Pid::from_raw(i32::try_from(pid).expect("a process id is positive"));
                // One that has ended already is as it should be.
                let _ = killpg(group, Signal::SIGKILL);
            }
        }
    }

    /// What it has logged, for a test that fails.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn children(&self) -> MutexGuard<'_, Vec<Child>> {
        self.connections.lock().expect("nothing panics with it")
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.cut();
    }
}

async fn accept(
    listener: TcpListener,
    sshd: PathBuf,
    dir: PathBuf,
    connections: Arc<Mutex<Vec<Child>>>,
) {
    loop {
        let (stream, _) = listener.accept().await.expect("connections come in");
        let stream = stream.into_std().expect("a plain socket");
        stream.set_nonblocking(false).expect("a socket that waits");
        let socket = || Stdio::from(OwnedFd::from(stream.try_clone().expect("another handle")));
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(dir.join("log"))
            .expect("a log");
        let child = Command::new(&sshd)
            .args(["-i", "-e", "-f"])
            .arg(dir.join("sshd_config"))
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .stdin(socket())
            .stdout(socket())
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .expect("sshd starts");
        let mut connections = connections.lock().expect("nothing panics with it");
        connections.push(child);
    }
}

async fn make_key(path: &Path) {
    let made = Command::new(program("ssh-keygen"))
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"])
        .arg(path)
        .stdin(Stdio::null())
        .status()
        .await
        .expect("ssh-keygen starts");
    assert!(made.success(), "ssh-keygen ended with {made}");
}

/// `sshd` refuses to be started without its whole path.
fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("there is no {name}; run cargo xtask test, which gets all parts"))
}
