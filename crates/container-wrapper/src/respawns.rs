//! How often `claude` may be started again: what fails over and over is not mended by that.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// So many, …
pub(crate) const MOST: usize = 3;
/// … within this time.
pub(crate) const WITHIN: Duration = Duration::from_secs(600);

/// The recent ones.
#[derive(Debug, Default)]
pub(crate) struct Respawns(VecDeque<Instant>);

impl Respawns {
    /// Whether another is allowed; if so, it counts.
    pub(crate) fn allow(&mut self, now: Instant) -> bool {
        while let Some(oldest) = self.0.front()
            && now.duration_since(*oldest) >= WITHIN
        {
            self.0.pop_front();
        }
        let allowed = self.0.len() < MOST;
        if allowed {
            self.0.push_back(now);
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_within_ten_minutes() {
        let mut respawns = Respawns::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(respawns.allow(at(0)) && respawns.allow(at(300)) && respawns.allow(at(500)));
        assert!(!respawns.allow(at(599)));
        assert!(respawns.allow(at(600)), "the first is forgotten");
        assert!(!respawns.allow(at(899)));
        assert!(respawns.allow(at(900)));
    }
}
