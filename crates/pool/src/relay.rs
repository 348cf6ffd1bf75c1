//! Prompts that sessions send each other, kept from going on for ever.
//!
//! A prompt that a session sends in answer to one that another session sent is one hop further from
//! what a person asked; after [`MOST_HOPS`] no more are taken. A session that waits for another one
//! must not be waited for by it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ccpool_protocol::state::field;
use ccpool_protocol::{SessionId, TurnId};

use crate::error::PoolError;
use crate::pool::{Inner, Pool};
use crate::prompt::{Prompt, random_turn};
use crate::session::Turn;

/// How many sessions may hand on to each other what a person has asked.
pub const MOST_HOPS: u32 = 8;
/// How long it is remembered of a turn how far it is from a person; turns rarely last longer.
const KEPT: Duration = Duration::from_secs(3600);

/// Why one session's prompt does not go to another one.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// Sessions have handed this on to each other often enough.
    #[error("{MOST_HOPS} sessions have handed this on to each other already")]
    TooFar,
    /// The other session waits for this one.
    #[error("the session `{0}` waits for an answer of this one")]
    Circular(SessionId),
    /// Anything else.
    #[error(transparent)]
    Pool(#[from] PoolError),
}

/// A session waits for another one as long as this is held.
pub struct Wait {
    inner: Option<Arc<Inner>>,
    waiter: SessionId,
    awaited: SessionId,
}

impl Pool {
    /// Sends a prompt on behalf of another session.
    ///
    /// # Errors
    /// [`RelayError::TooFar`], and what [`Pool::send`] says.
    pub async fn relay(
        &self,
        from: &SessionId,
        to: &SessionId,
        prompt: Prompt,
    ) -> Result<Turn, RelayError> {
        let store = &self.inner.store;
        let state = store.session_state(from).await.map_err(PoolError::from)?;
        let running = state
            .get(field::TURN)
            .map(|turn| TurnId::new(turn.as_str()));
        let hops = match running {
            Some(Ok(turn)) => store.hops(from, &turn).await.map_err(PoolError::from)? + 1,
            // Between turns, or so it says; what it sends is a hop all the same.
            Some(Err(_)) | None => 1,
        };
        if hops > MOST_HOPS {
            return Err(RelayError::TooFar);
        }
        // Known before the turn can begin.
        let turn = prompt.turn.clone().unwrap_or_else(random_turn);
        let noted = store.note_hops(to, &turn, hops, KEPT).await;
        noted.map_err(PoolError::from)?;
        Ok(self
            .send(
                to,
                Prompt {
                    turn: Some(turn),
                    ..prompt
                },
            )
            .await?)
    }

    /// Writes down that one session waits for another, for `at_most` that long.
    ///
    /// # Errors
    /// [`RelayError::Circular`] when the other one waits for it, directly or over others.
    pub async fn wait_for(
        &self,
        waiter: &SessionId,
        awaited: &SessionId,
        at_most: Duration,
    ) -> Result<Wait, RelayError> {
        let begun = self.inner.store.begin_wait(waiter, awaited, at_most).await;
        if !begun.map_err(PoolError::from)? {
            return Err(RelayError::Circular(awaited.clone()));
        }
        Ok(Wait {
            inner: Some(Arc::clone(&self.inner)),
            waiter: waiter.clone(),
            awaited: awaited.clone(),
        })
    }
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} waits for {}", self.waiter, self.awaited)
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let Some(inner) = self.inner.take() else {
            return;
        };
        let (waiter, awaited) = (self.waiter.clone(), self.awaited.clone());
        let tasks = inner.tasks.clone();
        tasks.spawn(async move {
            // What cannot be told now, its deadline says later.
            if let Err(error) = inner.store.end_wait(&waiter, &awaited).await {
                tracing::debug!(%error, "could not write down that a session waits no more");
            }
        });
    }
}
