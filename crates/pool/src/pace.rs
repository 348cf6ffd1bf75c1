//! How often the pool is looked at.
//!
//! Much asks for a look, every claim too, and a look takes the longer the more containers there are.
//! So a long one is followed by a rest, and whatever is asked for meanwhile is one look after that.
//! Claims and turns wait for none.

use std::time::Duration;

use tokio::time::Instant;

/// A look that takes no longer needs no rest.
const SHORT: Duration = Duration::from_millis(10);
/// How many times as long the rest is as what a look takes beyond that: with many containers looks
/// take a tenth of the time of each gateway, as long as the rest is not cut short.
const REST: u32 = 9;
/// Longest rest.
const LONGEST: Duration = Duration::from_secs(1);

/// When the next look may be. Time is passed in.
#[derive(Debug)]
pub(crate) struct Pace {
    asked: bool,
    rested_at: Instant,
}

impl Pace {
    /// The first look may be at once.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            asked: true,
            rested_at: now,
        }
    }

    /// Something may have changed.
    pub(crate) fn ask(&mut self) {
        self.asked = true;
    }

    /// When the look that was asked for may be. None: none was.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.asked.then_some(self.rested_at)
    }

    /// Whether it may be now.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.due().is_some_and(|due| now >= due)
    }

    /// There was one.
    pub(crate) fn looked(&mut self, began: Instant, ended: Instant) {
        let took = ended.saturating_duration_since(began);
        let rest = took.saturating_sub(SHORT) * REST;
        self.asked = false;
        self.rested_at = ended + rest.min(LONGEST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_during_the_rest_is_one_look_after_it() {
        let (start, ms) = (Instant::now(), Duration::from_millis(1));
        let mut pace = Pace::new(start);
        assert!(pace.is_due(start));
        pace.looked(start, start + ms * 30);
        assert_eq!(pace.due(), None);
        pace.ask();
        pace.ask();
        assert_eq!(pace.due(), Some(start + ms * 210));
        assert!(!pace.is_due(start + ms * 209) && pace.is_due(start + ms * 210));
        pace.looked(start + ms * 210, start + ms * 5210);
        pace.ask();
        assert_eq!(pace.due(), Some(start + ms * 6210), "it has an end");
        pace.looked(start + ms * 6210, start + ms * 6215);
        pace.ask();
        assert!(pace.is_due(start + ms * 6215), "a short one needs none");
    }
}
