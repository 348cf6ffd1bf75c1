//! What gateways know of each other, in memory.

use std::time::Duration;

use async_trait::async_trait;

use super::fake_book::{Book, Lead};
use super::{FakeStore, LookNumber, Register, StoreError};
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
                // What the last one said went with its lease.
                lead.trouble = None;
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
            trouble: known.lead.trouble.clone().map(|(why, _)| why),
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
        if lead
            .owner
            .take_if(|(leader, _)| leader == gateway)
            .is_some()
        {
            lead.trouble = None;
        }
        if known.gateways.is_empty() {
            *lead = Lead::default();
        }
        Ok(known.gateways.keys().cloned().collect())
    }

    async fn draw(&self, fence: Fence) -> Result<Option<LookNumber>, StoreError> {
        let mut book = self.check()?;
        if !book.admits(fence) || !book.lead_lasts() {
            return Ok(None);
        }
        book.numbers.look += 1;
        let number = LookNumber(book.numbers.look);
        book.known.lead.drawn = number;
        Ok(Some(number))
    }

    async fn say(
        &self,
        trouble: Option<(&str, LookNumber)>,
        fence: Fence,
    ) -> Result<bool, StoreError> {
        let mut book = self.check()?;
        if !book.admits(fence) || !book.lead_lasts() {
            return Ok(false);
        }
        book.known.lead.trouble = trouble.map(|(why, number)| (why.to_owned(), number));
        Ok(true)
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
    /// Somebody leads, and its lease is not over.
    pub(super) fn lead_lasts(&self) -> bool {
        let owner = self.known.lead.owner.as_ref();
        owner.is_some_and(|(_, until)| *until > self.now)
    }

    /// Those whose time is over.
    pub(super) fn forget_gateways(&mut self) {
        let now = self.now;
        self.known.gateways.retain(|_, until| *until > now);
    }
}
