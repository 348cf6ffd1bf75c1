//! Keeping this gateway registered, and knowing how it stands: the one task that asks Redis for it.
//!
//! A registration is a lease: it is renewed every [`PERIOD`], and over [`KEEP`] after the last time,
//! by Redis' clock. Whoever leads stops leading by its own clock before that, and what it had begun
//! is refused by its fence. Claims belong to their gateway for as long as it is registered.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Notify, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::gateway::GatewayId;
use crate::standing::{Fence, Settings, Standing};
use crate::store::{Store, StoreError};

/// How long a registration lasts.
pub(crate) const KEEP: Duration = Duration::from_secs(3);
/// How often it is renewed.
const PERIOD: Duration = Duration::from_millis(1000);
/// How soon it is tried again when Redis does not answer.
const RETRY: Duration = Duration::from_millis(100);
/// A Redis that does not answer for this long is out of reach.
const PATIENCE: Duration = Duration::from_secs(1);

/// What was said last, and until when it holds.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    standing: Standing,
    /// By this gateway's clock, counted from before Redis was asked.
    until: Instant,
    /// Redis does not answer at the moment.
    pub(crate) lost: bool,
    /// From when on whoever is not registered is gone: an emptied Redis has lost the register too.
    settled_at: Option<Instant>,
}

impl Known {
    /// How this gateway stands; it does not lead once its lease may be over.
    pub(crate) fn standing(&self, now: Instant) -> Standing {
        let mut standing = self.standing.clone();
        if now >= self.until {
            standing.fence = None;
        }
        standing.settled = self.settled_at.is_none_or(|at| now >= at);
        standing
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.standing.settings
    }

    fn fence(&self) -> Option<Fence> {
        self.standing.fence
    }
}

/// The register's task, and what it has learnt.
#[derive(Debug)]
pub(crate) struct Attendance {
    pub(crate) me: GatewayId,
    pool: String,
    known: watch::Sender<Known>,
    again: Notify,
    /// It has left; held while Redis is asked, so that no answer overtakes another one.
    resigned: Mutex<bool>,
}

impl Attendance {
    /// Registers for the first time.
    pub(crate) async fn begin(
        me: GatewayId,
        pool: String,
        store: &dyn Store,
    ) -> Result<Self, StoreError> {
        let asked = Instant::now();
        let standing = store.attend(&me, KEEP, &pool).await?;
        let known = Known {
            settled_at: settling(&standing, None),
            standing,
            until: asked + KEEP,
            lost: false,
        };
        Ok(Self {
            me,
            pool,
            known: watch::channel(known).0,
            again: Notify::new(),
            resigned: Mutex::new(false),
        })
    }

    /// As it was learnt last.
    pub(crate) fn known(&self) -> watch::Ref<'_, Known> {
        self.known.borrow()
    }

    /// To hear when something has changed.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Known> {
        self.known.subscribe()
    }

    /// Asks again soon: settings or containers may have changed.
    pub(crate) fn ask(&self) {
        self.again.notify_one();
    }

    /// Leaves the register and stays out of it. Returns those that remain.
    pub(crate) async fn resign(&self, store: &dyn Store) -> Result<Vec<GatewayId>, StoreError> {
        let mut resigned = self.resigned.lock().await;
        *resigned = true;
        store.leave(&self.me).await
    }

    /// Registers again after all.
    pub(crate) async fn return_to(&self, store: &dyn Store) -> Result<(), StoreError> {
        *self.resigned.lock().await = false;
        self.renew(store).await
    }

    /// Asks now, unless this gateway has left.
    pub(crate) async fn renew(&self, store: &dyn Store) -> Result<(), StoreError> {
        let resigned = self.resigned.lock().await;
        if *resigned {
            return Ok(());
        }
        let asked = Instant::now();
        let standing = store.attend(&self.me, KEEP, &self.pool).await?;
        let before = self.known.borrow().fence();
        match (before, standing.fence) {
            (None, Some(fence)) => tracing::info!(fence = fence.0, "leads"),
            (Some(_), None) => tracing::warn!(leader = ?standing.leader, "leads no longer"),
            (Some(_), Some(_)) | (None, None) => {}
        }
        let settled_at = settling(&standing, self.known.borrow().settled_at);
        self.known.send_replace(Known {
            standing,
            until: asked + KEEP,
            lost: false,
            settled_at,
        });
        Ok(())
    }

    /// Until `stop`. `changed` is called when leadership, settings or Redis' reach has changed.
    pub(crate) async fn run(
        &self,
        store: &Arc<dyn Store>,
        changed: impl Fn(),
        stop: CancellationToken,
    ) {
        loop {
            let before = self.known.borrow().clone();
            let renewed = timeout(PATIENCE, self.renew(&**store)).await;
            let pause = if let Ok(Ok(())) = renewed {
                PERIOD
            } else {
                self.known.send_modify(|known| known.lost = true);
                RETRY
            };
            let after = self.known.borrow().clone();
            let differs = before.fence() != after.fence()
                || before.standing.settings != after.standing.settings
                || before.standing.gateways != after.standing.gateways
                || before.lost != after.lost
                || after.standing.emptied;
            if differs {
                changed();
            }
            // All arms only wait.
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.again.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}

/// Those that live register within [`KEEP`], if Redis answers them.
fn settling(standing: &Standing, before: Option<Instant>) -> Option<Instant> {
    match standing.emptied {
        true => Some(Instant::now() + KEEP),
        false => before,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(emptied: bool) -> Standing {
        Standing {
            now: 0,
            fence: Some(Fence(1)),
            leader: None,
            trouble: None,
            gateways: Vec::new(),
            settings: Settings::default(),
            emptied,
            settled: true,
        }
    }

    #[test]
    fn an_emptied_register_is_believed_once_everybody_could_register() {
        let now = Instant::now();
        let settled_at = settling(&told(true), None);
        // It stays so when Redis is filled again a moment later.
        let settled_at = settling(&told(false), settled_at);
        let known = Known {
            standing: told(false),
            until: now + KEEP * 10,
            lost: false,
            settled_at,
        };
        assert!(!known.standing(now).settled);
        assert!(
            !known
                .standing(now)
                .is_steward(&GatewayId::from_random(1, "a"), "b")
        );
        assert!(known.standing(now + KEEP * 2).settled);
        assert_eq!(settling(&told(false), None), None);
    }
}
