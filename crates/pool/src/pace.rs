//! How often the pool is looked at.
//!
//! Much asks for a look, every claim too, and a look takes the longer the more containers there are.
//! So it is followed by a rest that grows with them, and whatever is asked for meanwhile is one look
//! after that. Claims and turns wait for none.

use std::time::Duration;

use tokio::time::Instant;

/// The rest for each container: a few times what reading it takes.
const EACH: Duration = Duration::from_micros(200);
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

    /// There was one, at so many containers.
    pub(crate) fn looked(&mut self, containers: usize, ended: Instant) {
        let containers = u32::try_from(containers).unwrap_or(u32::MAX);
        self.asked = false;
        self.rested_at = ended + EACH.saturating_mul(containers).min(LONGEST);
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
        pace.looked(100, start);
        assert_eq!(pace.due(), None);
        pace.ask();
        pace.ask();
        assert_eq!(pace.due(), Some(start + ms * 20));
        assert!(!pace.is_due(start + ms * 19) && pace.is_due(start + ms * 20));
        pace.looked(usize::MAX, start);
        pace.ask();
        assert_eq!(pace.due(), Some(start + ms * 1000), "it has an end");
        pace.looked(0, start);
        pace.ask();
        assert!(pace.is_due(start), "nothing to look at needs none");
    }
}
