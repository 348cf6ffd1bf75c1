//! The edge to claims: who gets a container, and who waits.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use ccpool_protocol::ContainerId;
use ccpool_protocol::assignment::Assignment;

use super::{LookNumber, StoreError};
use crate::container::Container;
use crate::gateway::GatewayId;
use crate::standing::Fence;

/// The place of a claim in the queue of those that wait.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub String);

/// The number of a claim: what was begun for it does not count once another gateway has taken it
/// over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClaimNumber(pub u64);

/// Claims that wait, in all gateways.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Queue {
    /// All of them.
    pub waiting: usize,
    /// Those that another container would serve: their agents may have more sessions.
    pub servable: usize,
}

/// Whether another container can be started, by what the gateway that leads has said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outlook {
    /// Why none can be, and the look that has shown it. None: it says nothing of the kind, or its
    /// lease is over.
    pub trouble: Option<(String, LookNumber)>,
    /// The number that was drawn last.
    pub drawn: LookNumber,
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
    /// Who claims, and holds the claim until it is gone itself.
    pub gateway: GatewayId,
    /// From the last attempt, if this is not the first one.
    pub ticket: Option<Ticket>,
    /// How long the place in the queue is kept without another attempt.
    pub keep: Duration,
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
        /// By which the claim is told from later ones.
        number: ClaimNumber,
    },
    /// The session has one already.
    Live(ContainerId),
    /// The session's container is on its way out.
    Draining(ContainerId),
    /// The agent has as many as it may.
    AgentLimit(Ticket),
    /// Nothing is warm that others do not wait for.
    NoneWarm(Ticket, Outlook),
    /// Redis has lost what it knew, and no gateway has written it down again yet.
    Emptied,
}

/// Binding containers to sessions. Every method is one atomic step.
#[async_trait]
pub trait Claims: Send + Sync + fmt::Debug {
    /// Binds a warm container to a session, unless others were there before.
    async fn claim(&self, terms: &ClaimTerms) -> Result<ClaimOutcome, StoreError>;

    /// Gives up a place in the queue.
    async fn withdraw(&self, ticket: &Ticket) -> Result<(), StoreError>;

    /// Who waits.
    async fn queue(&self) -> Result<Queue, StoreError>;

    /// Takes over the claim of a gateway that is gone. False: it is not as it was seen, or somebody
    /// else leads by now.
    async fn adopt(
        &self,
        container: &Container,
        heir: &GatewayId,
        fence: Fence,
    ) -> Result<bool, StoreError>;
}
