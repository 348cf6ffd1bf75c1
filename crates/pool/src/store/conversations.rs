//! The edge to where conversations rest between two of their turns.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use super::StoreError;

/// Under what a conversation is found again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Whereabouts {
    /// By everything that was said in it: a fingerprint, in hex.
    Said(String),
    /// By whose it is and what it is called: the hash of both, in hex.
    Named(String),
}

/// Where conversations rest. Every method is one atomic step, and a record is forgotten when its time
/// is over. What a record says is for whoever writes it.
#[async_trait]
pub trait Conversations: Send + Sync + fmt::Debug {
    /// Writes down a record for `keep`. Gives what stood there before, which nobody finds any more.
    /// `yields`: it gives way where there is no room, see [`Self::yielding`].
    async fn rest(
        &self,
        at: &Whereabouts,
        record: &str,
        keep: Duration,
        yields: bool,
    ) -> Result<Option<String>, StoreError>;

    /// The same for one that gives way, unless there is a record already, which false tells.
    async fn rest_if_none(
        &self,
        at: &Whereabouts,
        record: &str,
        keep: Duration,
    ) -> Result<bool, StoreError>;

    /// Takes the record away: nobody else is given it.
    async fn take(&self, at: &Whereabouts) -> Result<Option<String>, StoreError>;

    /// The record, which stays where it is.
    async fn look(&self, at: &Whereabouts) -> Result<Option<String>, StoreError>;

    /// At most `most` of those that give way, first those whose time is over first. They are not
    /// taken.
    async fn yielding(&self, most: usize) -> Result<Vec<(Whereabouts, String)>, StoreError>;
}
