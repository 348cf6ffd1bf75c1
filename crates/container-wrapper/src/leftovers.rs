//! What a `claude` that was killed leaves behind: its tools live in sessions of their own and go on
//! without it, beside whatever its successor does.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::home::Acting;

/// An environment variable by which everything that a `claude` starts can be told from the rest of
/// the machine. Its value is the container's id.
pub(crate) const MARK: &str = "CCPOOL_CONTAINER";

/// Something may start another thing while it is looked for.
const ROUNDS: usize = 10;

/// Ends every process that has this mark. Returns how many there were.
///
/// `uid`: the agent's, where it has one; only under it their environment can be read.
pub(crate) fn end(container: &str, uid: Option<u32>) -> io::Result<usize> {
    let _agent = uid.map(Acting::under).transpose()?;
    let mark = format!("{MARK}={container}");
    let mut ended = HashSet::new();
    for _ in 0..ROUNDS {
        let found: HashSet<Pid> = marked(&mark)?;
        if found.is_subset(&ended) {
            break;
        }
        for pid in found {
            // One that has just ended by itself is fine too.
            let _ = kill(pid, Signal::SIGKILL);
            ended.insert(pid);
        }
    }
    Ok(ended.len())
}

fn marked(mark: &str) -> io::Result<HashSet<Pid>> {
    let mut found = HashSet::new();
    for entry in Path::new("/proc").read_dir()? {
        let Ok(entry) = entry else { continue };
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        // Not to be read: somebody else's. Empty: it has ended.
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        let mut variables = environment.split(|byte| *byte == 0);
        if variables.any(|variable| variable == mark.as_bytes()) {
            found.insert(Pid::from_raw(pid));
        }
    }
    Ok(found)
}
