//! The system's `ssh`, with fixed options and a clean environment.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use ccpool::config::Node;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin};
use tokio::time::Instant;

use super::command::Command;
use super::kept::Kept;
use super::mishap::{Mishap, mishap};

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// More of what `ssh` logs is not looked at.
const LOG: u64 = 16_384;

/// Said to `ssh` whatever the node. `-F none` keeps every configuration file out of it.
const OPTIONS: [&str; 22] = [
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "GlobalKnownHostsFile=/dev/null",
    "UpdateHostKeys=no",
    "VerifyHostKeyDNS=no",
    "PreferredAuthentications=publickey",
    "IdentitiesOnly=yes",
    "IdentityAgent=none",
    "AddKeysToAgent=no",
    "ForwardAgent=no",
    "ForwardX11=no",
    "ClearAllForwardings=yes",
    "Tunnel=no",
    "PermitLocalCommand=no",
    "ProxyCommand=none",
    "ControlMaster=no",
    "ControlPath=none",
    "CanonicalizeHostname=no",
    "RequestTTY=no",
    "LogLevel=ERROR",
    // A node that falls silent is given up after 15 s.
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
];

/// What became of a command.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) end: End,
    pub(super) stdout: Kept,
    pub(super) stderr: Kept,
    pub(super) took: Duration,
}

#[derive(Debug)]
pub(super) enum End {
    /// With this exit code; 128 and more by a signal.
    Exited(i32),
    /// It ran for longer than it may, and was ended.
    TooLong,
    /// `ssh` itself failed.
    Failed(Mishap),
}

impl Run {
    fn without(mishap: Mishap) -> Self {
        Self {
            end: End::Failed(mishap),
            stdout: Kept::new(0),
            stderr: Kept::new(0),
            took: Duration::ZERO,
        }
    }
}

/// Runs it, for at most `limit`. Dropping the future ends it here at once, and on the node as soon as
/// the connection is gone.
pub(super) async fn run(node: &Node, command: &Command, limit: Duration) -> io::Result<Run> {
    if let Err(error) = File::open(&node.identity_file) {
        // `ssh` would go on without it, and say that it was not let in.
        tracing::warn!(host = node.host, %error, "the key of a node cannot be read");
        return Ok(Run::without(Mishap::Identity));
    }
    // `ssh` appends to it, and nobody else may read it.
    let log = tempfile::Builder::new().prefix("ccpool-ssh-").tempfile()?;
    let began = Instant::now();
    let mut ssh = Ssh::start(node, command, limit, log.path())?;
    let mut stdout = Kept::new(node.max_output_bytes);
    let mut stderr = Kept::new(node.max_output_bytes);
    let ended = tokio::time::timeout(limit, ssh.talk(command, &mut stdout, &mut stderr)).await;
    let end = match ended {
        Err(_) => End::TooLong,
        Ok(status) => match (status?.code(), stderr.take_out(command.mark.as_bytes())) {
            // 255 is the code of `ssh` itself too; without a code a signal ended it here.
            (Some(255), false) | (None, _) => End::Failed(why(node, log.path())?),
            (Some(code), _) => End::Exited(code),
        },
    };
    Ok(Run {
        end,
        stdout,
        stderr,
        took: began.elapsed(),
    })
}

fn why(node: &Node, log: &Path) -> io::Result<Mishap> {
    let mut said = Vec::new();
    File::open(log)?.take(LOG).read_to_end(&mut said)?;
    let said = String::from_utf8_lossy(&said);
    tracing::warn!(host = node.host, said = said.trim(), "ssh failed");
    Ok(mishap(&said))
}

/// A running `ssh`. Dropping it ends it.
struct Ssh {
    child: Child,
    /// Its process group, until it has ended.
    group: Option<Pid>,
    /// Open as long as the command may run.
    stdin: Option<ChildStdin>,
}

impl Ssh {
    fn start(node: &Node, command: &Command, limit: Duration, log: &Path) -> io::Result<Self> {
        let program = ccpool::on_path(Path::new("ssh"));
        let mut child = tokio::process::Command::new(program)
            .args(arguments(node, command, limit, log))
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LC_ALL", "C")
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let group = child.id().and_then(|pid| i32::try_from(pid).ok());
        let stdin = child.stdin.take();
        Ok(Self {
            child,
            group: group.map(Pid::from_raw),
            stdin,
        })
    }

    /// Feeds it, hears it out, and waits for its end.
    async fn talk(
        &mut self,
        command: &Command,
        stdout: &mut Kept,
        stderr: &mut Kept,
    ) -> io::Result<ExitStatus> {
        let (out, err) = (self.child.stdout.take(), self.child.stderr.take());
        let stdin = &mut self.stdin;
        let feed = async {
            if let Some(stdin) = stdin {
                // Where `ssh` has ended already, its end says why.
                let _ = stdin.write_all(&command.given).await;
                let _ = stdin.flush().await;
            }
            Ok(())
        };
        tokio::try_join!(feed, hear(out, stdout), hear(err, stderr))?;
        let status = self.child.wait().await?;
        self.group = None;
        Ok(status)
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // It may have ended just now.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

async fn hear(stream: Option<impl AsyncRead + Unpin>, kept: &mut Kept) -> io::Result<()> {
    let Some(mut stream) = stream else {
        return Ok(());
    };
    let mut bytes = vec![0; 16_384];
    loop {
        match stream.read(&mut bytes).await? {
            0 => return Ok(()),
            read => kept.push(&bytes[..read]),
        }
    }
}

/// Behind `--` nothing is an option, and what stands before it cannot be taken for one: host and user
/// never begin with `-`.
fn arguments(node: &Node, command: &Command, limit: Duration, log: &Path) -> Vec<OsString> {
    let connect = limit.min(CONNECT).as_secs().max(1);
    let known_hosts = node.known_hosts_file.display();
    let own = [
        format!("UserKnownHostsFile={known_hosts}"),
        format!("ConnectTimeout={connect}"),
    ];
    let options = OPTIONS.iter().map(|option| (*option).to_owned()).chain(own);
    let mut arguments: Vec<OsString> = ["-F", "none", "-T", "-e", "none", "-E"]
        .map(Into::into)
        .into();
    arguments.push(log.into());
    arguments.extend(options.flat_map(|option| ["-o".into(), option.into()]));
    arguments.extend(["-p".into(), node.port.to_string().into()]);
    arguments.extend(["-i".into(), node.identity_file.clone().into()]);
    arguments.extend(["-l".into(), node.user.clone().into()]);
    arguments.extend([
        "--".into(),
        node.host.clone().into(),
        command.line.clone().into(),
    ]);
    arguments
}
