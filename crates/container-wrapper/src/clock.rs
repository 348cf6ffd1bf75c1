//! The time of day.

use std::time::{SystemTime, UNIX_EPOCH};

use ccpool_protocol::UnixMs;

/// Now, in Unix ms.
pub(crate) fn now() -> UnixMs {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    // Fits for some hundred million years.
    since.as_millis() as UnixMs
}
