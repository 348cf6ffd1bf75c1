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
const ROUNDS: usize = 50;

/// Ends every process that has this mark. Returns how many there were.
///
/// `uid`: the agent's, where it has one; only under it their environment can be read.
pub(crate) fn end(container: &str, uid: Option<u32>) -> io::Result<usize> {
    let _agent = uid.map(Acting::under).transpose()?;
    let mut ended = HashSet::new();
    for _ in 0..ROUNDS {
        let (found, loading) = marked(container)?;
        if loading {
            std::thread::yield_now();
        } else if found.is_subset(&ended) {
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

/// Those with the mark, and whether there is one that cannot be told yet: for a moment while its
/// program is loaded a process has neither environment nor arguments.
fn marked(container: &str) -> io::Result<(HashSet<Pid>, bool)> {
    let (mut found, mut loading) = (HashSet::new(), false);
    for entry in Path::new("/proc").read_dir()? {
        let Ok(entry) = entry else { continue };
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // Not to be read: somebody else's. Empty: it has ended, or has not begun.
        let read = |name| std::fs::read(entry.path().join(name));
        let Ok(environment) = read("environ") else {
            continue;
        };
        if mark::is_on(&environment, container) {
            found.insert(Pid::from_raw(pid));
        }
        let blank = environment.is_empty() && read("cmdline").is_ok_and(|line| line.is_empty());
        // One that has ended has no program, nor has a thread of the kernel's.
        loading |= blank && entry.path().join("exe").read_link().is_ok();
    }
    Ok((found, loading))
}
