//! The edge to the state that gateways share.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use ccpool_protocol::record::ContainerState;
use ccpool_protocol::{ContainerId, SessionId, UnixMs};

use super::{Bearer, Claims, Register, Sessions, StoreError};
use crate::container::Container;
use crate::standing::Fence;

/// A place for a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// Whose.
    pub container: ContainerId,
    /// How many containers may exist, this one included.
    pub cap: usize,
    /// What it is made from.
    pub fingerprint: String,
    /// SHA-256 of its bearer token, in hex.
    pub token_hash: String,
    /// SHA-256 of its Redis user's password, if it is to have one.
    pub acl_hash: Option<String>,
    /// Where it is to run.
    pub host: String,
}

/// The answer to a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserve {
    /// The place is taken.
    Reserved,
    /// As many as may exist do.
    AtCap,
    /// Somebody else leads by now.
    Fenced,
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
    /// It is not as it was when this was decided, or somebody else leads by now.
    Moved,
}

/// The pool's book-keeping of containers. Every method is one atomic step.
#[async_trait]
pub trait Store: Register + Claims + Sessions + Send + Sync + fmt::Debug {
    /// Whether Redis answers, and how fast.
    async fn ping(&self) -> Result<Duration, StoreError>;

    /// The pool's id: the one in Redis, or `proposal`, which is in Redis from then on.
    async fn pool_id(&self, proposal: &str) -> Result<String, StoreError>;

    /// Takes a place for a container under the cap.
    async fn reserve(&self, place: &Reservation, fence: Fence) -> Result<Reserve, StoreError>;

    /// Writes one field of a container's record, if there is one.
    async fn note(
        &self,
        container: &ContainerId,
        field: &'static str,
        value: &str,
    ) -> Result<(), StoreError>;

    /// All containers. Those that vanish while this is read are left out. An error when Redis has
    /// lost what it knew, before, meanwhile.
    async fn containers(&self) -> Result<Vec<Container>, StoreError>;

    /// One container. None: there is none; an error when Redis has lost what it knew.
    async fn container(&self, container: &ContainerId) -> Result<Option<Container>, StoreError>;

    /// Whom a token stands for that names this container: the container's own, or with `person` the
    /// one that a person was given under this name. None: there is no such container or token, or
    /// the token is for another container; an error when Redis has lost what it knew.
    async fn bearer(
        &self,
        container: &ContainerId,
        person: Option<&str>,
    ) -> Result<Option<Bearer>, StoreError>;

    /// Makes a ready container claimable. False: it was not ready, or not being created, or somebody
    /// else leads by now.
    async fn promote(
        &self,
        container: &ContainerId,
        tools: bool,
        fence: Option<Fence>,
    ) -> Result<bool, StoreError>;

    /// Writes down a container again that Redis has lost, as it was seen. False: somebody else leads
    /// by now.
    async fn restore(&self, container: &Container, fence: Fence) -> Result<bool, StoreError>;

    /// Takes a container out of service, if the condition still holds. Without a fence: whoever
    /// leads.
    async fn retire(
        &self,
        container: &ContainerId,
        to: ContainerState,
        reason: &str,
        condition: Condition<'_>,
        fence: Option<Fence>,
    ) -> Result<Retired, StoreError>;

    /// Forgets a container that is gone, and ends its session.
    async fn release(&self, container: &Container, retain: Duration) -> Result<(), StoreError>;

    /// Asks a container's wrapper to end.
    async fn stop(
        &self,
        container: &ContainerId,
        session: Option<&SessionId>,
    ) -> Result<(), StoreError>;

    /// The container of a live session. None: there is none; an error when Redis has lost what it
    /// knew.
    async fn serving(&self, session: &SessionId) -> Result<Option<ContainerId>, StoreError>;

    /// Live sessions and their containers.
    async fn sessions(&self) -> Result<Vec<(SessionId, ContainerId)>, StoreError>;
}
