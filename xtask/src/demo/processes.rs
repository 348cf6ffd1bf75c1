//! Processes of this machine, found by the folder that they work in.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// What an ending process gets.
const GRACE: Duration = Duration::from_secs(3);

/// How often an ending process is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The ids of processes of this name whose working directory is `folder` or below it. Such
/// a folder belongs to one run, so its processes do too.
pub(crate) fn within(folder: &Path, name: &str) -> Vec<u32> {
    let found = found_within(folder, |called| called == name);
    found.into_iter().map(|(pid, _)| pid).collect()
}

fn found_within(folder: &Path, wanted: impl Fn(&str) -> bool) -> Vec<(u32, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|pid| pid.parse().ok()) else {
            continue;
        };
        // Any of these may end at any time, and others belong to other users.
        let Ok(directory) = fs::read_link(entry.path().join("cwd")) else {
            continue;
        };
        let called = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        let called = called.trim_end();
        if directory.starts_with(folder) && wanted(called) {
            found.push((pid, called.to_owned()));
        }
    }
    found.sort_unstable();
    found
}

/// The ids of all processes whose working directory is `folder` or below it, with their names.
pub(crate) fn all_within(folder: &Path) -> Vec<(u32, String)> {
    found_within(folder, |_| true)
}

/// Asks a process to end, and does not ask but end it when it takes longer than [`GRACE`];
/// false when it is still there then. Not for our own children, which somebody waits for.
pub(crate) fn end(pid: u32) -> bool {
    let Ok(pid) = i32::try_from(pid).map(Pid::from_raw) else {
        return false;
    };
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let began = Instant::now();
        // An error says that it has ended, or become another user's.
        let mut answer = kill(pid, signal);
        while answer.is_ok() && began.elapsed() < GRACE {
            pause();
            answer = kill(pid, None);
        }
        if answer.is_err() {
            return true;
        }
    }
    false
}

#[expect(
    clippy::disallowed_methods,
    reason = "the interval of a poll that has a deadline"
)]
fn pause() {
    std::thread::sleep(LOOK_EVERY);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_found_by_folder_and_name() {
        let folder = std::env::temp_dir().join(format!("xtask-within-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let mut child = std::process::Command::new("tail")
            .args(["-f", "/dev/null"])
            .current_dir(&folder)
            .spawn()
            .unwrap();
        // `spawn` returns after exec, so its name stands.
        let found = within(&folder, "tail");
        let others = within(&folder, "sleep");
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found, [child.id()]);
        assert!(others.is_empty());
        assert!(within(&folder, "tail").is_empty());
        fs::remove_dir(folder).unwrap();
    }
}
