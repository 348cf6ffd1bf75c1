//! What `/proc` tells of processes.

use std::path::PathBuf;

use nix::unistd::Pid;

/// The processes that `claude` and its tools are, for this container: all that carry its mark.
pub(crate) fn marked(container: &str) -> Vec<Pid> {
    let mark = format!("CCPOOL_CONTAINER={container}");
    let carries = |pid: &Pid| {
        let environment = std::fs::read(of(*pid, "environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|variable| variable == mark.as_bytes())
    };
    all().filter(carries).collect()
}

/// The children of a process.
pub(crate) fn children(parent: Pid) -> Vec<Pid> {
    let is_child = |pid: &Pid| {
        let status = std::fs::read_to_string(of(*pid, "status")).unwrap_or_default();
        let parents = status.lines().find_map(|line| line.strip_prefix("PPid:"));
        parents.is_some_and(|pid| pid.trim() == parent.to_string())
    };
    all().filter(is_child).collect()
}

/// The memory that a process has in use, in bytes.
pub(crate) fn resident_bytes(pid: Pid) -> u64 {
    let status = std::fs::read_to_string(of(pid, "status")).expect("it runs");
    let size = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = size.expect("a process has a size").trim();
    let kib = kib.strip_suffix(" kB").expect("the size is in kB");
    kib.parse::<u64>().expect("a number") << 10
}

fn all() -> impl Iterator<Item = Pid> {
    let entries = std::fs::read_dir("/proc").expect("/proc can be read");
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names
        .filter_map(|name| name.parse().ok())
        .map(Pid::from_raw)
}

fn of(pid: Pid, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{file}"))
}
