use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::cleanup::Cleanup;

/// How long a program may go on after SIGTERM; cargo-nextest gives its tests 10 s.
const GRACE: Duration = Duration::from_secs(15);

/// How often an ending program is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What is called with each line of output.
pub(crate) type SeeLine = Box<dyn FnMut(&str) + Send>;

/// Runs `command` to its end, in a process group of its own, its output on ours.
///
/// When this process is told to stop, the whole group is.
///
/// # Errors
/// The program cannot be started.
pub(crate) fn run(command: &mut Command) -> Result<ExitStatus> {
    watch(command, None)
}

/// As [`run`], but standard output is taken too and goes to stderr, our own stdout being
/// for results.
pub(crate) fn run_quietly(command: &mut Command) -> Result<ExitStatus> {
    watch(command.stdout(io::stderr()), None)
}

/// As [`run`], with every line of output, from both streams, given to `seen` as well.
pub(crate) fn run_watched(command: &mut Command, seen: SeeLine) -> Result<ExitStatus> {
    watch(
        command.stdout(Stdio::piped()).stderr(Stdio::piped()),
        Some(seen),
    )
}

/// As [`run_quietly`], and an exit code other than 0 is an error that says `mend`.
pub(crate) fn require(command: &mut Command, mend: &str) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = run_quietly(command)?;
    if status.success() {
        Ok(())
    } else {
        bail!("{program} failed with {status}: {mend}")
    }
}

/// Runs `command` and returns its standard output; standard error goes to ours.
///
/// # Errors
/// It cannot be started, or ends with another code than 0; the message says `mend`.
pub(crate) fn output_of(command: &mut Command, mend: &str) -> Result<Vec<u8>> {
    let program = command.get_program().to_string_lossy().into_owned();
    let (mut child, running) = start(command.stdout(Stdio::piped()))?;
    let mut output = Vec::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout
            .read_to_end(&mut output)
            .with_context(|| format!("cannot read from {program}"))?;
    }
    let status = child.wait().context("cannot wait for a program")?;
    running.has_ended();
    if status.success() {
        Ok(output)
    } else {
        bail!("{program} failed with {status}: {mend}")
    }
}

/// A running program and the guard that stops it. Wait for it before dropping the guard.
pub(crate) fn start(command: &mut Command) -> Result<(std::process::Child, Running)> {
    let program = command.get_program().to_string_lossy().into_owned();
    let child = command
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot run {program}"))?;
    let group = Pid::from_raw(child.id().try_into().context("pid out of range")?);
    let ended = Arc::new(AtomicBool::new(false));
    let guard = Running {
        ended: Arc::clone(&ended),
        _stop: Cleanup::new(move || stop(group, &ended)),
    };
    Ok((child, guard))
}

/// Stops a program's group when this process is told to stop.
#[derive(Debug)]
pub(crate) struct Running {
    ended: Arc<AtomicBool>,
    _stop: Cleanup,
}

impl Running {
    /// The program has been waited for: its id may name another one by now.
    pub(crate) fn has_ended(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }
}

fn watch(command: &mut Command, seen: Option<SeeLine>) -> Result<ExitStatus> {
    let (mut child, running) = start(command)?;
    let output = child.stdout.take();
    let errors = child.stderr.take();
    let seen = Mutex::new(seen);
    thread::scope(|scope| {
        if let Some(output) = output {
            scope.spawn(|| copy_lines(output, io::stdout(), &seen));
        }
        if let Some(errors) = errors {
            scope.spawn(|| copy_lines(errors, io::stderr(), &seen));
        }
    });
    let status = child.wait().context("cannot wait for a program")?;
    running.has_ended();
    Ok(status)
}

fn copy_lines(from: impl Read, mut to: impl Write, seen: &Mutex<Option<SeeLine>>) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    // A stream that breaks ends the copy; the program's exit code tells the rest.
    while from
        .read_until(b'\n', &mut line)
        .is_ok_and(|count| count > 0)
    {
        let _ = to.write_all(&line).and_then(|()| to.flush());
        if let Ok(mut seen) = seen.lock()
            && let Some(seen) = seen.as_mut()
        {
            seen(String::from_utf8_lossy(&line).trim_end());
        }
        line.clear();
    }
}

fn stop(group: Pid, ended: &AtomicBool) {
    if ended.load(Ordering::SeqCst) || killpg(group, Signal::SIGTERM).is_err() {
        return;
    }
    let began = Instant::now();
    // The thread that started the program waits for it; then its group is gone.
    while killpg(group, None).is_ok() {
        if began.elapsed() > GRACE {
            let _ = killpg(group, Signal::SIGKILL);
            return;
        }
        pause();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the interval of a poll that has a deadline"
)]
fn pause() {
    thread::sleep(LOOK_EVERY);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn lines_of_both_streams_are_seen() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&lines);
        let status = run_watched(
            &mut shell("echo one; echo two >&2; exit 7"),
            Box::new(move |line| seen.lock().unwrap().push(line.to_owned())),
        )
        .unwrap();
        assert_eq!(status.code(), Some(7));
        let mut lines = lines.lock().unwrap().clone();
        lines.sort();
        assert_eq!(lines, ["one", "two"]);
    }

    #[test]
    fn output_and_failure_are_told_apart() {
        assert_eq!(output_of(&mut shell("echo yes"), "").unwrap(), b"yes\n");
        let error = output_of(&mut shell("exit 4"), "give it more")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("exit status: 4") && error.ends_with("give it more"),
            "{error}"
        );
    }
}
