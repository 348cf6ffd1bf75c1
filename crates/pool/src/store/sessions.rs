//! The edge to what sessions keep: prompts, envelopes, state.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use ccpool_protocol::{ContainerId, SessionId, TurnId};

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

/// How the turns of a session end whose wrapper is gone.
#[derive(Debug, Clone, Copy)]
pub struct Conclusion<'a> {
    /// The session's `seq` as it was read; empty for none. Another one: it has moved on.
    pub from: &'a str,
    /// The `seq` of the newest envelope.
    pub to: u64,
    /// How many prompts this is for: those that were taken or wait. More or fewer: it has moved on.
    pub prompts: usize,
    /// The endings.
    pub envelopes: &'a [String],
    /// The newest ending.
    pub result: &'a str,
    /// What the transcript gets.
    pub entries: &'a [String],
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
    /// it is remembered. `on`: the only container that it is for; on another one the session is
    /// unknown.
    async fn push(
        &self,
        session: &SessionId,
        turn: &TurnId,
        item: &str,
        idempotency: Option<(&str, Duration)>,
        on: Option<&ContainerId>,
    ) -> Result<PushOutcome, StoreError>;

    /// Publishes on a session's control channel. Tells how many heard it.
    async fn control(&self, session: &SessionId, message: &str) -> Result<u64, StoreError>;

    /// The session's buffered envelopes after `after`, oldest first: as many as make a page.
    async fn page(&self, session: &SessionId, after: Option<u64>) -> Result<Page, StoreError>;

    /// The newest turn's terminal event, as JSON.
    async fn result(&self, session: &SessionId) -> Result<Option<String>, StoreError>;

    /// Prompts that were taken and not answered, then those not taken.
    async fn unanswered(&self, session: &SessionId) -> Result<Vec<Vec<u8>>, StoreError>;

    /// Ends turns for a wrapper that is gone, if it has not moved on, which false tells. Empties
    /// `inflight` and `input`. From then on nothing of that wrapper's counts.
    async fn conclude(
        &self,
        session: &SessionId,
        conclusion: &Conclusion<'_>,
    ) -> Result<bool, StoreError>;

    /// Over how many sessions a turn's prompt has come; 0 where nothing is known.
    async fn hops(&self, session: &SessionId, turn: &TurnId) -> Result<u32, StoreError>;

    /// Writes down over how many sessions a turn's prompt has come.
    async fn note_hops(
        &self,
        session: &SessionId,
        turn: &TurnId,
        hops: u32,
        kept: Duration,
    ) -> Result<(), StoreError>;

    /// Writes down that one session waits for another, for `at_most` that long. False, and nothing
    /// is written down: the other one waits for it, directly or over others.
    async fn begin_wait(
        &self,
        waiter: &SessionId,
        awaited: &SessionId,
        at_most: Duration,
    ) -> Result<bool, StoreError>;

    /// It waits no more.
    async fn end_wait(&self, waiter: &SessionId, awaited: &SessionId) -> Result<(), StoreError>;

    /// Keeps the hash of a token that acts as the session on this container, under its name.
    async fn keep_pass(
        &self,
        id: &str,
        hash: &str,
        container: &ContainerId,
        kept: Duration,
    ) -> Result<(), StoreError>;

    /// What was asked and answered: of the newest turns but `skip`, as many as `limit`, the oldest
    /// first, and how many there are in all.
    async fn transcript(
        &self,
        session: &SessionId,
        skip: usize,
        limit: usize,
    ) -> Result<(Vec<String>, usize), StoreError>;
}
