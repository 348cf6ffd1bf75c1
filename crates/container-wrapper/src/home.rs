//! The directories and files that `claude` needs before it starts.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};

use ccpool_protocol::boot::{ClaudeSpawn, McpEndpoint};
use nix::unistd::{Gid, Uid, getegid, geteuid, setegid, seteuid};
use serde_json::json;

/// The name under which the gateway's tools are known: `mcp__ccpool__…`.
pub(crate) const MCP_SERVER: &str = "ccpool";

/// Something could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot prepare {path}: {source}; the wrapper must be able to write there")]
pub(crate) struct PrepareError {
    path: PathBuf,
    source: io::Error,
}

/// What was prepared.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Prepared {
    pub(crate) tmp: PathBuf,
    /// Holds the MCP token, which must not stand in the arguments.
    pub(crate) mcp_config: Option<PathBuf>,
}

/// Makes working directory, HOME, TMPDIR and the MCP configuration; all for the agent's uid, if
/// there is one.
///
/// A working directory and a HOME that exist stay as they are. What goes into HOME is written under
/// the agent's uid: in a container root has no right to write other users' files.
pub(crate) fn prepare(spawn: &ClaudeSpawn) -> Result<Prepared, PrepareError> {
    let home = Path::new(&spawn.home);
    for path in [home, Path::new(&spawn.cwd)] {
        at(path, || directory(path, 0o755, spawn.uid))?;
    }
    let _agent = match spawn.uid {
        Some(uid) => Some(at(home, || Acting::under(uid))?),
        None => None,
    };
    let (tmp, own) = (home.join("tmp"), home.join(".ccpool"));
    for path in [&tmp, &own] {
        at(path, || directory(path, 0o700, None))?;
    }
    let mcp_config = match &spawn.mcp {
        None => None,
        Some(endpoint) => {
            let path = own.join("mcp.json");
            at(&path, || write_config(&path, endpoint))?;
            Some(path)
        }
    };
    Ok(Prepared { tmp, mcp_config })
}

fn at<T>(path: &Path, step: impl FnOnce() -> io::Result<T>) -> Result<T, PrepareError> {
    step().map_err(|source| PrepareError {
        path: path.to_owned(),
        source,
    })
}

/// `owner`: who gets it if it has to be made.
fn directory(path: &Path, mode: u32, owner: Option<u32>) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(mode).create(path)?;
    match owner {
        Some(uid) => chown(path, Some(uid), Some(uid)),
        None => Ok(()),
    }
}

/// While it lives, this thread (the only one) acts under another uid and gid.
pub(crate) struct Acting {
    uid: Uid,
    gid: Gid,
}

impl Acting {
    pub(crate) fn under(uid: u32) -> io::Result<Self> {
        let before = Self {
            uid: geteuid(),
            gid: getegid(),
        };
        // The group first: afterwards there is no right to change it.
        setegid(Gid::from_raw(uid))?;
        seteuid(Uid::from_raw(uid))?;
        Ok(before)
    }
}

impl Drop for Acting {
    fn drop(&mut self) {
        let back = seteuid(self.uid).and_then(|()| setegid(self.gid));
        back.expect("the saved uid and gid can always be taken up again");
    }
}

fn write_config(path: &Path, endpoint: &McpEndpoint) -> io::Result<()> {
    let server = json!({
        "type": "http",
        "url": endpoint.url,
        "headers": {"Authorization": format!("Bearer {}", endpoint.token)},
        // Its tools are in every request, without a search for them first.
        "alwaysLoad": true,
    });
    let config = json!({"mcpServers": {MCP_SERVER: server}});
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(config.to_string().as_bytes())
}
