//! The one task that compares what the pool wants with what it sees, and sets actions going.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ccpool_protocol::ContainerId;
use ccpool_protocol::record::ContainerState;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::access;
use crate::clock::{millis, unix_ms};
use crate::config::RedisAcl;
use crate::execute::{self, Done};
use crate::failure_cause::FailureCause;
use crate::hub::Signal;
use crate::info::Counts;
use crate::launch::heartbeat_limit;
use crate::plan::{Action, Desired, Observed, plan};
use crate::pool::{Inner, Seen};
use crate::refill::Refill;
use crate::runtime::RuntimeError;
use crate::store::StoreError;

/// Containers started at once, and then one every so often.
const BURST: usize = 4;
const REFILL_INTERVAL: Duration = Duration::from_millis(500);

pub(crate) struct Reconciler {
    inner: Arc<Inner>,
    refill: Refill,
    /// Actions under way. Their containers are left alone meanwhile: never two for one.
    running: JoinSet<Done>,
    busy: BTreeSet<ContainerId>,
    /// Heartbeats say nothing about a time when nobody could write them.
    trust_heartbeats_from: Instant,
    fingerprint: Option<String>,
    trouble: Option<String>,
    looks: u64,
}

impl Reconciler {
    pub(crate) fn new(inner: Arc<Inner>) -> Self {
        let now = Instant::now();
        Self {
            trust_heartbeats_from: now + heartbeat_limit(&inner.config),
            inner,
            refill: Refill::new(BURST, REFILL_INTERVAL, now),
            running: JoinSet::new(),
            busy: BTreeSet::new(),
            fingerprint: None,
            trouble: None,
            looks: 0,
        }
    }

    /// Until `stop`; then waits for the actions under way.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut tick = tokio::time::interval(self.inner.config.timeouts.health_interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let inner = Arc::clone(&self.inner);
        let mut ended = None;
        let mut events = None;
        while !stop.is_cancelled() {
            if events.is_none() {
                events = inner.hub.subscribe(&inner.keys.events()).await.ok();
            }
            self.look().await;
            let refill = self.wants_refill().then(|| self.refill_opens());
            // Every arm only waits, and losing costs nothing: what made one ready is looked at
            // anew in the next round, and tasks that have ended stay in the set.
            tokio::select! {
                () = stop.cancelled() => {}
                _ = tick.tick() => ended = ended.or_else(|| Some(inner.runtime.ended())),
                () = inner.nudge.notified() => {}
                alive = next(&mut ended) => if !alive { ended = None },
                alive = heard(&mut events) => if !alive { events = None },
                Some(done) = self.running.join_next(), if !self.running.is_empty() => {
                    self.finished(done);
                }
                () = at(refill) => {}
            }
            while let Some(done) = self.running.try_join_next() {
                self.finished(done);
            }
        }
        while let Some(done) = self.running.join_next().await {
            self.finished(done);
        }
    }

    async fn look(&mut self) {
        let (desired, observed) = match self.observe().await {
            Ok(both) => both,
            Err(error) => {
                self.trust_heartbeats_from = Instant::now() + heartbeat_limit(&self.inner.config);
                tracing::debug!(%error, "cannot look at the pool");
                return;
            }
        };
        for action in plan(&desired, &observed) {
            if action
                .container()
                .is_some_and(|container| self.busy.contains(container))
            {
                continue;
            }
            self.execute(action, &observed, &desired).await;
        }
        self.tell(&observed);
    }

    async fn observe(&mut self) -> Result<(Desired, Observed), StoreError> {
        let inner = Arc::clone(&self.inner);
        match inner.runtime.ingredients().await {
            Ok(ingredients) => {
                self.fingerprint = Some(inner.launcher.fingerprint(&ingredients));
                self.trouble = None;
            }
            Err(error) => self.in_trouble(of_runtime(&error)),
        }
        // An emptied Redis must not make strangers of our containers.
        inner.store.pool_id(&inner.pool_id).await?;
        inner.users.load_scripts().await?;
        let users = self.users().await;
        let users = self.unless_refused(users)?.flatten();
        // Redis first: whatever it says has started is in the runtime's list, unless it is gone.
        let containers = inner.store.containers().await?;
        if let Some(users) = users {
            let kept = access::keep(&inner.users, &users, &containers).await;
            self.unless_refused(kept)?;
        }
        let present = match inner.runtime.list(&inner.pool_id).await {
            Ok(present) => Some(present),
            Err(error) => {
                self.in_trouble(of_runtime(&error));
                None
            }
        };
        let now = Instant::now();
        let config = &inner.config;
        let heartbeats = now >= self.trust_heartbeats_from;
        let desired = Desired {
            min_warm: config.pool.min_warm as usize,
            max_total: config.pool.max_total as usize,
            startup_ms: millis(config.timeouts.startup),
            idle_ms: millis(config.timeouts.idle),
            max_age_ms: millis(config.timeouts.max_age),
            heartbeat_ms: if heartbeats {
                millis(heartbeat_limit(config))
            } else {
                u64::MAX
            },
            tools_required: inner.tools_required,
            fingerprint: self.fingerprint.clone().unwrap_or_default(),
            draining: inner.draining.load(Ordering::Relaxed),
        };
        let startable = self.trouble.is_none() && self.fingerprint.is_some();
        let waiting = inner.waiting.load(Ordering::Relaxed);
        let spare = containers.iter().any(|c| c.state == ContainerState::Warm);
        let gives_way = spare && waiting == 0 && inner.courtesy.until(now).is_some();
        let observed = Observed {
            containers,
            present,
            waiting,
            refill_allowance: if startable && !gives_way {
                self.refill.allowance(now)
            } else {
                0
            },
            now: unix_ms(),
        };
        Ok((desired, observed))
    }

    /// The containers that have a user; None: they are to have none. Asked before Redis is asked
    /// for containers, so that a user whose container is not known then belongs to one that is gone.
    async fn users(&self) -> Result<Option<Vec<ContainerId>>, StoreError> {
        match self.inner.config.redis.acl {
            RedisAcl::On => Ok(Some(self.inner.users.list().await?)),
            RedisAcl::Off => Ok(None),
        }
    }

    /// Without users no container can be started, but those that are there can be looked after.
    fn unless_refused<T>(
        &mut self,
        answer: Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        match answer {
            Err(error @ StoreError::NoUsers { .. }) => {
                self.in_trouble(error.to_string());
                Ok(None)
            }
            answer => answer.map(Some),
        }
    }

    fn in_trouble(&mut self, trouble: String) {
        if self.trouble.as_ref() != Some(&trouble) {
            tracing::warn!(trouble, "no container can be started");
        }
        self.trouble = Some(trouble);
    }

    async fn execute(&mut self, action: Action, observed: &Observed, desired: &Desired) {
        let inner = Arc::clone(&self.inner);
        let known = |id: &ContainerId| observed.containers.iter().find(|c| c.id == *id).cloned();
        if let Some(container) = action.container() {
            self.busy.insert(container.clone());
        }
        match action {
            Action::Create => {
                // The place is taken before anything else is planned.
                match execute::reserve(&inner, &desired.fingerprint).await {
                    Ok(Some(launch)) => {
                        self.refill.take();
                        self.busy.insert(launch.container.clone());
                        self.running
                            .spawn(async move { execute::start(&inner, launch).await });
                    }
                    Ok(None) => {}
                    Err(error) => tracing::debug!(%error, "could not reserve a place"),
                }
            }
            Action::Promote(id) => {
                self.running
                    .spawn(async move { execute::promote(&inner, id).await });
            }
            Action::Deliver(id) => {
                let Some(container) = known(&id) else { return };
                self.running
                    .spawn(async move { execute::deliver(&inner, container).await });
            }
            Action::Retire(id, reason) => {
                let Some(container) = known(&id) else { return };
                self.running
                    .spawn(async move { execute::retire(&inner, container, &reason).await });
            }
            Action::Fail(id, reason) => {
                let Some(container) = known(&id) else { return };
                let cause = FailureCause::of(&container, observed.present.as_ref());
                self.running
                    .spawn(async move { execute::fail(&inner, container, reason, cause).await });
            }
            Action::Reap(id) => {
                self.running
                    .spawn(async move { execute::reap(&inner, id).await });
            }
        }
    }

    fn finished(&mut self, done: Result<Done, tokio::task::JoinError>) {
        let done = match done {
            Ok(done) => done,
            Err(error) => {
                // An action has panicked: its container cannot be named, so none is held back.
                tracing::error!(%error, "an action has panicked");
                self.busy.clear();
                return;
            }
        };
        self.busy.remove(&done.container);
        match done.refill {
            Some(true) => {
                metrics::counter!("ccpool_refill_total", "outcome" => "warm").increment(1);
                self.refill.succeeded();
            }
            Some(false) => {
                metrics::counter!("ccpool_refill_total", "outcome" => "failed").increment(1);
                let pause = self.refill.failed(Instant::now(), rand::random());
                tracing::warn!(?pause, "a container did not become warm; pausing refill");
            }
            None => {}
        }
        if let Some(trouble) = done.trouble {
            self.in_trouble(of_runtime(&trouble));
        }
    }

    fn wants_refill(&self) -> bool {
        let counts = self.inner.seen.borrow().counts;
        let wish = self
            .inner
            .waiting
            .load(Ordering::Relaxed)
            .max(self.inner.config.pool.min_warm as usize);
        counts.warm + counts.creating + counts.booting < wish
            && counts.total < self.inner.config.pool.max_total as usize
            && self.trouble.is_none()
    }

    /// When a container may be started again, at the latest.
    fn refill_opens(&self) -> Instant {
        let now = Instant::now();
        if let Some(until) = self.inner.courtesy.until(now) {
            return until;
        }
        let soon = now + REFILL_INTERVAL;
        self.refill.opens_at().map_or(soon, |opens| opens.max(soon))
    }

    fn tell(&mut self, observed: &Observed) {
        self.looks += 1;
        let counts = Counts::of(&observed.containers);
        let states = [
            ("creating", counts.creating),
            ("booting", counts.booting),
            ("warm", counts.warm),
            ("assigned", counts.assigned),
            ("busy", counts.busy),
            ("draining", counts.draining),
            ("failed", counts.failed),
        ];
        for (state, count) in states {
            metrics::gauge!("ccpool_containers", "state" => state).set(count as f64);
        }
        metrics::gauge!("ccpool_claims_waiting").set(observed.waiting as f64);
        let names = observed
            .containers
            .iter()
            .map(|c| (c.id.clone(), c.session.clone()));
        self.inner.seen.send_replace(Seen {
            looks: self.looks,
            counts,
            trouble: self.trouble.clone(),
            names: names.collect(),
        });
        // Somebody may have been freed since waiting claims last tried.
        self.inner.freed.notify_waiters();
    }
}

fn of_runtime(error: &RuntimeError) -> String {
    format!("{error}; {}", error.mend())
}

/// Waits for the end of a container. False: the stream is over; the next tick asks for a new one.
async fn next(ended: &mut Option<BoxStream<'static, ()>>) -> bool {
    match ended {
        Some(stream) => stream.next().await.is_some(),
        None => std::future::pending().await,
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Waits for news of a container. False: the subscription is gone.
async fn heard(events: &mut Option<broadcast::Receiver<Signal>>) -> bool {
    match events {
        Some(receiver) => !matches!(pin!(receiver.recv()).await, Err(RecvError::Closed)),
        None => std::future::pending().await,
    }
}
