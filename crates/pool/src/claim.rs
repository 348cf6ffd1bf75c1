//! Getting a container for a session.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ccpool_protocol::assignment::{Assignment, Parent};
use ccpool_protocol::record::ContainerState;
use ccpool_protocol::{AgentId, ContainerId, SessionId, UnixMs};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::clock::unix_ms;
use crate::error::PoolError;
use crate::launch::{boot_model, heartbeat_limit};
use crate::output_schema::OutputSchema;
use crate::pool::{Inner, Pool};
use crate::provider::room;
use crate::store::{ClaimOutcome, ClaimTerms, Condition, LookNumber, Outlook, StoreError, Ticket};

/// Redis takes less, unless something is wrong.
const SLOW: Duration = Duration::from_millis(100);
/// How often a waiting claim comes back at least; its place in the queue is kept for three times
/// that.
const COME_BACK: Duration = Duration::from_millis(500);
/// How long who has made room waits for the container that it made room for, whatever else its time is.
const ROOM_LASTS: Duration = Duration::from_secs(10);

/// What a claim asks for. Everything may be left out.
#[derive(Debug, Clone, Default)]
pub struct ClaimRequest {
    /// The session's name; made up when left out.
    pub session: Option<SessionId>,
    /// On whose behalf.
    pub agent: AgentId,
    /// Another model than the configured one: an alias or a full id.
    pub model: Option<String>,
    /// The system prompt, in the place of the one that Claude Code has. What is appended comes after it.
    pub system_prompt: Option<String>,
    /// Appended to the system prompt, instead of what is configured.
    pub append_system_prompt: Option<String>,
    /// The form of its answers: each turn ends with a `structured_output` that fits it.
    pub output_schema: Option<OutputSchema>,
    /// The session that asks for this one, and how many generations there are before it; none for a
    /// person's.
    pub parent: Option<Parent>,
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

/// The place of a claim in the queue; given up when it no longer waits, however it ends.
struct Place {
    inner: Arc<Inner>,
    ticket: Option<Ticket>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else {
            return;
        };
        let inner = Arc::clone(&self.inner);
        self.inner.tasks.spawn(async move {
            // What cannot be told now, its deadline says soon.
            if let Err(error) = inner.store.withdraw(&ticket).await {
                tracing::debug!(%error, "could not give up a place in the queue");
            }
        });
    }
}

/// A container that was bound, until its claim is answered. It lets the reconcilers look however the
/// claim ends: a successor is missing, and a claim that is cut off may leave the container untold.
struct Bound {
    inner: Arc<Inner>,
    container: ContainerId,
    /// Nobody but this claim can know it: without an answer the session is of no use.
    secret: Option<SessionId>,
}

impl Drop for Bound {
    fn drop(&mut self) {
        self.inner.changed();
        let Some(session) = self.secret.take() else {
            return;
        };
        let (inner, container) = (Arc::clone(&self.inner), self.container.clone());
        self.inner.tasks.spawn(async move {
            let (to, why) = (ContainerState::Draining, "its claim was given up");
            let serves = Condition::Serves(&session);
            match inner.store.retire(&container, to, why, serves, None).await {
                Ok(_) => inner.changed(),
                // It ends when it has been idle for long enough.
                Err(error) => tracing::debug!(%error, "could not end a session that nobody knows"),
            }
        });
    }
}

/// Why nothing was to be had so far.
enum Miss {
    NoneWarm(Outlook),
    AgentLimit,
    /// The session's last container is still on its way out.
    Draining,
    /// Redis has lost what it knew.
    Emptied,
}

impl Pool {
    /// Binds a warm container to a session, or finds the one that serves it. Waits up to
    /// `pool.claimTimeoutMs` for one.
    ///
    /// # Errors
    /// `Exhausted` when none is free in time, `Unavailable` when Redis is away, or none can be started.
    #[tracing::instrument(level = "debug", skip_all, fields(session, container))]
    pub async fn claim(&self, request: ClaimRequest) -> Result<Claimed, PoolError> {
        let answer = self.bind(request).await;
        let outcome = match &answer {
            Ok(claimed) if claimed.created => "claimed",
            Ok(_) => "live",
            Err(error) => error.kind().as_str(),
        };
        metrics::counter!("ccpool_claims_total", "outcome" => outcome).increment(1);
        answer
    }

    async fn bind(&self, request: ClaimRequest) -> Result<Claimed, PoolError> {
        let inner = &*self.inner;
        inner.is_open()?;
        let begun = Instant::now();
        let named = request.session.is_some();
        let session = request.session.clone().unwrap_or_else(random_session);
        tracing::Span::current().record("session", tracing::field::display(&session));
        let mut terms = inner.terms(session.clone(), request);
        let mut deadline = begun + inner.config.pool.claim_timeout;
        let (asked_at, looks) = (unix_ms(), inner.seen.borrow().looks);
        let mut place = Place {
            inner: Arc::clone(&self.inner),
            ticket: None,
        };
        let mut waited = false;
        let mut made_room = false;
        // The leader's newest look when this claim first found nothing warm.
        let mut before = None;
        let mut bound = None;
        let (container, created) = loop {
            // Registered before the attempt, so that what is freed meanwhile is not slept through.
            let freed = inner.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            terms.ticket.clone_from(&place.ticket);
            // It may have been changed while this waits.
            terms.max_per_agent = inner.most_sessions(&terms.assignment.agent);
            let miss = match inner.unless_lost(inner.store.claim(&terms)).await? {
                ClaimOutcome::Claimed {
                    container,
                    acl_hash,
                    number,
                } => {
                    place.ticket = None;
                    bound = Some(Bound {
                        inner: Arc::clone(&self.inner),
                        container: container.clone(),
                        secret: (!named).then(|| session.clone()),
                    });
                    let hash = acl_hash.as_deref();
                    let told = inner.users.deliver(&container, &session, hash, number);
                    inner.unless_lost(told).await?;
                    break (container, true);
                }
                ClaimOutcome::Live(container) => {
                    place.ticket = None;
                    break (container, false);
                }
                ClaimOutcome::NoneWarm(ticket, outlook) => {
                    place.ticket = Some(ticket);
                    Miss::NoneWarm(outlook)
                }
                ClaimOutcome::AgentLimit(ticket) => {
                    place.ticket = Some(ticket);
                    Miss::AgentLimit
                }
                ClaimOutcome::Draining(_) => Miss::Draining,
                ClaimOutcome::Emptied => Miss::Emptied,
            };
            if !waited {
                metrics::counter!("ccpool_claim_misses_total", "reason" => miss.word())
                    .increment(1);
            }
            let first = before.is_none() && matches!(miss, Miss::NoneWarm(_));
            if !waited || first {
                // All look, and the leader says how it is.
                self.inner.changed();
            }
            waited = true;
            if let Some(hopeless) = miss.hopeless(&mut before) {
                return Err(hopeless);
            }
            // What is on its way out or in may do, so not at once, but before this is refused.
            let patient = Instant::now() < deadline.min(begun + COME_BACK);
            if !made_room && !patient && inner.is_full(&miss, looks).await {
                let agent = &terms.assignment.agent;
                let own = matches!(miss, Miss::AgentLimit).then_some(agent);
                made_room = room::make(&self.inner, own).await;
                if made_room {
                    // Nobody's conversation is to have ended for nothing.
                    deadline = deadline.max(Instant::now() + ROOM_LASTS);
                }
            }
            if Instant::now() >= deadline {
                return Err(inner.exhausted(&miss, asked_at, deadline - begun));
            }
            // Coming back keeps the place; nothing is lost when nothing was freed.
            let soon = deadline.min(Instant::now() + COME_BACK);
            let _ = tokio::time::timeout_at(soon, freed).await;
            inner.is_open()?;
        };
        tracing::Span::current().record("container", tracing::field::display(&container));
        let took = begun.elapsed();
        metrics::histogram!("ccpool_claim_seconds").record(took.as_secs_f64());
        if let Some(bound) = &mut bound {
            bound.secret = None;
            tracing::info!(%session, %container, "claimed");
            inner.courtesy.claimed(Instant::now());
            inner.rename(&container, &session);
        }
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
    /// Whether the pool takes sessions.
    fn is_open(&self) -> Result<(), PoolError> {
        let closed = self.closed.load(Ordering::Relaxed);
        let draining = self.attendance.known().settings().draining;
        let message = match (closed, draining) {
            (true, _) => "the gateway is shutting down and takes no new sessions",
            (false, true) => "the pool is draining and takes no new sessions",
            (false, false) => return Ok(()),
        };
        Err(PoolError::Exhausted {
            message: message.to_owned(),
            retry_after: Duration::from_secs(5),
        })
    }

    /// Gives up on Redis as soon as it is known not to answer.
    pub(crate) async fn unless_lost<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let mut known = self.attendance.subscribe();
        if known.borrow().lost {
            return Err(StoreError::silent());
        }
        tokio::pin!(work);
        let slow = tokio::time::timeout(SLOW, &mut work);
        if let Ok(done) = slow.await {
            return done;
        }
        // Whether Redis answers anybody is asked at once, not with the next renewal.
        self.attendance.ask();
        tokio::select! {
            biased;
            done = work => done,
            // What was asked may be done all the same: the reconciler finds it.
            _ = known.wait_for(|known| known.lost) => Err(StoreError::silent()),
        }
    }

    /// How many sessions an agent may have.
    fn most_sessions(&self, agent: &AgentId) -> usize {
        let own = self.config.agents.get(agent.as_str());
        let limits = self.limits(self.attendance.known().settings());
        own.and_then(|own| own.max_containers)
            .unwrap_or(limits.max_per_agent) as usize
    }

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
        let max_per_agent = self.most_sessions(&request.agent);
        ClaimTerms {
            assignment: Assignment {
                session,
                agent: request.agent,
                model,
                system_prompt: request.system_prompt,
                append_system_prompt: request.append_system_prompt.or(own.append_system_prompt),
                output_schema: request.output_schema.map(OutputSchema::into_map),
                parent: request.parent,
            },
            max_per_agent,
            heartbeat: heartbeat_limit(&self.config),
            gateway: self.attendance.me.clone(),
            ticket: None,
            keep: COME_BACK * 3,
        }
    }

    /// Nothing will be free unless a session ends, by what the reconciler has seen since the claim. It
    /// was asked to look; that is waited for only where it looks like it.
    async fn is_full(&self, miss: &Miss, looks: u64) -> bool {
        match miss {
            Miss::AgentLimit => true,
            Miss::NoneWarm(_) => {
                let mut seen = self.seen.subscribe();
                if !seen.borrow().is_full() {
                    return false;
                }
                // A longer wait would cost the place in the queue.
                let since = seen.wait_for(|seen| seen.looks > looks);
                let since = tokio::time::timeout(COME_BACK * 2, since).await;
                matches!(since, Ok(Ok(seen)) if seen.is_full())
            }
            Miss::Draining | Miss::Emptied => false,
        }
    }

    /// The time is over: what stood in the way.
    fn exhausted(&self, miss: &Miss, asked_at: UnixMs, waited: Duration) -> PoolError {
        let waited = format!("within {} ms", waited.as_millis());
        let failure = self
            .failures()
            .pop_back()
            .filter(|failure| failure.at >= asked_at);
        let in_vain = |why: &str, mend: &str| PoolError::Unavailable {
            what: format!("no container became warm {waited}: {why}"),
            mend: mend.to_owned(),
            source: None,
        };
        let message = match miss {
            Miss::NoneWarm(outlook) => match (&outlook.trouble, failure) {
                (Some((trouble, _)), _) => return in_vain(trouble, "see `ccpool doctor`"),
                (None, Some(failure)) => {
                    let mend = "see `ccpool status` and the gateway's log";
                    return in_vain(&failure.reason, mend);
                }
                (None, None) => format!(
                    "no container became free {waited} (pool.maxTotal is {})",
                    self.seen.borrow().limits.max_total
                ),
            },
            Miss::AgentLimit => {
                format!("the agent has as many sessions as it may, and none ended {waited}")
            }
            Miss::Draining => {
                format!("the session's last container did not go away {waited}")
            }
            Miss::Emptied => return StoreError::Emptied.into(),
        };
        PoolError::Exhausted {
            message,
            retry_after: Duration::from_secs(1),
        }
    }

    /// The name is for people; nothing waits for it.
    fn rename(&self, container: &ContainerId, session: &SessionId) {
        let runtime = Arc::clone(&self.runtime);
        let (container, name) = (container.clone(), session.docker_name());
        self.tasks.spawn(async move {
            if let Err(error) = runtime.rename(&container, &name).await {
                tracing::warn!(%container, %error, "could not rename a claimed container");
            }
        });
    }
}

impl Miss {
    /// Nothing is warm, and nothing will be: waiting is in vain. Only who leads starts containers, so
    /// what it says holds in every gateway.
    ///
    /// No claim is ended by what was found out before it came. A look of the leader draws its number
    /// before it asks the runtime, and says under that number what it was told. `before` is the newest
    /// number when this claim first found nothing warm, so whatever is said under a higher one was
    /// asked for since. Redis tells both in the step that finds nothing warm; so what was taken back by
    /// then, or whose leader's lease is over, ends no claim either.
    fn hopeless(&self, before: &mut Option<LookNumber>) -> Option<PoolError> {
        let Self::NoneWarm(outlook) = self else {
            return None;
        };
        let before = *before.get_or_insert(outlook.drawn);
        let (trouble, look) = outlook.trouble.as_ref()?;
        (*look > before).then(|| PoolError::Unavailable {
            what: format!("no container can be started: {trouble}"),
            mend: "see `ccpool doctor`".to_owned(),
            source: None,
        })
    }

    fn word(&self) -> &'static str {
        match self {
            Self::NoneWarm(_) => "none_warm",
            Self::AgentLimit => "agent_limit",
            Self::Draining => "draining",
            Self::Emptied => "emptied",
        }
    }
}

fn random_session() -> SessionId {
    SessionId::new(format!("s-{:016x}", rand::random::<u64>())).expect("s- and hex is a session id")
}
