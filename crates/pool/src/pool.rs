//! The pool: what the rest of a program holds.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ccpool_protocol::keys::Keys;
use ccpool_protocol::{ContainerId, SessionId};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::access;
use crate::attendance::{Attendance, KEEP};
use crate::config::{Config, RedisAcl, RedisTarget};
use crate::courtesy::Courtesy;
use crate::error::PoolError;
use crate::gateway::GatewayId;
use crate::hub::Hub;
use crate::identity::Proposal;
use crate::info::{Counts, Limits, RecentFailure};
use crate::launch::Launcher;
use crate::permissions;
use crate::reconcile::Reconciler;
use crate::redis_address::RedisAddress;
use crate::runtime::Runtime;
use crate::standing::Settings;
use crate::store::{self, Conversations, Jobs, RedisJobs, RedisStore, RedisUsers, Store};

/// Failures that are remembered.
const FAILURES: usize = 20;

/// What a pool is made of.
#[derive(Debug)]
pub struct PoolParts {
    /// The configuration.
    pub config: Arc<Config>,
    /// Where containers run.
    pub runtime: Arc<dyn Runtime>,
    /// Where Redis is.
    pub redis: RedisAddress,
    /// The gateway's MCP address as seen from containers. Without one, containers have no tools of
    /// the gateway's, and a container is warm once `claude` answers.
    pub mcp_url: Option<String>,
    /// Environment for `claude`: the model's credential and address. The configuration's
    /// `claude.env` goes before it.
    pub credentials: BTreeMap<String, String>,
}

/// A running pool. Clones are handles to the same one.
#[derive(Clone)]
pub struct Pool {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) config: Arc<Config>,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) users: RedisUsers,
    jobs: Arc<dyn Jobs>,
    pub(crate) conversations: Arc<dyn Conversations>,
    /// What is told in health, and in the way of nothing.
    pub(crate) warnings: Vec<String>,
    pub(crate) hub: Hub,
    pub(crate) keys: Keys,
    pub(crate) launcher: Launcher,
    /// By which the containers of this pool are found; see [`crate::identity`].
    pub(crate) pool_id: String,
    _proposal: Proposal,
    /// A container's tools must be listed before it is warm.
    pub(crate) tools_required: bool,
    /// Something has changed: look again.
    pub(crate) nudge: Notify,
    /// How often that was to be told to the other gateways since they were told last.
    untold: AtomicUsize,
    /// A container may be claimable that was not: waiting claims try again.
    pub(crate) freed: Notify,
    pub(crate) attendance: Attendance,
    /// This gateway is going and takes no claims.
    pub(crate) closed: AtomicBool,
    /// And it is the last one on its host, whose containers go with it.
    pub(crate) leaving: AtomicBool,
    pub(crate) courtesy: Courtesy,
    /// The reconciler has panicked: nothing is kept warm any more.
    pub(crate) broken: AtomicBool,
    /// What the reconciler saw last; rises with every look.
    pub(crate) seen: watch::Sender<Seen>,
    failures: Mutex<VecDeque<RecentFailure>>,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
    /// The hub ends with the last handle, not with `stop`: readers still have to hear how their
    /// turns were ended by it.
    _silence: DropGuard,
}

/// What the reconciler saw last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) looks: u64,
    pub(crate) counts: Counts,
    /// Containers on this gateway's host.
    pub(crate) here: usize,
    /// Spares that this gateway wants there to be; 0 for one that does not lead.
    pub(crate) wish: usize,
    pub(crate) limits: Limits,
    /// Why no container can be started at the moment.
    pub(crate) trouble: Option<String>,
    /// So many containers in a row did not become warm; refill goes slowly until one does.
    pub(crate) pausing: u32,
    pub(crate) names: HashMap<ContainerId, Option<SessionId>>,
}

impl Seen {
    /// As many as may be serve sessions, and none is on its way in or out.
    pub(crate) fn is_full(&self) -> bool {
        let counts = &self.counts;
        let coming = counts.creating + counts.booting + counts.warm + counts.draining;
        coming == 0 && counts.total >= self.limits.max_total as usize
    }
}

impl Pool {
    /// Connects to Redis and begins to keep containers. Returns at once after that;
    /// [`wait_warm`](Self::wait_warm) waits for containers.
    ///
    /// # Errors
    /// When Redis does not answer, or refuses users though `redis.acl` is on. A runtime that does not is shown in health, and tried again.
    pub async fn start(parts: PoolParts) -> Result<Self, PoolError> {
        let PoolParts {
            config,
            runtime,
            redis,
            mcp_url,
            credentials,
        } = parts;
        let invalid = |error: &dyn fmt::Display| PoolError::InvalidRequest(error.to_string());
        let info = redis.connection_info().map_err(|error| invalid(&error))?;
        let keys = Keys::new(config.redis.key_prefix.clone());
        let buffer = config.redis.output_buffer as usize;
        let address = info.addr().to_string();
        let store = RedisStore::connect(info.clone(), keys.clone(), buffer)
            .await
            .map_err(|error| PoolError::from(error).at(&address))?;
        let users = store.users();
        users.load_scripts().await?;
        let acl = config.redis.acl;
        if acl == RedisAcl::On {
            users.probe().await?;
        }
        let is_open = acl == RedisAcl::On && store::is_open(&info, &keys).await;
        let warnings = access::warning(acl, is_open).into_iter();
        let warnings: Vec<String> = warnings.chain(permissions::warning(&config)).collect();
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let silence = CancellationToken::new();
        let hub = Hub::start(info.clone(), &TaskTracker::new(), silence.clone());
        let hub = hub.map_err(|error| invalid(&error))?;
        let proposal = Proposal::from_dir(&config.data_dir);
        if proposal.is_kept && matches!(config.redis.url, RedisTarget::Url(_)) {
            store.wait_restored().await?;
        }
        let pool_id = store.pool_id(&proposal.id).await?;
        let conversations = Arc::new(store.conversations());
        let store: Arc<dyn Store> = Arc::new(store);
        let me = GatewayId::from_random(rand::random(), runtime.host());
        let jobs = Arc::new(RedisJobs::new(info, keys.clone(), me.clone())?);
        let attendance = Attendance::begin(me, pool_id.clone(), &*store).await?;
        let inner = Arc::new(Inner {
            attendance,
            pool_id,
            _proposal: proposal,
            launcher: Launcher::new(
                &config,
                redis,
                users.names().clone(),
                mcp_url.clone(),
                &credentials,
            ),
            users,
            jobs,
            conversations,
            warnings,
            tools_required: mcp_url.is_some(),
            config,
            runtime,
            store,
            hub,
            keys,
            nudge: Notify::new(),
            untold: AtomicUsize::new(0),
            freed: Notify::new(),
            closed: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            courtesy: Courtesy::for_cores(
                std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            ),
            broken: AtomicBool::new(false),
            seen: watch::channel(Seen::default()).0,
            failures: Mutex::default(),
            stop,
            tasks,
            _silence: silence.drop_guard(),
        });
        inner.begin_alone().await?;
        let register = Arc::clone(&inner);
        inner.tasks.spawn(async move {
            let changed = || register.nudge.notify_one();
            let stop = register.stop.clone();
            register
                .attendance
                .run(&register.store, changed, stop)
                .await;
        });
        let reconciler = Reconciler::new(Arc::clone(&inner));
        let stop = inner.stop.clone();
        let alarm = Alarm(Arc::clone(&inner));
        inner.tasks.spawn(async move {
            reconciler.run(stop).await;
            drop(alarm);
        });
        Ok(Self { inner })
    }

    /// What it was started with.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// Waits until `count` containers are claimable.
    ///
    /// # Errors
    /// `Exhausted` when they are not in time, with what is known of the reason.
    pub async fn wait_warm(&self, count: usize, timeout: Duration) -> Result<(), PoolError> {
        let mut seen = self.inner.seen.subscribe();
        let enough = seen.wait_for(|seen| seen.counts.warm >= count);
        if let Ok(Ok(_)) = tokio::time::timeout(timeout, enough).await {
            return Ok(());
        }
        let newest = self
            .inner
            .failures()
            .into_iter()
            .next_back()
            .map(|failure| failure.reason);
        let own = self.inner.seen.borrow().trouble.clone();
        let leaders = self.inner.attendance.known().standing(Instant::now());
        let trouble = own.or(leaders.trouble).or(newest);
        let why = trouble.map_or(String::new(), |trouble| format!(": {trouble}"));
        Err(PoolError::Exhausted {
            message: format!("no {count} warm containers within {timeout:?}{why}"),
            retry_after: Duration::from_secs(1),
        })
    }

    /// What agents want done at set times. Whoever uses it carries it out.
    pub fn jobs(&self) -> Arc<dyn Jobs> {
        Arc::clone(&self.inner.jobs)
    }

    /// Ends this gateway: it takes no new claims, turns may finish until the deadline, then its
    /// containers are removed. Every turn has its terminal event by then, and every reader gets it.
    /// Where another gateway looks after the same host, containers and sessions are left to it.
    pub async fn shutdown(&self, deadline: Duration) {
        let inner = &self.inner;
        let deadline = Instant::now() + deadline;
        inner.closed.store(true, Ordering::Relaxed);
        let others = inner.others().await;
        let stays = inner.leaves_containers_to(&others).await;
        if !stays {
            inner.leaving.store(true, Ordering::Relaxed);
            inner.nudge.notify_one();
            let looked = inner.seen.borrow().looks;
            let mut seen = inner.seen.subscribe();
            let gone = seen.wait_for(|seen| seen.looks > looked + 1 && seen.here == 0);
            // At the deadline what is left is removed below.
            let _ = tokio::time::timeout_at(deadline, gone).await;
        }
        inner.stop.cancel();
        inner.tasks.close();
        inner.tasks.wait().await;
        if stays {
            return;
        }
        crate::execute::remove_all(inner, false).await;
        match inner.attendance.resign(&*inner.store).await {
            Ok(remain) if remain.iter().any(|gateway| others.contains(gateway)) => {}
            // What gateways that were killed have left on other hosts.
            Ok(_) => crate::execute::remove_all(inner, true).await,
            Err(error) => {
                tracing::debug!(%error, "could not leave the register; its entry expires");
            }
        }
    }
}

/// Goes off when the reconciler ends before it was told to: by a panic.
struct Alarm(Arc<Inner>);

impl Drop for Alarm {
    fn drop(&mut self) {
        if !self.0.stop.is_cancelled() {
            tracing::error!("the pool's reconciler has ended; restart the gateway");
            self.0.broken.store(true, Ordering::Relaxed);
        }
    }
}

impl Inner {
    /// A pool that was drained and left by everybody takes sessions again.
    async fn begin_alone(&self) -> Result<(), PoolError> {
        let known = self.attendance.known().standing(Instant::now());
        if known.gateways.len() == 1 && known.settings.draining {
            self.set(&[(Settings::DRAINING, None)]).await?;
        }
        Ok(())
    }

    /// The other gateways that live. One that was killed a moment ago is still registered, and hears
    /// nothing any more.
    async fn others(&self) -> Vec<GatewayId> {
        let until = Instant::now() + KEEP + Duration::from_millis(500);
        loop {
            // A Redis that does not answer leaves what was known.
            let _ = self.attendance.renew(&*self.store).await;
            let mut others = self.attendance.known().standing(Instant::now()).gateways;
            others.retain(|gateway| *gateway != self.attendance.me);
            let hear = self.store.nudge().await;
            let all_hear = hear.is_ok_and(|hear| hear > others.len());
            if others.is_empty() || all_hear || Instant::now() >= until {
                return others;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Leaves the register if one of the others looks after this host. Of several that go at the same
    /// time the last one stays for it.
    async fn leaves_containers_to(&self, others: &[GatewayId]) -> bool {
        let here = |gateway: &&GatewayId| gateway.host() == self.attendance.me.host();
        if !others.iter().any(|gateway| here(&gateway)) {
            return false;
        }
        let remain = self.attendance.resign(&*self.store).await;
        let remain = remain.unwrap_or_default();
        if remain.iter().filter(here).any(|g| others.contains(g)) {
            return true;
        }
        // A Redis that does not answer is told later, or finds out.
        let _ = self.attendance.return_to(&*self.store).await;
        false
    }

    /// Whether the containers of this host are looked after here.
    pub(crate) fn is_steward(&self, host: &str) -> bool {
        let standing = self.attendance.known().standing(Instant::now());
        standing.is_steward(&self.attendance.me, host)
    }

    /// Something about the containers has changed: all gateways look.
    pub(crate) fn changed(self: &Arc<Self>) {
        self.nudge.notify_one();
        let alone = {
            let known = self.attendance.known();
            known.standing(Instant::now()).gateways.len() < 2
        };
        if alone {
            return;
        }
        if self.untold.fetch_add(1, Ordering::AcqRel) > 0 {
            // They are being told, and once more after that.
            return;
        }
        let inner = Arc::clone(self);
        self.tasks.spawn(async move {
            loop {
                let told = inner.untold.load(Ordering::Acquire);
                // They look from time to time without being told.
                if let Err(error) = inner.store.nudge().await {
                    tracing::debug!(%error, "could not tell the other gateways");
                }
                let all = inner.untold.fetch_sub(told, Ordering::AcqRel) == told;
                if all {
                    return;
                }
            }
        });
    }

    pub(crate) fn failures(&self) -> VecDeque<RecentFailure> {
        self.failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn remember(&self, failure: RecentFailure) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() == FAILURES {
            failures.pop_front();
        }
        failures.push_back(failure);
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("runtime", &self.inner.runtime)
            .finish_non_exhaustive()
    }
}
