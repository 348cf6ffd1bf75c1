//! The time of day, and the time that only passes.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ccpool_protocol::UnixMs;

/// Now, in Unix ms.
pub(crate) fn now() -> UnixMs {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    // Fits for some hundred million years.
    since.as_millis() as UnixMs
}

/// A point in time, twice: to be told, and to be measured from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) at: UnixMs,
    /// Not moved by anybody who sets the clock.
    pub(crate) tick: Instant,
}

impl Moment {
    pub(crate) fn now() -> Self {
        Self {
            at: now(),
            tick: Instant::now(),
        }
    }
}
