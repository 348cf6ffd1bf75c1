//! Refill gives way to a session's first turns, on a machine with few cores.
//!
//! Starting a container costs a core for most of a second, and a person waits for the first words
//! of an answer. So after a claim, while a spare is left and nobody waits for a container, none is
//! started until first words have come and no prompt follows at once: [`GRACE`] after them, and
//! never later than [`LIMIT`] after the claim. Claims that follow each other do not add up.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::pool::Inner;

/// Longest pause of refill.
const LIMIT: Duration = Duration::from_secs(1);
/// How long a first prompt, or the next one, is waited for.
const GRACE: Duration = Duration::from_millis(100);
/// With more cores than this there is no contention to avoid.
const FEW_CORES: usize = 4;

/// Whether refill gives way at the moment.
#[derive(Debug)]
pub(crate) struct Courtesy {
    enabled: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The claim that began the pause.
    since: Option<Instant>,
    /// Turns whose first words are awaited.
    awaited: usize,
    /// When first words came last, or the claim.
    last: Option<Instant>,
}

impl Courtesy {
    /// For a machine with so many cores.
    pub(crate) fn for_cores(cores: usize) -> Self {
        Self {
            enabled: cores <= FEW_CORES,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session was claimed.
    pub(crate) fn claimed(&self, now: Instant) {
        let mut state = self.state();
        // After a pause refill gets as much time as the pause may take, before the next one.
        if state.since.is_none_or(|since| now >= since + LIMIT * 2) {
            state.since = Some(now);
            state.last = Some(now);
        }
    }

    /// Until when refill gives way at least, if it does.
    pub(crate) fn until(&self, now: Instant) -> Option<Instant> {
        let state = self.state();
        let end = state.since? + LIMIT;
        let quiet = if state.awaited > 0 {
            end
        } else {
            (state.last? + GRACE).min(end)
        };
        (self.enabled && now < quiet).then_some(quiet)
    }

    fn prompted(&self) {
        self.state().awaited += 1;
    }

    fn answered(&self, now: Instant) {
        let mut state = self.state();
        state.awaited = state.awaited.saturating_sub(1);
        state.last = Some(now);
    }
}

/// Held by the reader of a turn until its first words, or its end.
pub(crate) struct FirstWords(Arc<Inner>);

impl FirstWords {
    pub(crate) fn awaited(inner: &Arc<Inner>) -> Self {
        inner.courtesy.prompted();
        Self(Arc::clone(inner))
    }
}

impl Drop for FirstWords {
    fn drop(&mut self) {
        let now = Instant::now();
        self.0.courtesy.answered(now);
        if self.0.courtesy.until(now).is_some() {
            self.0.nudge.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn it_lasts_until_the_first_words_and_a_grace() {
        let (courtesy, start) = (Courtesy::for_cores(2), Instant::now());
        assert_eq!(courtesy.until(start), None);
        courtesy.claimed(start);
        assert_eq!(courtesy.until(start), Some(start + GRACE));
        courtesy.prompted();
        assert_eq!(courtesy.until(start + GRACE), Some(start + LIMIT));
        courtesy.answered(start + MS * 150);
        assert_eq!(
            courtesy.until(start + MS * 150),
            Some(start + MS * 150 + GRACE)
        );
        courtesy.prompted();
        assert_eq!(courtesy.until(start + MS * 300), Some(start + LIMIT));
        assert_eq!(courtesy.until(start + LIMIT), None, "it ends by itself");
    }

    #[test]
    fn claims_do_not_add_up_and_many_cores_need_none() {
        let (courtesy, start) = (Courtesy::for_cores(2), Instant::now());
        for tenth in 0..20 {
            courtesy.claimed(start + LIMIT / 10 * tenth);
            courtesy.prompted();
        }
        assert_eq!(courtesy.until(start + LIMIT), None);
        courtesy.claimed(start + LIMIT * 2);
        assert!(courtesy.until(start + LIMIT * 2).is_some());
        let courtesy = Courtesy::for_cores(16);
        courtesy.claimed(start);
        assert_eq!(courtesy.until(start), None);
    }
}
