//! Refill gives way to a first turn.
//!
//! Starting a container costs a core for most of a second, and the first turn of a session is the
//! one that a person waits for. So while a claimed session's first answer is under way and a spare
//! is left, no container is started: until the first delta, and never for longer than [`LIMIT`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::pool::Inner;

/// Longest pause of refill. A first delta takes a good 100 ms when nothing else runs.
pub(crate) const LIMIT: Duration = Duration::from_millis(250);

/// Whether refill gives way at the moment.
#[derive(Debug, Default)]
pub(crate) struct Courtesy(Mutex<Until>);

#[derive(Debug, Default)]
struct Until {
    first_delta: Option<Instant>,
    /// Claims that follow each other closely do not add up.
    not_before: Option<Instant>,
}

impl Courtesy {
    fn lock(&self) -> MutexGuard<'_, Until> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session was claimed.
    pub(crate) fn begin(&self, now: Instant) {
        let mut until = self.lock();
        if until.not_before.is_none_or(|start| now >= start) {
            until.first_delta = Some(now + LIMIT);
            until.not_before = Some(now + LIMIT * 2);
        }
    }

    /// Until when refill gives way, if it does.
    pub(crate) fn until(&self, now: Instant) -> Option<Instant> {
        self.lock().first_delta.filter(|until| now < *until)
    }

    fn over(&self) -> bool {
        self.lock().first_delta.take().is_some()
    }
}

/// Held by the reader of a turn until its first delta.
pub(crate) struct FirstDelta(pub(crate) Arc<Inner>);

impl Drop for FirstDelta {
    fn drop(&mut self) {
        if self.0.courtesy.over() {
            self.0.nudge.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_by_itself_and_does_not_add_up() {
        let (courtesy, start) = (Courtesy::default(), Instant::now());
        assert_eq!(courtesy.until(start), None);
        courtesy.begin(start);
        courtesy.begin(start + LIMIT / 2);
        assert_eq!(courtesy.until(start + LIMIT / 2), Some(start + LIMIT));
        courtesy.begin(start + LIMIT);
        assert_eq!(
            courtesy.until(start + LIMIT),
            None,
            "refill gets its time in between"
        );
        courtesy.begin(start + LIMIT * 2);
        assert!(courtesy.over());
        assert_eq!(courtesy.until(start + LIMIT * 2), None);
    }
}
