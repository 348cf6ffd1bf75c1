//! What gateways know of each other, in memory.

use std::time::Duration;

use async_trait::async_trait;

use super::fake_book::Book;
use super::{FakeStore, Register, StoreError};
use crate::clock::millis;
use crate::gateway::GatewayId;
use crate::standing::{Fence, Settings, Standing};

#[async_trait]
impl Register for FakeStore {
    async fn attend(
        &self,
        gateway: &GatewayId,
        keep: Duration,
        pool: &str,
    ) -> Result<Standing, StoreError> {
        let mut book = self.check()?;
        book.forget_gateways();
        let until = book.now + millis(keep);
        book.known.gateways.insert(gateway.clone(), until);
        let now = book.now;
        let lead = &mut book.known.lead;
        match &mut lead.owner {
            Some((leader, theirs)) if *theirs > now => {
                if leader == gateway {
                    *theirs = until;
                }
            }
            Some(_) | None => {
                lead.owner = Some((gateway.clone(), until));
                let fence = book.numbers.fence.max(now) + 1;
                book.numbers.fence = fence;
                book.known.lead.fence = Some(fence);
            }
        }
        let known = &book.known;
        let leader = known.lead.owner.as_ref().map(|(leader, _)| leader.clone());
        let leads = leader.as_ref() == Some(gateway);
        Ok(Standing {
            now,
            fence: known.lead.fence.filter(|_| leads).map(Fence),
            leader,
            gateways: known.gateways.keys().cloned().collect(),
            settings: Settings::from_hash(&known.settings),
            emptied: known.pool.as_deref() != Some(pool),
            settled: true,
        })
    }

    async fn leave(&self, gateway: &GatewayId) -> Result<Vec<GatewayId>, StoreError> {
        let mut book = self.check()?;
        book.forget_gateways();
        let known = &mut book.known;
        known.gateways.remove(gateway);
        let lead = &mut known.lead;
        // What it has begun still counts, until the next one leads.
        lead.owner.take_if(|(leader, _)| leader == gateway);
        if known.gateways.is_empty() {
            lead.owner = None;
            lead.fence = None;
        }
        Ok(known.gateways.keys().cloned().collect())
    }

    async fn set(&self, settings: &[(&'static str, Option<String>)]) -> Result<(), StoreError> {
        let mut book = self.check()?;
        for (name, value) in settings {
            match value {
                Some(value) => book
                    .known
                    .settings
                    .insert((*name).to_owned(), value.clone()),
                None => book.known.settings.remove(*name),
            };
        }
        Ok(())
    }

    async fn nudge(&self) -> Result<usize, StoreError> {
        // Nobody listens to a fake.
        self.check().map(|_| 0)
    }
}

impl Book {
    /// Those whose time is over.
    pub(super) fn forget_gateways(&mut self) {
        let now = self.now;
        self.known.gateways.retain(|_, until| *until > now);
    }
}
