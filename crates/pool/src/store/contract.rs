//! The edge to the state that gateways share.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use ccpool_protocol::assignment::Assignment;
use ccpool_protocol::record::ContainerState;
use ccpool_protocol::{ContainerId, SessionId, TurnId, UnixMs};

use super::StoreError;
use crate::container::Container;

/// The answer to a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserve {
    /// The place is taken.
    Reserved,
    /// As many as may exist do.
    AtCap,
}

/// What a claim asks for.
#[derive(Debug, Clone)]
pub struct ClaimTerms {
    /// For the wrapper; names the session and the agent.
    pub assignment: Assignment,
    /// How many sessions the agent may have.
    pub max_per_agent: usize,
    /// A warm container that was not heard of for this long does not count.
    pub heartbeat: Duration,
}

/// The answer to a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimOutcome {
    /// This container is the session's now, and still has to be told.
    Claimed {
        /// Which.
        container: ContainerId,
        /// SHA-256 of its Redis user's password, if it has one.
        acl_hash: Option<String>,
    },
    /// The session has one already.
    Live(ContainerId),
    /// The session's container is on its way out.
    Draining(ContainerId),
    /// The agent has as many as it may.
    AgentLimit,
    /// Nothing is warm.
    NoneWarm,
}

/// What must still be so when a container is taken out of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition<'a> {
    /// Nothing.
    None,
    /// It serves this session.
    Serves(&'a SessionId),
    /// It serves this session, no turn runs, and nothing has happened since this time.
    Quiet(&'a SessionId, UnixMs),
}

/// The answer to taking a container out of service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retired {
    /// It is out of service; this session was on it.
    Out(Option<SessionId>),
    /// Nobody knows it any more.
    Gone,
    /// It is not as it was when this was decided.
    Moved,
}

/// The answer to a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushOutcome {
    /// It lies in the session's input; the session was at this `seq`.
    Pushed { seq: u64 },
    /// The same idempotency key has brought this turn already.
    Repeated(TurnId),
    /// There is no such live session.
    Unknown,
}

/// A part of a session's buffer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Envelopes, oldest first.
    pub envelopes: Vec<String>,
    /// The buffer goes on after them.
    pub more: bool,
}

/// The pool's book-keeping. Every method is one atomic step.
#[async_trait]
pub trait Store: Send + Sync + fmt::Debug {
    /// Whether Redis answers, and how fast.
    async fn ping(&self) -> Result<Duration, StoreError>;

    /// The pool's id: the one in Redis, or `proposal`, which is in Redis from then on.
    async fn pool_id(&self, proposal: &str) -> Result<String, StoreError>;

    /// Takes a place for a container under the cap. The hashes are of its bearer token and of its
    /// Redis user's password, if it is to have one.
    async fn reserve(
        &self,
        container: &ContainerId,
        cap: usize,
        fingerprint: &str,
        token_hash: &str,
        acl_hash: Option<&str>,
    ) -> Result<Reserve, StoreError>;

    /// Writes one field of a container's record, if there is one.
    async fn note(
        &self,
        container: &ContainerId,
        field: &'static str,
        value: &str,
    ) -> Result<(), StoreError>;

    /// All containers. Those that vanish while this is read are left out.
    async fn containers(&self) -> Result<Vec<Container>, StoreError>;

    /// One container, with the hash of its token.
    async fn container(
        &self,
        container: &ContainerId,
    ) -> Result<Option<(Container, String)>, StoreError>;

    /// Makes a ready container claimable. False: it was not ready, or not being created.
    async fn promote(&self, container: &ContainerId, tools: bool) -> Result<bool, StoreError>;

    /// Binds a warm container to a session.
    async fn claim(&self, terms: &ClaimTerms) -> Result<ClaimOutcome, StoreError>;

    /// Takes a container out of service, if the condition still holds.
    async fn retire(
        &self,
        container: &ContainerId,
        to: ContainerState,
        reason: &str,
        condition: Condition<'_>,
    ) -> Result<Retired, StoreError>;

    /// Forgets a container that is gone, and ends its session.
    async fn release(&self, container: &Container, retain: Duration) -> Result<(), StoreError>;

    /// Live sessions and their containers.
    async fn sessions(&self) -> Result<Vec<(SessionId, ContainerId)>, StoreError>;

    /// A session's state; empty when it is not known (any more).
    async fn session_state(
        &self,
        session: &SessionId,
    ) -> Result<HashMap<String, String>, StoreError>;

    /// Appends a prompt to a live session's input. `idempotency`: the caller's key, and how long
    /// it is remembered.
    async fn push(
        &self,
        session: &SessionId,
        turn: &TurnId,
        item: &str,
        idempotency: Option<(&str, Duration)>,
    ) -> Result<PushOutcome, StoreError>;

    /// Publishes on a session's control channel. Tells how many heard it.
    async fn control(&self, session: &SessionId, message: &str) -> Result<u64, StoreError>;

    /// The session's buffered envelopes after `after`, oldest first: as many as make a page.
    async fn page(&self, session: &SessionId, after: Option<u64>) -> Result<Page, StoreError>;

    /// The newest turn's terminal event, as JSON.
    async fn result(&self, session: &SessionId) -> Result<Option<String>, StoreError>;

    /// Prompts that were taken and not answered, then those not taken.
    async fn unanswered(&self, session: &SessionId) -> Result<Vec<Vec<u8>>, StoreError>;

    /// Ends turns for a wrapper that is gone: appends the envelopes if the session's `seq` is still
    /// what was read (`from`; empty for none) and as many prompts as `prompts` were taken or wait,
    /// sets it to `to` and sets `result`, empties `inflight`
    /// and `input`. From then on nothing of that wrapper's counts. False: it has moved on.
    async fn conclude(
        &self,
        session: &SessionId,
        from: &str,
        to: u64,
        prompts: usize,
        envelopes: &[String],
        result: &str,
    ) -> Result<bool, StoreError>;
}
