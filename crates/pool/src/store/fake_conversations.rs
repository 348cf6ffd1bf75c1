//! Conversations in memory: the contract as a model that can be read, and be told to fail.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ccpool_protocol::UnixMs;

use super::StoreError;
use super::conversations::{Conversations, Whereabouts};
use crate::clock::millis;

/// Records that exist only in memory. Its clock stands still until [`Self::advance`].
#[derive(Debug, Default)]
pub struct FakeConversations {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    now: UnixMs,
    failing: Option<&'static str>,
    records: HashMap<Whereabouts, Kept>,
}

#[derive(Debug)]
struct Kept {
    record: String,
    until: UnixMs,
    yields: bool,
}

impl Known {
    fn keep(&self, record: &str, keep: Duration, yields: bool) -> Kept {
        Kept {
            record: record.to_owned(),
            until: self.now + millis(keep).max(1),
            yields,
        }
    }
}

impl FakeConversations {
    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        let mut known = self.known();
        known.now += millis(by);
        let now = known.now;
        known.records.retain(|_, kept| kept.until > now);
    }

    /// From now on every call fails with this detail, or none does.
    pub fn fail(&self, detail: Option<&'static str>) {
        self.known().failing = detail;
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For every method of the contract.
    fn check(&self) -> Result<MutexGuard<'_, Known>, StoreError> {
        let known = self.known();
        match known.failing {
            Some(detail) => Err(StoreError::Unreachable {
                source: std::io::Error::other(detail).into(),
            }),
            None => Ok(known),
        }
    }
}

#[async_trait]
impl Conversations for FakeConversations {
    async fn rest(
        &self,
        at: &Whereabouts,
        record: &str,
        keep: Duration,
        yields: bool,
    ) -> Result<Option<String>, StoreError> {
        let mut known = self.check()?;
        let kept = known.keep(record, keep, yields);
        let before = known.records.insert(at.clone(), kept);
        Ok(before.map(|before| before.record))
    }

    async fn rest_if_none(
        &self,
        at: &Whereabouts,
        record: &str,
        keep: Duration,
    ) -> Result<bool, StoreError> {
        let mut known = self.check()?;
        if known.records.contains_key(at) {
            return Ok(false);
        }
        let kept = known.keep(record, keep, true);
        known.records.insert(at.clone(), kept);
        Ok(true)
    }

    async fn take(&self, at: &Whereabouts) -> Result<Option<String>, StoreError> {
        let taken = self.check()?.records.remove(at);
        Ok(taken.map(|taken| taken.record))
    }

    async fn look(&self, at: &Whereabouts) -> Result<Option<String>, StoreError> {
        let known = self.check()?;
        Ok(known.records.get(at).map(|kept| kept.record.clone()))
    }

    async fn yielding(&self, most: usize) -> Result<Vec<(Whereabouts, String)>, StoreError> {
        let known = self.check()?;
        let mut all: Vec<_> = known
            .records
            .iter()
            .filter(|(_, kept)| kept.yields)
            .collect();
        all.sort_by_key(|(_, kept)| kept.until);
        let first = all.into_iter().take(most);
        Ok(first
            .map(|(at, kept)| (at.clone(), kept.record.clone()))
            .collect())
    }
}
