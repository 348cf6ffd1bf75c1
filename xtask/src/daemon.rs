use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cleanup::Cleanup;
use crate::setup::program;

/// A server started here: in its own process group, its output in a file, stopped with
/// SIGTERM when this value is dropped or this process ends.
#[derive(Debug)]
pub(crate) struct Daemon {
    name: &'static str,
    child: Arc<Mutex<Child>>,
    pid: u32,
    log: PathBuf,
    _stop: Cleanup,
}

/// How often readiness and exit are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

impl Daemon {
    /// Starts `program` with `arguments`. It gets `grace` between SIGTERM and SIGKILL.
    pub(crate) fn start(
        name: &'static str,
        program: &Path,
        arguments: &[&OsStr],
        log: PathBuf,
        grace: Duration,
    ) -> Result<Self> {
        Self::start_without(name, program, arguments, &[], log, grace)
    }

    /// As [`Daemon::start`], without the variables `unset` in its environment.
    pub(crate) fn start_without(
        name: &'static str,
        program: &Path,
        arguments: &[&OsStr],
        unset: &[OsString],
        log: PathBuf,
        grace: Duration,
    ) -> Result<Self> {
        let output = std::fs::File::create(&log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let errors = output.try_clone().context("cannot share the log file")?;
        let mut command = bound_to_this_process(program);
        for variable in unset {
            command.env_remove(variable);
        }
        let child = command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let pid = child.id();
        let child = Arc::new(Mutex::new(child));
        let stopped = Arc::clone(&child);
        let stop = Cleanup::new(move || stop(name, &stopped, grace));
        Ok(Self {
            name,
            child,
            pid,
            log,
            _stop: stop,
        })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until `ready` says so; fails with the end of the log when the process dies
    /// first or `deadline` passes.
    pub(crate) fn wait_until(
        &self,
        deadline: Duration,
        mut ready: impl FnMut() -> bool,
    ) -> Result<()> {
        let began = Instant::now();
        while !ready() {
            if let Some(status) = self.exited()? {
                bail!("{} ended with {status}:{}", self.name, self.log_tail());
            }
            if began.elapsed() > deadline {
                bail!(
                    "{} is not ready after {deadline:?}:{}",
                    self.name,
                    self.log_tail()
                );
            }
            pause();
        }
        Ok(())
    }

    /// How it ended, with the end of its log, if it has or does so `within` this time.
    pub(crate) fn obituary(&self, within: Duration) -> Option<String> {
        let began = Instant::now();
        loop {
            if let Ok(Some(status)) = self.exited() {
                let log = self.log_tail();
                return Some(format!("{} ended with {status}:{log}", self.name));
            }
            if began.elapsed() > within {
                return None;
            }
            pause();
        }
    }

    fn exited(&self) -> Result<Option<ExitStatus>> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        child
            .try_wait()
            .with_context(|| format!("cannot look after {}", self.name))
    }

    fn log_tail(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(15)..].join("\n    ");
        format!("\n    {last}\n    (whole log: {})", self.log.display())
    }
}

fn stop(name: &str, child: &Mutex<Child>, grace: Duration) {
    let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
    if let Err(error) = terminate(&mut child, grace) {
        eprintln!(
            "warning: {name} (pid {}) may still run: {error}",
            child.id()
        );
    }
}

/// The pid stays ours until it is waited for, so it cannot name another process.
fn terminate(child: &mut Child, grace: Duration) -> io::Result<()> {
    if child.try_wait()?.is_some() {
        return Ok(());
    }
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    kill(Pid::from_raw(pid), Signal::SIGTERM)?;
    let began = Instant::now();
    while child.try_wait()?.is_none() {
        if began.elapsed() > grace {
            child.kill()?;
            child.wait()?;
            break;
        }
        pause();
    }
    Ok(())
}

/// Where `setpriv` exists, the kernel sends SIGTERM when this process is killed in a way
/// that leaves it no time to stop anything.
fn bound_to_this_process(program: &Path) -> Command {
    match program::find("setpriv") {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "TERM", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    }
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

    fn shell(script: &str, log: PathBuf) -> Daemon {
        let arguments = [OsStr::new("-c"), OsStr::new(script)];
        Daemon::start(
            "shell",
            Path::new("/bin/sh"),
            &arguments,
            log,
            Duration::from_secs(5),
        )
        .unwrap()
    }

    fn log(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("ccpool-xtask-{}-{name}.log", std::process::id()))
    }

    #[test]
    fn a_daemon_that_dies_early_brings_its_log() {
        let path = log("early");
        let daemon = shell("echo no such disk >&2; exit 3", path.clone());
        let error = daemon
            .wait_until(Duration::from_secs(10), || false)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("no such disk") && error.contains("exit status: 3"),
            "{error}"
        );
        let obituary = daemon.obituary(Duration::ZERO).unwrap();
        assert!(obituary.contains("no such disk"), "{obituary}");
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn dropping_a_daemon_ends_it() {
        let path = log("drop");
        let daemon = shell("echo up; exec tail -f /dev/null", path.clone());
        let up = || std::fs::read(&path).is_ok_and(|log| log == b"up\n");
        daemon.wait_until(Duration::from_secs(10), up).unwrap();
        let pid = Pid::from_raw(daemon.pid().try_into().unwrap());
        assert_eq!(kill(pid, None), Ok(()));
        assert_eq!(daemon.obituary(Duration::ZERO), None);
        drop(daemon);
        assert_eq!(kill(pid, None), Err(nix::errno::Errno::ESRCH));
        std::fs::remove_file(path).unwrap();
    }
}
