//! What a `claude` that is gone leaves behind: its tools live in sessions of their own and go on without
//! it, beside whatever its successor does.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use ccpool_protocol::{ContainerId, mark};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Something may start another thing while it is looked for.
const ROUNDS: usize = 50;

/// Ends every process with the container's [`mark`], which `claude` has and its supervisor has not. Only
/// those can be told whose environment this thread may read. Blocks for as long as it takes to read
/// `/proc`. Returns how many there were.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn end(container: &ContainerId) -> io::Result<usize> {
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
fn marked(container: &ContainerId) -> io::Result<(HashSet<Pid>, bool)> {
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
        if mark::is_on(&environment, container.as_str()) {
            found.insert(Pid::from_raw(pid));
        }
        let blank = environment.is_empty() && read("cmdline").is_ok_and(|line| line.is_empty());
        // One that has ended has no program, nor has a thread of the kernel's.
        loading |= blank && entry.path().join("exe").read_link().is_ok();
    }
    Ok((found, loading))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_marked_is_ended_and_nothing_else() {
        let sleep = |container: &ContainerId| {
            let mut command = std::process::Command::new("sleep");
            command.arg("60").env(mark::ENV, container.as_str());
            command.spawn().unwrap()
        };
        // No container of this machine's has these.
        let [ours, other] = [rand::random(), rand::random()].map(ContainerId::from_random);
        let mut ended = [sleep(&ours), sleep(&ours)];
        let mut left = sleep(&other);
        assert_eq!(end(&ours).unwrap(), 2);
        for child in &mut ended {
            assert!(!child.wait().unwrap().success());
        }
        assert_eq!(end(&ours).unwrap(), 0);
        assert!(left.try_wait().unwrap().is_none());
        left.kill().unwrap();
        left.wait().unwrap();
    }
}
