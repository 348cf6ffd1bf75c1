//! The edge to what sessions keep: prompts, envelopes, state.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use ccpool_protocol::{SessionId, TurnId};

use super::StoreError;

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

/// What is kept of sessions. Every method is one atomic step.
#[async_trait]
pub trait Sessions: Send + Sync + fmt::Debug {
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
