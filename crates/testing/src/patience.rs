//! Waiting for a condition, with a limit.

use std::time::Duration;

/// Long enough for a loaded machine: a test waits for conditions, and this only bounds what hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `probe` gives something, for [`PATIENCE`] at most.
///
/// # Panics
/// It did not, and `what` was waited for.
pub async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let mut look = tokio::time::interval(Duration::from_millis(10));
    let found = async {
        loop {
            look.tick().await;
            if let Some(found) = probe().await {
                return found;
            }
        }
    };
    let found = tokio::time::timeout(PATIENCE, found).await;
    found.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"))
}
