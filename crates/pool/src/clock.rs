//! The wall clock, in the unit that Redis and the wire use.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ccpool_protocol::UnixMs;

/// Milliseconds since the Unix epoch, now.
pub(crate) fn unix_ms() -> UnixMs {
    millis(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default(),
    )
}

/// A duration in whole milliseconds; half a billion years are enough.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
