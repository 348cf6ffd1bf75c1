//! What `/proc` tells of the processes of a run: wrappers, `claude` and its tools. Those in
//! containers of this machine are there too.

use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// In the environment of everything that a pool of ours starts, with the run's name.
pub(crate) const MARK: &str = "CCPOOL_CHAOS";

const WRAPPER: &str = "ccpool-wrapper";

/// The processes of one run.
#[derive(Debug, Clone)]
pub(crate) struct Processes {
    mark: String,
}

/// One process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: Pid,
    pub(crate) name: String,
    parent: Pid,
}

impl Processes {
    /// Those whose environment holds the name.
    pub(crate) fn of(run: &str) -> Self {
        Self {
            mark: run.to_owned(),
        }
    }

    /// All that live, whatever they are.
    pub(crate) fn all(&self) -> Vec<Process> {
        self.living(|_| true)
    }

    /// The wrappers: one for each container.
    pub(crate) fn wrappers(&self) -> Vec<Process> {
        let found = self.living(|name| name == WRAPPER);
        let is_wrapper = |pid| found.iter().any(|other| other.pid == pid);
        // What a wrapper has just forked looks like a wrapper until its own program is loaded.
        let own = found.iter().filter(|process| !is_wrapper(process.parent));
        own.cloned().collect()
    }

    /// Every `claude`.
    pub(crate) fn claudes(&self) -> Vec<Process> {
        self.living(|name| name == "claude")
    }

    fn living(&self, named: impl Fn(&str) -> bool) -> Vec<Process> {
        let Ok(entries) = Path::new("/proc").read_dir() else {
            return Vec::new();
        };
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let mut found: Vec<Process> = pids
            .filter_map(|pid| {
                let (name, parent) = living(pid).filter(|(name, _)| named(name))?;
                let environment = std::fs::read(of(pid, "environ")).ok()?;
                let pid = Pid::from_raw(pid);
                let process = Process { pid, name, parent };
                holds(&environment, self.mark.as_bytes()).then_some(process)
            })
            .collect();
        found.sort_by_key(|process| process.pid);
        found
    }
}

impl Process {
    /// It has not ended meanwhile.
    pub(crate) fn lives(&self) -> bool {
        living(self.pid.as_raw()).is_some_and(|(name, _)| name == self.name)
    }

    /// SIGKILL. One that has just ended by itself is fine too.
    pub(crate) fn kill(&self) {
        let _ = kill(self.pid, Signal::SIGKILL);
    }
}

/// Its name and its parent, if it is there and no zombie.
fn living(pid: i32) -> Option<(String, Pid)> {
    let stat = std::fs::read_to_string(of(pid, "stat")).ok()?;
    let (head, tail) = stat.rsplit_once(") ")?;
    let (_, name) = head.split_once('(')?;
    let (state, rest) = tail.split_once(' ')?;
    let (parent, _) = rest.split_once(' ')?;
    let parent = Pid::from_raw(parent.parse().ok()?);
    let ended = matches!(state, "Z" | "X");
    (!ended).then(|| (name.to_owned(), parent))
}

fn holds(environment: &[u8], mark: &[u8]) -> bool {
    environment.windows(mark.len()).any(|window| window == mark)
}

fn of(pid: i32, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{file}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_carries_the_mark_is_found_until_it_ends() {
        let run = format!("chaos-test-{}", std::process::id());
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .env(MARK, &run)
            .spawn()
            .unwrap();
        // The kernel shows a program's environment a moment after it has been started.
        let environment = of(child.id().cast_signed(), "environ");
        while std::fs::read(&environment).unwrap().is_empty() {
            std::thread::yield_now();
        }
        let processes = Processes::of(&run);
        let found = processes.all();
        let names: Vec<&str> = found.iter().map(|process| process.name.as_str()).collect();
        assert_eq!(names, ["sleep"]);
        assert!(found[0].lives() && processes.wrappers().is_empty());
        found[0].kill();
        child.wait().unwrap();
        assert!(!found[0].lives());
        assert_eq!(processes.all(), []);
    }
}
