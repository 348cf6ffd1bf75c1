//! The edge to what gateways know of each other.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use super::StoreError;
use crate::gateway::GatewayId;
use crate::standing::{Fence, Standing};

/// The number of a look. It is drawn before the look asks for anything, and above every one that was
/// drawn before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LookNumber(pub u64);

/// Which gateways there are, who leads, and what was changed while the pool runs. Every method is one
/// atomic step.
#[async_trait]
pub trait Register: Send + Sync + fmt::Debug {
    /// Keeps a gateway registered for `keep`, lets it lead when nobody does, and tells it how it
    /// stands. `pool`: the pool's id as the gateway knows it.
    async fn attend(
        &self,
        gateway: &GatewayId,
        keep: Duration,
        pool: &str,
    ) -> Result<Standing, StoreError>;

    /// Takes a gateway out of the register; another one may lead at once. Returns those that remain:
    /// of several that leave at the same time one alone is told that there is nobody.
    async fn leave(&self, gateway: &GatewayId) -> Result<Vec<GatewayId>, StoreError>;

    /// Draws the number of a look, before it asks whether containers can be started. None: somebody
    /// else leads by now, or nobody.
    async fn draw(&self, fence: Fence) -> Result<Option<LookNumber>, StoreError>;

    /// Writes down why no container can be started, as this look has shown, or with None that they can
    /// be, and tells all gateways. It stands until it is said otherwise, and not longer than the
    /// leader's lease. False: somebody else leads by now, or nobody.
    async fn say(
        &self,
        trouble: Option<(&str, LookNumber)>,
        fence: Fence,
    ) -> Result<bool, StoreError>;

    /// Changes settings, or with None resets them, and tells all gateways.
    async fn set(&self, settings: &[(&'static str, Option<String>)]) -> Result<(), StoreError>;

    /// Tells all gateways that something has changed. Returns how many hear it: those that are
    /// connected, whatever the register says.
    async fn nudge(&self) -> Result<usize, StoreError>;
}
