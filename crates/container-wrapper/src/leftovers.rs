//! What a `claude` that was killed leaves behind: its tools live in sessions of their own and go on
//! without it, beside whatever its successor does.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use ccpool_protocol::mark;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::home::Acting;

/// Something may start another thing while it is looked for.
const ROUNDS: usize = 10;

/// Ends every process that has this mark. Returns how many there were.
///
/// `uid`: the agent's, where it has one; only under it their environment can be read.
pub(crate) fn end(container: &str, uid: Option<u32>) -> io::Result<usize> {
    let _agent = uid.map(Acting::under).transpose()?;
    let mut ended = HashSet::new();
    for _ in 0..ROUNDS {
        let found: HashSet<Pid> = marked(container)?;
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

fn marked(container: &str) -> io::Result<HashSet<Pid>> {
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
        if mark::is_on(&environment, container) {
            found.insert(Pid::from_raw(pid));
        }
    }
    Ok(found)
}
