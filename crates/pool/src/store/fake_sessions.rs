//! What sessions keep, in memory.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use ccpool_protocol::state::field as state;
use ccpool_protocol::{ContainerId, SessionId, TurnId, transcript};

use super::fake_book::Stage;
use super::redis_sessions::{PAGE_BYTES, PAGE_ENVELOPES};
use super::{Conclusion, FakeStore, Page, PushOutcome, Sessions, StoreError};
use crate::clock::millis;

/// What no batch of a wrapper's is numbered above.
const CLOSED: &str = "9007199254740991";

#[async_trait]
impl Sessions for FakeStore {
    async fn session_state(
        &self,
        session: &SessionId,
    ) -> Result<HashMap<String, String>, StoreError> {
        let book = self.check()?;
        match book.known.sessions.get(session) {
            Some(kept) if kept.state.contains_key(state::STATUS) => Ok(kept.state.clone()),
            Some(_) | None if book.known.pool.is_none() => Err(StoreError::Emptied),
            Some(kept) => Ok(kept.state.clone()),
            None => Ok(HashMap::new()),
        }
    }

    async fn push(
        &self,
        session: &SessionId,
        turn: &TurnId,
        item: &str,
        idempotency: Option<(&str, Duration)>,
        on: Option<&ContainerId>,
    ) -> Result<PushOutcome, StoreError> {
        let mut book = self.check()?;
        let now = book.now;
        let known = &mut book.known;
        let key = idempotency.map(|(key, kept)| ((session.clone(), key.to_owned()), kept));
        if let Some((turn, _)) = key.as_ref().and_then(|(key, _)| known.repeats.get(key)) {
            return Ok(PushOutcome::Repeated(turn.clone()));
        }
        let container = known.live.get(session).map(|live| &live.container);
        let container = container.filter(|id| on.is_none_or(|on| on == *id));
        let serving = container.and_then(|id| known.containers.get(id));
        if !serving.is_some_and(|entry| matches!(entry.stage, Stage::Assigned(_))) {
            return match known.pool {
                Some(_) => Ok(PushOutcome::Unknown),
                None => Err(StoreError::Emptied),
            };
        }
        if let Some((key, keep)) = key {
            let until = now + millis(keep);
            known.repeats.insert(key, (turn.clone(), until));
        }
        let kept = known.session(session);
        kept.input.push(item.to_owned());
        let activity = state::LAST_ACTIVITY.to_owned();
        kept.state.insert(activity, now.to_string());
        let seq = kept.state.get(state::SEQ);
        Ok(PushOutcome::Pushed {
            seq: seq.and_then(|seq| seq.parse().ok()).unwrap_or(0),
        })
    }

    async fn control(&self, session: &SessionId, _message: &str) -> Result<u64, StoreError> {
        let book = self.check()?;
        Ok(u64::from(book.listening.contains(session)))
    }

    async fn page(&self, session: &SessionId, after: Option<u64>) -> Result<Page, StoreError> {
        let book = self.check()?;
        let Some(kept) = book.known.sessions.get(session) else {
            return Ok(Page::default());
        };
        let first = kept.buffer.first().and_then(|head| seq_of(head));
        let at = match (after, first) {
            (Some(after), Some(first)) => (after + 1).saturating_sub(first) as usize,
            (None, _) | (_, None) => 0,
        };
        let rest = kept.buffer.get(at..).unwrap_or_default();
        let mut bytes = 0;
        let envelopes: Vec<String> = rest
            .iter()
            .take(PAGE_ENVELOPES)
            .take_while(|envelope| {
                let fits = bytes < PAGE_BYTES;
                bytes += envelope.len();
                fits
            })
            .cloned()
            .collect();
        Ok(Page {
            more: envelopes.len() < rest.len(),
            envelopes,
        })
    }

    async fn result(&self, session: &SessionId) -> Result<Option<String>, StoreError> {
        let book = self.check()?;
        let kept = book.known.sessions.get(session);
        Ok(kept.and_then(|kept| kept.result.clone()))
    }

    async fn unanswered(&self, session: &SessionId) -> Result<Vec<Vec<u8>>, StoreError> {
        let book = self.check()?;
        let kept = book.known.sessions.get(session);
        let items = kept
            .into_iter()
            .flat_map(|k| k.inflight.iter().chain(&k.input));
        Ok(items.map(|item| item.clone().into_bytes()).collect())
    }

    async fn conclude(
        &self,
        session: &SessionId,
        conclusion: &Conclusion<'_>,
    ) -> Result<bool, StoreError> {
        let Conclusion {
            from,
            to,
            prompts,
            envelopes,
            result,
            entries,
        } = *conclusion;
        let mut book = self.check()?;
        let kept = book.known.session(session);
        let seq = kept.state.get(state::SEQ).map_or("", String::as_str);
        if seq != from || kept.inflight.len() + kept.input.len() != prompts {
            return Ok(false);
        }
        kept.buffer.extend(envelopes.iter().cloned());
        let over = kept.buffer.len().saturating_sub(self.output_buffer);
        kept.buffer.drain(..over);
        kept.result = Some(result.to_owned());
        kept.transcript.extend(entries.iter().cloned());
        let over = kept.transcript.len().saturating_sub(transcript::TURNS);
        kept.transcript.drain(..over);
        kept.inflight.clear();
        kept.input.clear();
        for (name, value) in [
            (state::SEQ, to.to_string()),
            (state::TURN, String::new()),
            (state::BATCH, CLOSED.to_owned()),
        ] {
            kept.state.insert(name.to_owned(), value);
        }
        Ok(true)
    }

    async fn hops(&self, session: &SessionId, turn: &TurnId) -> Result<u32, StoreError> {
        let book = self.check()?;
        let hops = book.known.hops.get(&(session.clone(), turn.clone()));
        Ok(hops.copied().unwrap_or(0))
    }

    async fn note_hops(
        &self,
        session: &SessionId,
        turn: &TurnId,
        hops: u32,
        _kept: Duration,
    ) -> Result<(), StoreError> {
        let mut book = self.check()?;
        let turn = (session.clone(), turn.clone());
        book.known.hops.insert(turn, hops);
        Ok(())
    }

    async fn begin_wait(
        &self,
        waiter: &SessionId,
        awaited: &SessionId,
        at_most: Duration,
    ) -> Result<bool, StoreError> {
        let mut book = self.check()?;
        let now = book.now;
        let waits = &mut book.known.waits;
        waits.retain(|_, until| now <= *until);
        let mut reached = vec![awaited.clone()];
        let mut next = 0;
        while next < reached.len() {
            let further = waits.keys().filter(|(from, _)| *from == reached[next]);
            let further = further.map(|(_, to)| to).filter(|to| !reached.contains(to));
            let further: Vec<SessionId> = further.cloned().collect();
            reached.extend(further);
            next += 1;
        }
        if reached.contains(waiter) {
            return Ok(false);
        }
        let until = now + millis(at_most).max(1);
        waits.insert((waiter.clone(), awaited.clone()), until);
        Ok(true)
    }

    async fn end_wait(&self, waiter: &SessionId, awaited: &SessionId) -> Result<(), StoreError> {
        let mut book = self.check()?;
        let wait = (waiter.clone(), awaited.clone());
        book.known.waits.remove(&wait);
        Ok(())
    }

    async fn keep_pass(
        &self,
        id: &str,
        hash: &str,
        container: &ContainerId,
        kept: Duration,
    ) -> Result<(), StoreError> {
        let mut book = self.check()?;
        let until = book.now + millis(kept);
        let pass = (hash.to_owned(), container.clone(), until);
        book.known.passes.insert(id.to_owned(), pass);
        Ok(())
    }

    async fn transcript(
        &self,
        session: &SessionId,
        skip: usize,
        limit: usize,
    ) -> Result<(Vec<String>, usize), StoreError> {
        let book = self.check()?;
        let kept = book.known.sessions.get(session);
        let all = kept.map_or(&[][..], |kept| &kept.transcript);
        let end = all.len().saturating_sub(skip);
        let entries = all[end.saturating_sub(limit)..end].to_vec();
        Ok((entries, all.len()))
    }
}

/// The number that an envelope begins with.
fn seq_of(envelope: &str) -> Option<u64> {
    let digits = envelope.strip_prefix("{\"seq\":")?;
    let end = digits.find(|c: char| !c.is_ascii_digit());
    digits[..end.unwrap_or(digits.len())].parse().ok()
}
