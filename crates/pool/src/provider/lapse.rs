//! What becomes of a session whose caller never brings the results that its turn waits for.

use std::time::Duration;

use ccpool_protocol::{Event, FailureKind};
use futures::{StreamExt, TryStreamExt};
use tokio::time::timeout;

use super::hold;
use super::resting::{Resting, Waiting};
use crate::clock::unix_ms;
use crate::events::EventId;
use crate::pool::Pool;

/// A turn that nobody brings results for is interrupted, which may take this long.
const ENDS_WITHIN: Duration = Duration::from_secs(60);

/// Ends the session when its turn was given up because nobody came: nobody can go on in it, and it
/// would keep its container until it has been idle for long enough.
pub(super) fn watch(pool: &Pool, resting: &Resting) {
    let Some(waiting) = resting.waiting.clone() else {
        return;
    };
    let Some(expires_at) = waiting.expires_at else {
        return;
    };
    let left = Duration::from_millis(expires_at.saturating_sub(unix_ms()));
    let (resting, pool, stop) = (resting.clone(), pool.clone(), pool.inner.stop.clone());
    let tasks = pool.inner.tasks.clone();
    tasks.spawn(async move {
        let lapse = async {
            tokio::time::sleep(left).await;
            if was_given_up(&pool, &resting, &waiting).await {
                hold::end(&pool.inner, &resting.session, &resting.container).await;
            }
        };
        // A gateway that stops ends the sessions of its containers.
        stop.run_until_cancelled(lapse).await;
    });
}

async fn was_given_up(pool: &Pool, resting: &Resting, waiting: &Waiting) -> bool {
    let after = EventId {
        seq: waiting.seq,
        part: waiting.part,
    };
    let events = pool.turn_events(&resting.session, &waiting.turn, Some(after));
    let Ok(events) = events.await else {
        return false;
    };
    let ends = events.try_filter(|event| std::future::ready(event.event.event.is_terminal()));
    let mut ends = std::pin::pin!(ends);
    let Ok(Some(Ok(end))) = timeout(ENDS_WITHIN, ends.next()).await else {
        return false;
    };
    matches!(end.event.event, Event::Failed(failed) if failed.kind == FailureKind::Timeout)
}
