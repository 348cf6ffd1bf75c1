//! The wall clock, in the unit of reply events.

use std::time::{SystemTime, UNIX_EPOCH};

use ccpool_protocol::UnixMs;

/// Milliseconds since the Unix epoch, now.
pub(super) fn unix_ms() -> UnixMs {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}
