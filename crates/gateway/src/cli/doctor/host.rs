//! What this host must have: programs, a credential, a free port, room on the disk.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use ccpool::config::Config;
use nix::sys::statvfs::statvfs;
use tokio::net::TcpListener;
use tokio::process::Command;

use super::report::Check;
use crate::cli::gateway_client::GatewayClient;
use crate::gateway::{credentials, find_wrapper};

/// `claude --version` takes well under a second.
const VERSION_TIMEOUT: Duration = Duration::from_secs(15);

/// Homes of containers and a private Redis need some; less than this is trouble soon.
const LEAST_FREE: u64 = 1 << 30;

/// The wrapper that the process runtime starts.
pub(super) fn wrapper(named: Option<&Path>) -> Check {
    const NAME: &str = "wrapper";
    const MEND: &str = "build it (`cargo build -p ccpool-wrapper`), or name it with --wrapper";
    match find_wrapper(named) {
        Ok(path) if path.is_file() => Check::ok(NAME, path.display().to_string()),
        Ok(path) => Check::failed(NAME, format!("{} is not there", path.display()), MEND),
        Err(error) => Check::failed(NAME, error.to_string(), MEND),
    }
}

/// The CLI on this host, for the process runtime.
pub(super) async fn claude(config: &Config) -> Check {
    const NAME: &str = "claude";
    let path = ccpool::on_path(&config.claude.path);
    let wanted = &config.claude.version;
    let mend = format!("install Claude Code {wanted}, or correct claude.path or claude.version");
    match version_of(&path).await {
        Ok(found) if found == *wanted => Check::ok(NAME, format!("{} is {found}", path.display())),
        Ok(found) => Check::failed(
            NAME,
            format!(
                "{} is {found}, and claude.version is {wanted}",
                path.display()
            ),
            mend,
        ),
        Err(why) => Check::failed(NAME, format!("{}: {why}", path.display()), mend),
    }
}

/// The first word that `--version` prints. Runs with an empty environment: no credential, no
/// settings of the person who asks.
async fn version_of(program: &Path) -> Result<String, String> {
    let asked = Command::new(program)
        .arg("--version")
        .env_clear()
        .env("HOME", std::env::temp_dir())
        .env("DISABLE_AUTOUPDATER", "1")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(VERSION_TIMEOUT, asked)
        .await
        .map_err(|_| "does not answer --version".to_owned())?
        .map_err(|error| format!("cannot be started: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let word = text.split_whitespace().next().map(str::to_owned);
    word.filter(|word| word.starts_with(|c: char| c.is_ascii_digit()))
        .ok_or_else(|| "does not answer --version as Claude Code does".to_owned())
}

/// Whether `claude` will have something to show to the model's service.
pub(super) fn credential(config: &Config) -> Check {
    const NAME: &str = "credential";
    let found = credentials(config);
    let names: Vec<&str> = found
        .keys()
        .map(String::as_str)
        .filter(|name| *name != "ANTHROPIC_BASE_URL")
        .collect();
    if names.is_empty() {
        return Check::failed(
            NAME,
            "neither the environment nor claude.env holds one",
            "set ANTHROPIC_API_KEY or CLAUDE_CODE_OAUTH_TOKEN where the gateway runs",
        );
    }
    Check::ok(NAME, format!("{} is set", names.join(", ")))
}

/// Whether the gateway can listen, or listens already.
pub(super) async fn port(config: &Config) -> Check {
    const NAME: &str = "port";
    let listen = config.http.listen;
    match TcpListener::bind(listen).await {
        Ok(_) => Check::ok(NAME, format!("{listen} is free")),
        Err(error) => {
            if GatewayClient::finds_one(&config.http).await {
                return Check::ok(NAME, format!("a gateway runs on {listen}"));
            }
            Check::failed(
                NAME,
                format!("cannot listen on {listen}: {error}"),
                "stop what listens there, or choose another with --listen or http.listen",
            )
        }
    }
}

/// Room where the pool keeps its own files.
pub(super) fn disk(config: &Config) -> Check {
    const NAME: &str = "disk";
    let dir = config.data_dir.as_path();
    let Some(there) = dir.ancestors().find(|place| place.exists()) else {
        let mend = "correct dataDir";
        return Check::failed(NAME, format!("{} cannot be made", dir.display()), mend);
    };
    match statvfs(there) {
        Ok(stat) => {
            let free = stat.blocks_available() * stat.fragment_size();
            let detail = format!("{} MiB free for {}", free >> 20, dir.display());
            if free >= LEAST_FREE {
                Check::ok(NAME, detail)
            } else {
                Check::failed(
                    NAME,
                    detail,
                    "make room (1 GiB at least), or set dataDir elsewhere",
                )
            }
        }
        Err(error) => Check::failed(
            NAME,
            format!("{} cannot be looked at: {error}", there.display()),
            "correct dataDir, or its permissions",
        ),
    }
}
