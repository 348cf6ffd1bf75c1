//! What sessions keep, in Redis: short commands over the shared connection, long reads over pooled
//! ones.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use ccpool_protocol::state::field;
use ccpool_protocol::{ContainerId, SessionId, TurnId, transcript};
use redis::AsyncCommands;

use super::answer::{pool_error, unexpected};
use super::measured::Measured;
use super::{Conclusion, Page, PushOutcome, RedisStore, Sessions, StoreError};
use crate::clock::millis;

/// Most envelopes in a page.
pub(super) const PAGE_ENVELOPES: usize = 500;
/// A page ends with the envelope that brings it to this many bytes.
pub(super) const PAGE_BYTES: usize = 1 << 20;

#[async_trait]
impl Sessions for RedisStore {
    async fn session_state(
        &self,
        session: &SessionId,
    ) -> Result<HashMap<String, String>, StoreError> {
        let state: HashMap<String, String> = self
            .commands()
            .hgetall(self.keys.session(session).state)
            .await?;
        // A wrapper that lives writes into it also when Redis has lost the rest.
        if !state.contains_key(field::STATUS) {
            self.unless_emptied().await?;
        }
        Ok(state)
    }

    async fn push(
        &self,
        session: &SessionId,
        turn: &TurnId,
        item: &str,
        idempotency: Option<(&str, Duration)>,
        on: Option<&ContainerId>,
    ) -> Result<PushOutcome, StoreError> {
        let keys = self.keys.session(session);
        let mut script = self.scripts.push.prepare_invoke();
        script
            .key(self.keys.sessions())
            .key(keys.input)
            .key(keys.state)
            .key(self.keys.pool_id());
        script
            .arg(session.as_str())
            .arg(item)
            .arg(turn.as_str())
            .arg(self.container_prefix());
        match idempotency {
            Some((key, kept)) => script
                .key(self.keys.idempotency(session, key))
                .arg(millis(kept)),
            None => script.arg(""),
        };
        script.arg(on.map_or("", ContainerId::as_str));
        let answer: Vec<String> = script.invoke_async(&mut self.commands()).await?;
        match (answer.first().map(String::as_str), answer.get(1)) {
            (Some("ok"), Some(seq)) => Ok(PushOutcome::Pushed {
                seq: seq.parse().unwrap_or(0),
            }),
            (Some("repeated"), Some(turn)) => match TurnId::new(turn.as_str()) {
                Ok(turn) => Ok(PushOutcome::Repeated(turn)),
                Err(error) => Err(StoreError::Broken(error.to_string())),
            },
            (Some("unknown"), _) => Ok(PushOutcome::Unknown),
            (Some("emptied"), _) => Err(StoreError::Emptied),
            (other, _) => Err(unexpected("push", other.unwrap_or("nothing"))),
        }
    }

    async fn control(&self, session: &SessionId, message: &str) -> Result<u64, StoreError> {
        Ok(self
            .commands()
            .publish(self.keys.session(session).control, message)
            .await?)
    }

    async fn page(&self, session: &SessionId, after: Option<u64>) -> Result<Page, StoreError> {
        let mut bulk = Measured::new(self.bulk.get().await.map_err(pool_error)?);
        let (more, envelopes): (bool, Vec<String>) = self
            .scripts
            .read
            .key(self.keys.session(session).output_buffer)
            .arg(after.map_or(String::new(), |seq| seq.to_string()))
            .arg(PAGE_ENVELOPES)
            .arg(PAGE_BYTES)
            .invoke_async(&mut bulk)
            .await?;
        Ok(Page { envelopes, more })
    }

    async fn result(&self, session: &SessionId) -> Result<Option<String>, StoreError> {
        Ok(self
            .commands()
            .get(self.keys.session(session).result)
            .await?)
    }

    async fn unanswered(&self, session: &SessionId) -> Result<Vec<Vec<u8>>, StoreError> {
        let keys = self.keys.session(session);
        let mut bulk = Measured::new(self.bulk.get().await.map_err(pool_error)?);
        let (mut items, waiting): (Vec<Vec<u8>>, Vec<Vec<u8>>) = redis::pipe()
            .atomic()
            .lrange(keys.inflight, 0, -1)
            .lrange(keys.input, 0, -1)
            .query_async(&mut bulk)
            .await?;
        items.extend(waiting);
        Ok(items)
    }

    async fn conclude(
        &self,
        session: &SessionId,
        conclusion: &Conclusion<'_>,
    ) -> Result<bool, StoreError> {
        let keys = self.keys.session(session);
        let code: String = self
            .scripts
            .conclude
            .key(keys.output_buffer)
            .key(keys.state)
            .key(keys.result)
            .key(keys.inflight)
            .key(keys.input)
            .key(keys.transcript)
            .arg(keys.output)
            .arg(self.output_buffer)
            .arg(conclusion.from)
            .arg(conclusion.result)
            .arg(conclusion.prompts)
            .arg(conclusion.to)
            .arg(transcript::TURNS)
            .arg(conclusion.envelopes.len())
            .arg(conclusion.envelopes)
            .arg(conclusion.entries)
            .invoke_async(&mut self.commands())
            .await?;
        match code.as_str() {
            "ok" => Ok(true),
            "moved" => Ok(false),
            other => Err(unexpected("conclude", other)),
        }
    }

    async fn hops(&self, session: &SessionId, turn: &TurnId) -> Result<u32, StoreError> {
        let hops: Option<u32> = self.commands().get(self.keys.hops(session, turn)).await?;
        Ok(hops.unwrap_or(0))
    }

    async fn note_hops(
        &self,
        session: &SessionId,
        turn: &TurnId,
        hops: u32,
        kept: Duration,
    ) -> Result<(), StoreError> {
        let key = self.keys.hops(session, turn);
        Ok(self.commands().pset_ex(key, hops, millis(kept)).await?)
    }

    async fn begin_wait(
        &self,
        waiter: &SessionId,
        awaited: &SessionId,
        at_most: Duration,
    ) -> Result<bool, StoreError> {
        Ok(self
            .scripts
            .wait
            .key(self.keys.awaits(waiter))
            .arg(waiter.as_str())
            .arg(awaited.as_str())
            .arg(millis(at_most).max(1))
            .arg(self.keys.awaits_prefix())
            .invoke_async(&mut self.commands())
            .await?)
    }

    async fn end_wait(&self, waiter: &SessionId, awaited: &SessionId) -> Result<(), StoreError> {
        let key = self.keys.awaits(waiter);
        Ok(self.commands().zrem(key, awaited.as_str()).await?)
    }

    async fn keep_pass(
        &self,
        id: &str,
        hash: &str,
        container: &ContainerId,
        kept: Duration,
    ) -> Result<(), StoreError> {
        let key = self.keys.pass(id);
        let fields = [("hash", hash), ("container", container.as_str())];
        let mut pipe = redis::pipe();
        let lasts = i64::try_from(millis(kept)).unwrap_or(i64::MAX);
        pipe.atomic()
            .hset_multiple(&key, &fields)
            .pexpire(&key, lasts)
            .exec_async(&mut self.commands())
            .await?;
        Ok(())
    }

    async fn transcript(
        &self,
        session: &SessionId,
        skip: usize,
        limit: usize,
    ) -> Result<(Vec<String>, usize), StoreError> {
        let key = self.keys.session(session).transcript;
        // As many as there can be: a container may have made a longer list of it.
        let [skip, limit] = [skip, limit].map(|count| count.min(transcript::TURNS));
        // Of none the first comes after the last.
        let (first, last) = (-((skip + limit) as isize), -(skip as isize) - 1);
        let mut bulk = Measured::new(self.bulk.get().await.map_err(pool_error)?);
        let (count, entries) = redis::pipe()
            .atomic()
            .llen(&key)
            .lrange(&key, first, last)
            .query_async(&mut bulk)
            .await?;
        Ok((entries, count))
    }
}
