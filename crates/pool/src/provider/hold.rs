//! A session in the hands of one request.

use std::sync::Arc;
use std::time::Duration;

use ccpool_protocol::control::Control;
use ccpool_protocol::record::ContainerState;
use ccpool_protocol::{ContainerId, SessionId, TurnId};
use futures::StreamExt;

use super::resting::Resting;
use crate::pool::{Inner, Pool};
use crate::store::{Condition, Whereabouts};

/// How often a turn is told to end that does not, and how long it is waited for each time.
const ATTEMPTS: usize = 20;
const ANSWERS_WITHIN: Duration = Duration::from_millis(500);

/// Held from when a session is taken or claimed until its conversation rests again. Dropped before
/// that, the turn is interrupted; nobody can go on in the session then.
pub(super) struct Hold {
    pool: Pool,
    held: Option<Held>,
}

struct Held {
    session: SessionId,
    container: ContainerId,
    turn: Option<TurnId>,
    name: Option<(Whereabouts, Resting)>,
}

impl Hold {
    /// `name`: where the conversation rests, if it has a name.
    pub(super) fn new(pool: &Pool, resting: &Resting, name: Option<Whereabouts>) -> Self {
        Self {
            pool: pool.clone(),
            held: Some(Held {
                session: resting.session.clone(),
                container: resting.container.clone(),
                turn: None,
                name: name.map(|name| (name, resting.clone())),
            }),
        }
    }

    /// This turn runs in it from now on.
    pub(super) fn runs(&mut self, turn: &TurnId) {
        if let Some(held) = &mut self.held {
            held.turn = Some(turn.clone());
        }
    }

    /// Somebody else can go on in it, or it is gone.
    pub(super) fn let_go(mut self) {
        self.held = None;
    }

    /// Its turn has failed: there is nothing to interrupt.
    pub(super) fn failed(mut self) {
        if let Some(held) = &mut self.held {
            held.turn = None;
        }
    }

    /// Nobody wants it any more.
    pub(super) fn end(mut self) {
        if let Some(held) = &mut self.held {
            held.turn = None;
            held.name = None;
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let Some(held) = self.held.take() else {
            return;
        };
        let (pool, stop) = (self.pool.clone(), self.pool.inner.stop.clone());
        let tasks = self.pool.inner.tasks.clone();
        tasks.spawn(async move {
            // A gateway that stops ends the sessions of its containers.
            stop.run_until_cancelled(held.give_up(&pool)).await;
        });
    }
}

impl Held {
    async fn give_up(self, pool: &Pool) {
        let inner = &pool.inner;
        let Some((name, resting)) = self.name else {
            if self.turn.is_some() {
                // It ends with the container all the same; so it is said why.
                let _ = pool.interrupt(&self.session).await;
            }
            return end(inner, &self.session, &self.container).await;
        };
        if let Some(turn) = &self.turn {
            interrupt(pool, &self.session, turn).await;
        }
        // Whoever comes next under this name ends it.
        let broken = Resting {
            history: None,
            waiting: None,
            ..resting
        };
        let keep = inner.config.timeouts.idle;
        let conversations = &inner.conversations;
        let broken = broken.to_json();
        let rests = conversations.rest_if_none(&name, &broken, keep);
        match rests.await {
            Ok(true) => {}
            // The conversation goes on elsewhere already.
            Ok(false) => end(inner, &self.session, &self.container).await,
            Err(error) => tracing::debug!(%error, "could not write down a failed conversation"),
        }
    }
}

/// Interrupts a turn until it is over: one that is still on its way to `claude` hears nothing.
async fn interrupt(pool: &Pool, session: &SessionId, turn: &TurnId) {
    let Ok(events) = pool.turn_events(session, turn, None).await else {
        return;
    };
    let over = events.for_each(async |_| {});
    tokio::pin!(over);
    for _ in 0..ATTEMPTS {
        if pool.control(session, &Control::Interrupt).await.is_err() {
            // It ends when it has been idle for long enough.
            return;
        }
        if tokio::time::timeout(ANSWERS_WITHIN, &mut over)
            .await
            .is_ok()
        {
            return;
        }
    }
    tracing::warn!(%session, %turn, "a turn that nobody waits for does not end");
}

/// Ends the session if this container still serves it.
pub(super) async fn end(inner: &Arc<Inner>, session: &SessionId, container: &ContainerId) {
    let (to, why) = (
        ContainerState::Draining,
        "its conversation goes on elsewhere",
    );
    let serves = Condition::Serves(session);
    match inner.store.retire(container, to, why, serves, None).await {
        Ok(_) => inner.changed(),
        // It ends when it has been idle for long enough.
        Err(error) => tracing::debug!(%session, %error, "could not end a session"),
    }
}
