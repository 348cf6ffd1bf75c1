//! Waiting for a condition, with a limit.

use std::time::Duration;

/// Looks again and again until `probe` gives something; none when that takes longer than `limit`.
pub(crate) async fn until<T, F>(limit: Duration, mut probe: impl FnMut() -> F) -> Option<T>
where
    F: Future<Output = Option<T>>,
{
    let mut look = tokio::time::interval(Duration::from_millis(10));
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let found = async {
        loop {
            look.tick().await;
            if let Some(found) = probe().await {
                return found;
            }
        }
    };
    tokio::time::timeout(limit, found).await.ok()
}
