//! Getting a container for a session.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ccpool_protocol::assignment::Assignment;
use ccpool_protocol::{AgentId, ContainerId, SessionId, UnixMs};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::clock::unix_ms;
use crate::error::PoolError;
use crate::launch::{boot_model, heartbeat_limit};
use crate::pool::{Inner, Pool};
use crate::store::{ClaimOutcome, ClaimTerms};

/// What a claim asks for. Everything may be left out.
#[derive(Debug, Clone, Default)]
pub struct ClaimRequest {
    /// The session's name; made up when left out.
    pub session: Option<SessionId>,
    /// On whose behalf.
    pub agent: AgentId,
    /// Another model than the configured one: an alias or a full id.
    pub model: Option<String>,
    /// Appended to the system prompt, instead of what is configured.
    pub append_system_prompt: Option<String>,
}

/// A session with its container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claimed {
    /// The session.
    pub session: SessionId,
    /// On whose behalf.
    pub agent: AgentId,
    /// The container that serves it.
    pub container: ContainerId,
    /// False: the session was live already, and nothing has changed.
    pub created: bool,
    /// How long the claim took, in ms.
    pub claim_ms: f64,
    /// No container was warm at first.
    pub waited: bool,
}

/// Counts a waiting claim for as long as it waits, however it ends.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Lets the reconciler look, however a claim that got a container ends: a successor is missing, and
/// a claim that is cut off may leave the container untold.
struct Nudge<'a>(&'a Notify);

impl Drop for Nudge<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// Why nothing was to be had so far.
enum Miss {
    NoneWarm,
    AgentLimit,
    /// The session's last container is still on its way out.
    Draining,
}

impl Pool {
    /// Binds a warm container to a session, or finds the one that serves it. Waits up to
    /// `pool.claimTimeoutMs` for one.
    ///
    /// # Errors
    /// `Exhausted` when none is free in time, `Unavailable` when Redis is away.
    #[tracing::instrument(level = "debug", skip_all, fields(session, container))]
    pub async fn claim(&self, request: ClaimRequest) -> Result<Claimed, PoolError> {
        let inner = &*self.inner;
        if inner.draining.load(Ordering::Relaxed) {
            return Err(PoolError::Exhausted {
                message: "the pool is draining and takes no new sessions".to_owned(),
                retry_after: Duration::from_secs(5),
            });
        }
        let begun = Instant::now();
        let session = match request.session.clone() {
            Some(session) => session,
            None => random_session(),
        };
        tracing::Span::current().record("session", tracing::field::display(&session));
        let terms = inner.terms(session.clone(), request);
        let deadline = begun + inner.config.pool.claim_timeout;
        let (asked_at, looks) = (unix_ms(), inner.seen.borrow().looks);
        let mut waiting = None;
        let _nudge;
        let (container, created) = loop {
            // Registered before the attempt, so that what is freed meanwhile is not slept through.
            let freed = inner.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            let miss = match inner.store.claim(&terms).await? {
                ClaimOutcome::Claimed {
                    container,
                    acl_hash,
                } => {
                    _nudge = Nudge(&inner.nudge);
                    let hash = acl_hash.as_deref();
                    inner.users.deliver(&container, &session, hash).await?;
                    break (container, true);
                }
                ClaimOutcome::Live(container) => break (container, false),
                ClaimOutcome::NoneWarm => Miss::NoneWarm,
                ClaimOutcome::AgentLimit => Miss::AgentLimit,
                ClaimOutcome::Draining(_) => Miss::Draining,
            };
            if waiting.is_none() {
                metrics::counter!("ccpool_claim_misses_total", "reason" => miss.word())
                    .increment(1);
                waiting = Some(Waiting::begin(&inner.waiting));
                inner.nudge.notify_one();
            }
            if let Some(hopeless) = inner.hopeless(&miss, looks) {
                return Err(hopeless);
            }
            if tokio::time::timeout_at(deadline, freed).await.is_err() {
                metrics::counter!("ccpool_claims_total", "outcome" => "exhausted").increment(1);
                return Err(inner.exhausted(&miss, asked_at));
            }
        };
        tracing::Span::current().record("container", tracing::field::display(&container));
        let took = begun.elapsed();
        metrics::counter!("ccpool_claims_total", "outcome" => if created { "claimed" } else { "live" })
            .increment(1);
        metrics::histogram!("ccpool_claim_seconds").record(took.as_secs_f64());
        if created {
            tracing::info!(%session, %container, "claimed");
            inner.courtesy.claimed(Instant::now());
            inner.rename(&container, &session);
        }
        let waited = waiting.is_some();
        let agent = terms.assignment.agent;
        Ok(Claimed {
            session,
            agent,
            container,
            created,
            claim_ms: took.as_secs_f64() * 1e3,
            waited,
        })
    }
}

impl Inner {
    fn terms(&self, session: SessionId, request: ClaimRequest) -> ClaimTerms {
        let own = self
            .config
            .agents
            .get(request.agent.as_str())
            .cloned()
            .unwrap_or_default();
        let model = request
            .model
            .or_else(|| own.model.map(|model| model.model().to_owned()));
        let model = model.filter(|model| *model != boot_model(&self.config));
        let limit = own.max_containers.unwrap_or(self.config.pool.max_per_agent);
        ClaimTerms {
            assignment: Assignment {
                session,
                agent: request.agent,
                model,
                append_system_prompt: request.append_system_prompt.or(own.append_system_prompt),
            },
            max_per_agent: limit as usize,
            heartbeat: heartbeat_limit(&self.config),
        }
    }

    /// Nothing is warm, and by what the reconciler has seen since the claim, nothing will be:
    /// waiting is in vain.
    fn hopeless(&self, miss: &Miss, looks: u64) -> Option<PoolError> {
        let seen = self.seen.borrow();
        match (miss, &seen.trouble) {
            (Miss::NoneWarm, Some(trouble)) if seen.looks > looks => {
                metrics::counter!("ccpool_claims_total", "outcome" => "unavailable").increment(1);
                Some(PoolError::Unavailable {
                    what: format!("no container can be started: {trouble}"),
                    mend: "see `ccpool doctor`".to_owned(),
                    source: None,
                })
            }
            (Miss::NoneWarm | Miss::AgentLimit | Miss::Draining, _) => None,
        }
    }

    /// The time is over: what stood in the way.
    fn exhausted(&self, miss: &Miss, asked_at: UnixMs) -> PoolError {
        let config = &self.config.pool;
        let waited = format!("within {} ms", config.claim_timeout.as_millis());
        let failure = self
            .failures()
            .pop_back()
            .filter(|failure| failure.at >= asked_at);
        let message = match (miss, failure) {
            (Miss::NoneWarm, Some(failure)) => {
                return PoolError::Unavailable {
                    what: format!("no container became warm {waited}: {}", failure.reason),
                    mend: "see `ccpool status` and the gateway's log".to_owned(),
                    source: None,
                };
            }
            (Miss::NoneWarm, None) => format!(
                "no container became free {waited} (pool.maxTotal is {})",
                config.max_total
            ),
            (Miss::AgentLimit, _) => {
                format!("the agent has as many sessions as it may, and none ended {waited}")
            }
            (Miss::Draining, _) => {
                format!("the session's last container did not go away {waited}")
            }
        };
        PoolError::Exhausted {
            message,
            retry_after: Duration::from_secs(1),
        }
    }

    /// The name is for people; nothing waits for it.
    fn rename(&self, container: &ContainerId, session: &SessionId) {
        let runtime = std::sync::Arc::clone(&self.runtime);
        let (container, name) = (container.clone(), session.docker_name());
        self.tasks.spawn(async move {
            if let Err(error) = runtime.rename(&container, &name).await {
                tracing::warn!(%container, %error, "could not rename a claimed container");
            }
        });
    }
}

impl Miss {
    fn word(&self) -> &'static str {
        match self {
            Self::NoneWarm => "none_warm",
            Self::AgentLimit => "agent_limit",
            Self::Draining => "draining",
        }
    }
}

fn random_session() -> SessionId {
    SessionId::new(format!("s-{:016x}", rand::random::<u64>())).expect("s- and hex is a session id")
}
