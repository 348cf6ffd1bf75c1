//! What must be stopped or removed when this process ends, however it ends.
//!
//! Everything started here is registered and stopped in reverse order: when its guard
//! is dropped, at the end of `main`, or by the thread that waits for signals.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

type Action = Box<dyn FnOnce() + Send>;

static PENDING: Mutex<Vec<(u64, Action)>> = Mutex::new(Vec::new());

/// A signal has come and its thread ends the process.
static STOPPING: AtomicBool = AtomicBool::new(false);

/// Runs its action when dropped, unless that has been done already.
#[derive(Debug)]
#[must_use = "dropping the guard runs the action at once"]
pub(crate) struct Cleanup(u64);

impl Cleanup {
    /// Registers `action`. It must not register or drop another cleanup.
    pub(crate) fn new(action: impl FnOnce() + Send + 'static) -> Self {
        let mut pending = pending();
        let id = pending.last().map_or(0, |(last, _)| last + 1);
        pending.push((id, Box::new(action)));
        Self(id)
    }
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        // The lock is kept while the action runs: a signal that comes meanwhile waits
        // for it instead of ending the process in the middle.
        let mut pending = pending();
        if let Some(index) = pending.iter().position(|(id, _)| *id == self.0) {
            let (_, action) = pending.remove(index);
            action();
        }
    }
}

/// Runs all that is still registered, newest first.
pub(crate) fn run_all() {
    let mut pending = pending();
    while let Some((_, action)) = pending.pop() {
        action();
    }
}

/// From now on SIGINT, SIGTERM and SIGHUP end the process only after [`run_all`],
/// with the shell's exit code for that signal.
pub(crate) fn on_signals() -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            if let Some(signal) = signals.forever().next() {
                STOPPING.store(true, Ordering::SeqCst);
                eprintln!("\nstopping on signal {signal}");
                let mut pending = pending();
                while let Some((_, action)) = pending.pop() {
                    action();
                }
                // The lock is still held, so `main` cannot return with another code.
                std::process::exit(128 + signal);
            }
        })?;
    Ok(())
}

/// Does not return when a signal is ending this process: what fails from then on fails
/// because its parts are being stopped, which is nothing to tell.
pub(crate) fn give_way_to_signal() {
    if STOPPING.load(Ordering::SeqCst) {
        // Held by the thread that ends the process.
        let _ended = pending();
        loop {
            thread::park();
        }
    }
}

/// A panic in one action must not keep the others from running.
fn pending() -> MutexGuard<'static, Vec<(u64, Action)>> {
    PENDING.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;

    #[test]
    fn an_action_runs_once_when_its_guard_goes() {
        let count = Arc::new(AtomicU32::new(0));
        let seen = Arc::clone(&count);
        let guard = Cleanup::new(move || {
            seen.fetch_add(1, Ordering::SeqCst);
        });
        assert_eq!(count.load(Ordering::SeqCst), 0);
        drop(guard);
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }
}
