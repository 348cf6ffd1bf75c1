//! The one task that compares what the pool wants with what it sees, and sets actions going.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ccpool_protocol::ContainerId;
use ccpool_protocol::record::ContainerState;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::access;
use crate::clock::{millis, unix_ms};
use crate::config::RedisAcl;
use crate::container::Container;
use crate::demand::Demand;
use crate::execute::{self, Done};
use crate::failure_cause::FailureCause;
use crate::heard::{Heard, heard};
use crate::info::Counts;
use crate::launch::heartbeat_limit;
use crate::leaders_word::LeadersWord;
use crate::pace::Pace;
use crate::plan::{Action, Desired, Observed, plan};
use crate::pool::{Inner, Seen};
use crate::refill::{Breaker, Refill};
use crate::runtime::RuntimeError;
use crate::standing::Standing;
use crate::store::{StoreError, news};

/// Containers started at once, and then one every so often.
const BURST: usize = 4;
const REFILL_INTERVAL: Duration = Duration::from_millis(500);
/// How soon after a Redis that has lost its data every gateway has looked.
const SETTLES_WITHIN: Duration = Duration::from_secs(3);
/// A spare that is not needed is kept for this long: a minute.
const SURPLUS_MS: u64 = 60_000;

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
    word: LeadersWord,
    demand: Demand,
    /// As it was seen last: what is written down again when Redis has lost it.
    remembered: Vec<Container>,
    /// After Redis has lost its data, containers that nobody knows may run on other gateways' hosts
    /// until these have looked; none is started before.
    settled_at: Option<Instant>,
    /// There were other gateways when this was last seen.
    in_company: bool,
    looks: u64,
    pace: Pace,
}

impl Reconciler {
    pub(crate) fn new(inner: Arc<Inner>) -> Self {
        let now = Instant::now();
        Self {
            trust_heartbeats_from: now + heartbeat_limit(&inner.config),
            refill: Refill::new(
                BURST,
                REFILL_INTERVAL,
                inner.config.timeouts.startup * 2,
                now,
            ),
            inner,
            running: JoinSet::new(),
            busy: BTreeSet::new(),
            fingerprint: None,
            trouble: None,
            word: LeadersWord::default(),
            demand: Demand::default(),
            remembered: Vec::new(),
            settled_at: None,
            in_company: false,
            looks: 0,
            pace: Pace::new(now),
        }
    }

    /// Until `stop`; then waits for the actions under way.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut tick = tokio::time::interval(self.inner.config.timeouts.health_interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let inner = Arc::clone(&self.inner);
        let mut ended = None;
        let (mut events, mut news) = (None, None);
        while !stop.is_cancelled() {
            if events.is_none() {
                events = inner.hub.subscribe(&inner.keys.events()).await.ok();
            }
            if news.is_none() {
                news = inner.hub.subscribe(&inner.keys.news()).await.ok();
            }
            if self.pace.is_due(Instant::now()) {
                let began = Instant::now();
                self.look().await;
                metrics::histogram!("ccpool_look_seconds").record(began.elapsed().as_secs_f64());
                self.pace.looked(self.remembered.len(), Instant::now());
            }
            let refill = self.wants_refill().then(|| self.refill_opens());
            let due = self.pace.due();
            // Every arm only waits, and losing costs nothing: what made one ready is looked at
            // anew in the next round, and tasks that have ended stay in the set.
            tokio::select! {
                () = stop.cancelled() => {}
                _ = tick.tick() => ended = ended.or_else(|| Some(inner.runtime.ended())),
                () = inner.nudge.notified() => {}
                alive = next(&mut ended) => if !alive { ended = None },
                heard = heard(&mut events) => if matches!(heard, Heard::Nothing) { events = None },
                heard = heard(&mut news) => match heard {
                    Heard::Nothing => news = None,
                    Heard::Message(message) if *message == *news::SETTINGS => inner.attendance.ask(),
                    Heard::Message(message) if *message == *news::TROUBLE => {
                        inner.attendance.ask();
                        inner.freed.notify_waiters();
                        continue;
                    }
                    Heard::Message(_) | Heard::Something => inner.freed.notify_waiters(),
                },
                Some(done) = self.running.join_next(), if !self.running.is_empty() => {
                    self.finished(done);
                }
                () = at(refill) => {}
                () = at(due) => {}
            }
            self.pace.ask();
            while let Some(done) = self.running.try_join_next() {
                self.finished(done);
            }
        }
        while let Some(done) = self.running.join_next().await {
            self.finished(done);
        }
    }

    async fn look(&mut self) {
        let standing = self.inner.attendance.known().standing(Instant::now());
        let (store, trouble) = (&*self.inner.store, self.trouble.is_some());
        self.word.begin(store, standing.fence, trouble).await;
        let (desired, observed) = match self.observe().await {
            Ok(both) => both,
            Err(error) => {
                self.trust_heartbeats_from = Instant::now() + heartbeat_limit(&self.inner.config);
                if matches!(error, StoreError::Emptied) {
                    self.settled_at = Some(Instant::now() + SETTLES_WITHIN);
                }
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
        let (store, trouble) = (&*self.inner.store, self.trouble.as_deref());
        if self.word.tell(store, &observed.standing, trouble).await {
            self.inner.nudge.notify_one();
        }
        self.tell(&observed, &desired);
        self.remembered = observed.containers;
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
        let standing = inner.attendance.known().standing(Instant::now());
        let leads = standing.fence.is_some();
        if standing.emptied {
            self.restore(&standing).await?;
        }
        inner.users.load_scripts().await?;
        let users = if leads { self.users().await } else { Ok(None) };
        let users = self.unless_refused(users)?.flatten();
        // The time before what is read: the runtime may take long, and no heartbeat grows old by that.
        let (now, at) = (Instant::now(), unix_ms());
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
        let queue = inner.store.queue().await?;
        self.demand.see(&containers, at);
        let desired = self.desired(&standing, now);
        // Whoever was there and is gone may have left containers that are still stopping.
        let settled = !self.in_company || self.settled_at.is_none_or(|at| now >= at);
        if settled {
            self.in_company = standing.gateways.len() > 1;
        }
        let startable = self.trouble.is_none() && self.fingerprint.is_some() && settled;
        let spare = containers.iter().any(|c| c.state == ContainerState::Warm);
        let gives_way = spare && queue.waiting == 0 && inner.courtesy.until(now).is_some();
        let observed = Observed {
            me: inner.attendance.me.clone(),
            standing,
            containers,
            present,
            waiting: queue.servable,
            refill_allowance: if startable && !gives_way {
                self.refill.allowance(now)
            } else {
                0
            },
            now: at,
        };
        Ok((desired, observed))
    }

    fn desired(&self, standing: &Standing, now: Instant) -> Desired {
        let config = &self.inner.config;
        let limits = self.inner.limits(&standing.settings);
        let (min_warm, max_total) = (limits.min_warm as usize, limits.max_total as usize);
        Desired {
            min_warm: if config.pool.adaptive {
                self.demand.wish(min_warm, max_total)
            } else {
                min_warm
            },
            max_total,
            startup_ms: millis(config.timeouts.startup),
            idle_ms: millis(config.timeouts.idle),
            max_age_ms: millis(config.timeouts.max_age),
            heartbeat_ms: if now >= self.trust_heartbeats_from {
                millis(heartbeat_limit(config))
            } else {
                u64::MAX
            },
            tools_required: self.inner.tools_required,
            fingerprint: self.fingerprint.clone().unwrap_or_default(),
            surplus_ms: SURPLUS_MS,
            draining: standing.settings.draining,
            leaving: self.inner.leaving.load(Ordering::Relaxed),
        }
    }

    /// Redis has lost what it knew. Who leads writes down what it remembers; the others wait for it.
    async fn restore(&mut self, standing: &Standing) -> Result<(), StoreError> {
        let Some(fence) = standing.fence else {
            return Err(StoreError::Emptied);
        };
        let inner = &self.inner;
        for container in &self.remembered {
            if !inner.store.restore(container, fence).await? {
                return Err(StoreError::Emptied);
            }
        }
        // From here on Redis is believed again.
        let id = inner.store.pool_id(&inner.pool_id).await?;
        if id != inner.pool_id {
            self.in_trouble(format!(
                "Redis was emptied, and another gateway has begun a new pool in it (`{id}`); \
                 restart this gateway"
            ));
            return Err(StoreError::Emptied);
        }
        let containers = self.remembered.len();
        tracing::warn!(containers, "Redis had lost its data; wrote it down again");
        self.settled_at = Some(Instant::now() + SETTLES_WITHIN);
        self.trust_heartbeats_from = Instant::now() + heartbeat_limit(&inner.config);
        inner.attendance.renew(&*inner.store).await?;
        inner.store.nudge().await.map(|_| ())
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
        let fence = observed.standing.fence;
        let known = |id: &ContainerId| observed.containers.iter().find(|c| c.id == *id).cloned();
        if let Some(container) = action.container() {
            self.busy.insert(container.clone());
        }
        match action {
            Action::Create => {
                let Some(fence) = fence else { return };
                // The place is taken before anything else is planned.
                match execute::reserve(&inner, desired, fence).await {
                    Ok(Some(launch)) => {
                        self.refill.take(Instant::now());
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
                    .spawn(async move { execute::promote(&inner, id, fence).await });
            }
            Action::Deliver(id) => {
                let Some(container) = known(&id) else { return };
                self.running
                    .spawn(async move { execute::deliver(&inner, container).await });
            }
            Action::Adopt(id) => {
                let (Some(container), Some(fence)) = (known(&id), fence) else {
                    return;
                };
                self.running
                    .spawn(async move { execute::adopt(&inner, container, fence).await });
            }
            Action::Retire(id, reason) => {
                let Some(container) = known(&id) else { return };
                self.running
                    .spawn(async move { execute::retire(&inner, container, &reason, fence).await });
            }
            Action::Fail(id, reason) => {
                let Some(container) = known(&id) else { return };
                let cause = {
                    let (present, host) = (observed.present.as_ref(), observed.me.host());
                    FailureCause::of(&container, present, host)
                };
                self.running.spawn(async move {
                    execute::fail(&inner, container, reason, cause, fence).await
                });
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
        let seen = self.inner.seen.borrow();
        let counts = seen.counts;
        counts.warm + counts.creating + counts.booting < seen.wish
            && counts.total < seen.limits.max_total as usize
            && self.trouble.is_none()
    }

    /// When a container may be started again, at the latest.
    fn refill_opens(&self) -> Instant {
        let now = Instant::now();
        if let Some(until) = self.inner.courtesy.until(now) {
            return until;
        }
        let soon = (now + REFILL_INTERVAL).max(self.settled_at.unwrap_or(now));
        self.refill.opens_at().map_or(soon, |opens| opens.max(soon))
    }

    fn tell(&mut self, observed: &Observed, desired: &Desired) {
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
        metrics::gauge!("ccpool_refill_breaker").set(f64::from(self.refill.breaker().level()));
        metrics::gauge!("ccpool_claims_waiting").set(observed.waiting as f64);
        metrics::gauge!("ccpool_spares_wanted").set(desired.min_warm as f64);
        metrics::gauge!("ccpool_claims_per_minute").set(self.demand.per_minute() as f64);
        let leads = observed.standing.fence.is_some();
        metrics::gauge!("ccpool_leads").set(f64::from(u8::from(leads)));
        let host = observed.me.host();
        let names = observed
            .containers
            .iter()
            .map(|c| (c.id.clone(), c.session.clone()));
        self.inner.seen.send_replace(Seen {
            looks: self.looks,
            counts,
            here: observed
                .containers
                .iter()
                .filter(|c| c.host == host)
                .count(),
            wish: if leads {
                desired.min_warm.max(observed.waiting)
            } else {
                0
            },
            limits: self.inner.limits(&observed.standing.settings),
            trouble: self.trouble.clone(),
            pausing: match self.refill.breaker() {
                Breaker::Open { failures, .. } | Breaker::HalfOpen { failures, .. } => failures,
                Breaker::Closed => 0,
            },
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
