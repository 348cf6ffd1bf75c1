//! Conversations in Redis, over the store's connection.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use ccpool_protocol::keys::Keys;
use redis::aio::ConnectionManager;
use redis::{AsyncCommands, ExistenceCheck, SetExpiry, SetOptions};

use super::conversations::{Conversations, Whereabouts};
use super::measured::Measured;
use super::{RedisStore, StoreError};
use crate::clock::{millis, unix_ms};

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

fn until(keep: Duration) -> u64 {
    unix_ms() + millis(keep)
}

/// The list of those that give way goes with the last of them: all are kept equally long.
fn lasts(keep: Duration) -> i64 {
    i64::try_from(millis(keep).max(1)).unwrap_or(i64::MAX)
}

/// How a record is called among those that give way.
fn member(at: &Whereabouts) -> String {
    match at {
        Whereabouts::Said(fingerprint) => format!("said:{fingerprint}"),
        Whereabouts::Named(hash) => format!("name:{hash}"),
    }
}

fn whose(member: &str) -> Option<Whereabouts> {
    match member.split_once(':')? {
        ("said", fingerprint) => Some(Whereabouts::Said(fingerprint.to_owned())),
        ("name", hash) => Some(Whereabouts::Named(hash.to_owned())),
        _ => None,
    }
}

#[async_trait]
impl Conversations for RedisConversations {
    async fn rest(
        &self,
        at: &Whereabouts,
        record: &str,
        keep: Duration,
        yields: bool,
    ) -> Result<Option<String>, StoreError> {
        let (key, yielding) = (self.key(at), self.keys.conversations());
        let mut step = redis::pipe();
        step.atomic().get(&key);
        step.set_options(&key, record, kept(keep)).ignore();
        match yields {
            true => step
                .zadd(&yielding, member(at), until(keep))
                .ignore()
                .pexpire(&yielding, lasts(keep))
                .ignore(),
            false => step.zrem(&yielding, member(at)).ignore(),
        };
        // Those whose time is over are not there any more.
        step.zrembyscore(&yielding, "-inf", unix_ms()).ignore();
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
        let mut commands = self.commands.clone();
        let set: Option<String> = set.query_async(&mut commands).await?;
        if set.is_some() {
            // One that is left out gives no way, and no more.
            let yielding = self.keys.conversations();
            let mut step = redis::pipe();
            step.zadd(&yielding, member(at), until(keep)).ignore();
            step.pexpire(&yielding, lasts(keep)).ignore();
            step.exec_async(&mut commands).await?;
        }
        Ok(set.is_some())
    }

    async fn take(&self, at: &Whereabouts) -> Result<Option<String>, StoreError> {
        let key = self.key(at);
        // GETDEL came with Redis 6.2, and `redis.acl: off` does without that.
        let mut step = redis::pipe();
        step.atomic().get(&key).del(&key).ignore();
        step.zrem(self.keys.conversations(), member(at)).ignore();
        let (record,) = step.query_async(&mut self.commands.clone()).await?;
        Ok(record)
    }

    async fn look(&self, at: &Whereabouts) -> Result<Option<String>, StoreError> {
        Ok(self.commands.clone().get(self.key(at)).await?)
    }

    async fn yielding(&self, most: usize) -> Result<Vec<(Whereabouts, String)>, StoreError> {
        let mut commands = self.commands.clone();
        let last = isize::try_from(most).unwrap_or(isize::MAX) - 1;
        let members = commands.zrange(self.keys.conversations(), 0, last).await?;
        let members: Vec<String> = members;
        let all: Vec<Whereabouts> = members.iter().filter_map(|member| whose(member)).collect();
        if all.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<String> = all.iter().map(|at| self.key(at)).collect();
        let records: Vec<Option<String>> = commands.mget(keys).await?;
        let found = all.into_iter().zip(records);
        Ok(found
            .filter_map(|(at, record)| Some((at, record?)))
            .collect())
    }
}

impl fmt::Debug for RedisConversations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConversations")
            .field("prefix", &self.keys.prefix())
            .finish_non_exhaustive()
    }
}
