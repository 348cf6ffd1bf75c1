//! What the supervisor and the publisher share: what waits for Redis, and what the wrapper says of
//! itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ccpool_protocol::boot::Boot;
use ccpool_protocol::keys::{ContainerKeys, Keys, SessionKeys};
use ccpool_protocol::record::report;
use ccpool_protocol::{ContainerId, UnixMs, scripts};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::effects::Op;
use crate::kept::Kept;
use crate::outbox::{BACKLOG_BYTES, Outbox};

/// Shortest time that keys stay without a heartbeat.
const MIN_EXPIRY_MS: u64 = 60_000;
/// How long `claude` is kept waiting for a Redis that takes nothing. A control request's answer must
/// not be held up for so long that `claude` is taken for hung.
const PATIENCE: Duration = Duration::from_secs(2);

/// The shared part. Cheap to clone; locked for moments only, never across an await.
#[derive(Debug, Clone)]
pub(crate) struct Board(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    wake: Notify,
    /// Counts acknowledged batches and written announcements.
    done: watch::Sender<u64>,
    keys: Keys,
    id: ContainerId,
    container: ContainerKeys,
    output_buffer: usize,
    output_buffer_bytes: usize,
    report_expiry_ms: u64,
    session_expiry_ms: u64,
}

#[derive(Debug)]
struct State {
    outbox: Option<(SessionKeys, Outbox)>,
    /// The publisher has a connection.
    linked: bool,
    report: Vec<(&'static str, String)>,
    registered: bool,
    /// The report has changed in a way that gateways wait for.
    announce: bool,
    /// Redis has not said yet that it took the last announcement.
    announcing: bool,
}

impl Board {
    pub(crate) fn new(boot: &Boot, cli_session_id: &str) -> Self {
        let keys = Keys::new(boot.key_prefix.clone());
        let report_expiry_ms = MIN_EXPIRY_MS.max(boot.heartbeat_ms.saturating_mul(20));
        Self(Arc::new(Shared {
            state: Mutex::new(State {
                outbox: None,
                linked: false,
                report: vec![
                    (
                        report::WRAPPER_VERSION,
                        env!("CARGO_PKG_VERSION").to_owned(),
                    ),
                    (
                        report::SCRIPT,
                        redis::Script::new(scripts::PUBLISH).get_hash().to_owned(),
                    ),
                    (report::CLI_SESSION_ID, cli_session_id.to_owned()),
                ],
                registered: false,
                announce: true,
                announcing: false,
            }),
            wake: Notify::new(),
            done: watch::Sender::new(0),
            container: keys.container(&boot.container),
            id: boot.container.clone(),
            keys,
            output_buffer: boot.output_buffer,
            output_buffer_bytes: boot.output_buffer_bytes,
            report_expiry_ms,
            session_expiry_ms: boot.retain_ms.max(report_expiry_ms),
        }))
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.0.keys
    }

    pub(crate) fn id(&self) -> &ContainerId {
        &self.0.id
    }

    pub(crate) fn container(&self) -> &ContainerKeys {
        &self.0.container
    }

    /// How long the report lives without a heartbeat, in ms.
    pub(crate) fn report_expiry_ms(&self) -> u64 {
        self.0.report_expiry_ms
    }

    /// How long a session's keys live without a heartbeat, in ms.
    pub(crate) fn session_expiry_ms(&self) -> u64 {
        self.0.session_expiry_ms
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while holding the lock; if it did, the data would still be whole.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on there is a session to publish for.
    pub(crate) fn assign(&self, session: SessionKeys, last_batch: u64) {
        let max_envelopes = self.0.output_buffer.max(1000);
        let kept = Kept::new(self.0.output_buffer, self.0.output_buffer_bytes);
        let outbox = Outbox::new(last_batch, kept, max_envelopes, BACKLOG_BYTES);
        self.state().outbox = Some((session, outbox));
    }

    /// Queues changes; they leave at once. Without a session they are dropped.
    pub(crate) fn post(&self, ops: Vec<Op>) {
        if ops.is_empty() {
            return;
        }
        if let Some((_, outbox)) = &mut self.state().outbox {
            outbox.extend(ops);
        }
        self.0.wake.notify_one();
    }

    /// Sets a field of the report that gateways wait for.
    pub(crate) fn report(&self, field: &'static str, value: impl Into<String>) {
        let mut state = self.state();
        state.report.retain(|(name, _)| *name != field);
        state.report.push((field, value.into()));
        state.announce = true;
        drop(state);
        self.0.wake.notify_one();
    }

    /// Sets a field of the report that nobody waits for: it goes with the next heartbeat.
    pub(crate) fn remark(&self, field: &'static str, value: impl Into<String>) {
        let mut state = self.state();
        state.report.retain(|(name, _)| *name != field);
        state.report.push((field, value.into()));
    }

    /// The whole report has to be written again: Redis may have been emptied.
    pub(crate) fn reregister(&self) {
        self.state().announce = true;
        self.0.wake.notify_one();
    }

    /// The report's fields, all of them, and whether gateways are to be told.
    pub(crate) fn take_report(&self, now: UnixMs) -> (Vec<(&'static str, String)>, bool) {
        let mut state = self.state();
        if !std::mem::replace(&mut state.registered, true) {
            state.report.push((report::REGISTERED_AT, now.to_string()));
        }
        let announce = std::mem::take(&mut state.announce);
        state.announcing |= announce;
        (state.report.clone(), announce)
    }

    /// Redis has taken the report.
    pub(crate) fn announced(&self) {
        self.state().announcing = false;
        self.advance();
    }

    pub(crate) fn must_announce(&self) -> bool {
        self.state().announce
    }

    /// Looks at the session's outbox, where there is one.
    pub(crate) fn with_outbox<T>(
        &self,
        look: impl FnOnce(&SessionKeys, &mut Outbox) -> T,
    ) -> Option<T> {
        let mut state = self.state();
        state
            .outbox
            .as_mut()
            .map(|(keys, outbox)| look(keys, outbox))
    }

    pub(crate) fn session_keys(&self) -> Option<SessionKeys> {
        self.with_outbox(|keys, _| keys.clone())
    }

    /// Waits until something was posted. One waiter: the publisher.
    pub(crate) async fn posted(&self) {
        self.0.wake.notified().await;
    }

    /// Whether the publisher has a connection.
    pub(crate) fn link(&self, linked: bool) {
        let before = std::mem::replace(&mut self.state().linked, linked);
        if before != linked {
            self.advance();
        }
    }

    /// Waits until Redis keeps up with what is posted. While Redis is away nobody waits: what it will
    /// not keep anyway may be dropped then.
    pub(crate) async fn room(&self) {
        let crowded = |(_, outbox): &(SessionKeys, Outbox)| outbox.is_crowded();
        let has_room = |state: &State| !state.linked || !state.outbox.as_ref().is_some_and(crowded);
        if !has_room(&self.state()) && timeout(PATIENCE, self.until(has_room)).await.is_err() {
            crate::log::warn("Redis takes nothing; going on without it");
            self.link(false);
        }
    }

    /// The publisher has got something done.
    pub(crate) fn advance(&self) {
        self.0.done.send_modify(|count| *count += 1);
    }

    /// Waits until nothing is left to publish or to announce.
    pub(crate) async fn flushed(&self) {
        self.until(|state| {
            let empty = |(_, outbox): &(SessionKeys, Outbox)| outbox.is_empty();
            !state.announce && !state.announcing && state.outbox.as_ref().is_none_or(empty)
        })
        .await;
    }

    /// Waits until every item that is done with has left `inflight`.
    pub(crate) async fn removals_done(&self) {
        self.until(|state| {
            let pending = |(_, outbox): &(SessionKeys, Outbox)| outbox.has_removals();
            !state.outbox.as_ref().is_some_and(pending)
        })
        .await;
    }

    async fn until(&self, holds: impl Fn(&State) -> bool) {
        let mut done = self.0.done.subscribe();
        while !holds(&self.state()) {
            if done.changed().await.is_err() {
                unreachable!("the sender lives in self");
            }
        }
    }
}
