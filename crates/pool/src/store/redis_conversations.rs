//! Conversations in Redis, over the store's connection.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use ccpool_protocol::keys::Keys;
use redis::aio::ConnectionManager;
use redis::{ExistenceCheck, SetExpiry, SetOptions};

use super::conversations::{Conversations, Whereabouts};
use super::measured::Measured;
use super::{RedisStore, StoreError};
use crate::clock::millis;

/// The real ones.
pub struct RedisConversations {
    commands: Measured<ConnectionManager>,
    keys: Keys,
}

impl RedisStore {
    /// Where conversations rest on the same server.
    pub fn conversations(&self) -> RedisConversations {
        RedisConversations {
            commands: self.commands(),
            keys: self.keys.clone(),
        }
    }
}

impl RedisConversations {
    fn key(&self, at: &Whereabouts) -> String {
        match at {
            Whereabouts::Said(fingerprint) => self.keys.conversation(fingerprint),
            Whereabouts::Named(hash) => self.keys.conversation_named(hash),
        }
    }
}

fn kept(keep: Duration) -> SetOptions {
    let expiry = SetExpiry::PX(millis(keep).max(1));
    SetOptions::default().with_expiration(expiry)
}

#[async_trait]
impl Conversations for RedisConversations {
    async fn rest(
        &self,
        at: &Whereabouts,
        record: &str,
        keep: Duration,
    ) -> Result<Option<String>, StoreError> {
        let key = self.key(at);
        let mut step = redis::pipe();
        step.atomic().get(&key);
        step.set_options(&key, record, kept(keep)).ignore();
        let (before,) = step.query_async(&mut self.commands.clone()).await?;
        Ok(before)
    }

    async fn rest_if_none(
        &self,
        at: &Whereabouts,
        record: &str,
        keep: Duration,
    ) -> Result<bool, StoreError> {
        let options = kept(keep).conditional_set(ExistenceCheck::NX);
        let set = redis::Cmd::set_options(self.key(at), record, options);
        let set: Option<String> = set.query_async(&mut self.commands.clone()).await?;
        Ok(set.is_some())
    }

    async fn take(&self, at: &Whereabouts) -> Result<Option<String>, StoreError> {
        let key = self.key(at);
        // GETDEL came with Redis 6.2, and `redis.acl: off` does without that.
        let mut step = redis::pipe();
        step.atomic().get(&key).del(&key).ignore();
        let (record,) = step.query_async(&mut self.commands.clone()).await?;
        Ok(record)
    }
}

impl fmt::Debug for RedisConversations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConversations")
            .field("prefix", &self.keys.prefix())
            .finish_non_exhaustive()
    }
}
