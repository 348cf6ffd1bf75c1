//! How fast a session may call tools: a loop that has gone wrong, or a container that means harm, must
//! not fill Redis, post without end, or take the gateway's time from others.

use std::num::NonZeroU32;
use std::time::Duration;

use ccpool::SessionId;
use governor::clock::{Clock, MonotonicClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

/// So many seconds' worth of calls may come at once.
const BURST: u32 = 3;
/// With more sessions than this, those that have been quiet are forgotten.
const MANY: usize = 1000;

/// The pace of one gateway's sessions.
#[derive(Debug)]
pub(crate) struct Pace(RateLimiter<SessionId, HashMapStateStore<SessionId>, MonotonicClock>);

impl Pace {
    /// `per_second` over time, for each session.
    pub(crate) fn new(per_second: u32) -> Self {
        let per_second = NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN);
        let burst = per_second.saturating_mul(NonZeroU32::MIN.saturating_add(BURST - 1));
        let quota = Quota::per_second(per_second).allow_burst(burst);
        Self(RateLimiter::hashmap_with_clock(quota, MonotonicClock))
    }

    /// Takes one call's turn.
    ///
    /// # Errors
    /// How long to wait for it.
    pub(crate) fn take(&self, session: &SessionId) -> Result<(), Duration> {
        if self.0.len() > MANY {
            self.0.retain_recent();
        }
        let taken = self.0.check_key(session);
        taken.map_err(|early| early.wait_time_from(MonotonicClock.now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_calls_too_fast_waits_and_others_do_not() {
        // One in a thousand seconds would be too slow for a test to see the next one come.
        let pace = Pace::new(1);
        let session = |name: &str| SessionId::new(name).unwrap();
        for _ in 0..BURST {
            assert_eq!(pace.take(&session("fast")), Ok(()));
        }
        let wait = pace.take(&session("fast")).unwrap_err();
        assert!(wait <= Duration::from_secs(1), "{wait:?}");
        assert_eq!(pace.take(&session("other")), Ok(()));
    }
}
