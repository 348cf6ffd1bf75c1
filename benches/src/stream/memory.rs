//! What a process occupies, from `/proc`.

use std::fs;

use anyhow::{Context, Result};

/// Resident memory of one process over a turn, in bytes.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    pub(crate) name: &'static str,
    pid: u32,
    /// When a tenth of the envelopes had been read.
    pub(crate) early: u64,
    /// When all of them had.
    pub(crate) end: u64,
}

impl Memory {
    pub(crate) fn of(name: &'static str, pid: u32) -> Self {
        Self {
            name,
            pid,
            early: 0,
            end: 0,
        }
    }

    pub(crate) fn note_early(&mut self) -> Result<()> {
        self.early = resident(self.pid)?;
        Ok(())
    }

    pub(crate) fn note_end(&mut self) -> Result<()> {
        self.end = resident(self.pid)?;
        Ok(())
    }
}

/// Of a process, in bytes (VmRSS).
pub(crate) fn resident(pid: u32) -> Result<u64> {
    let kilobytes = field(pid, "VmRSS:")?;
    let kilobytes = kilobytes.trim_end_matches("kB").trim();
    Ok(kilobytes.parse::<u64>()? * 1024)
}

fn field(pid: u32, name: &str) -> Result<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    Ok(line
        .with_context(|| format!("no {name} of process {pid}"))?
        .trim()
        .to_owned())
}

/// The child of a process that has this name (as far as the kernel keeps it, 15 letters).
pub(crate) fn child_named(parent: u32, name: &str) -> Result<u32> {
    let children = fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let is_it = |pid: &u32| {
        let kept = &name[..name.len().min(15)];
        field(*pid, "Name:").is_ok_and(|found| found == kept)
            && field(*pid, "PPid:").is_ok_and(|found| found == parent.to_string())
    };
    children
        .into_iter()
        .find(is_it)
        .with_context(|| format!("process {parent} has no child {name}"))
}
