//! A store in memory: the contract as a model that can be read, and be told to fail.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ccpool_protocol::record::{ContainerState, field, report};
use ccpool_protocol::state::{SessionStatus, field as state};
use ccpool_protocol::{AgentId, ContainerId, SessionId, UnixMs};

use super::fake_book::{Book, Entry, Known, Live, Stage};
use super::{
    Bearer, ClaimNumber, Condition, Reservation, Reserve, Retired, Store, StoreError, Ticket,
};
use crate::clock::millis;
use crate::container::Container;
use crate::standing::Fence;

/// A pool's state that exists only in memory. Its clock stands still until [`Self::advance`].
#[derive(Debug)]
pub struct FakeStore {
    book: Mutex<Book>,
    pub(super) output_buffer: usize,
}

impl FakeStore {
    /// An empty one, whose clock is at `now`, and which keeps `output_buffer` envelopes of a session.
    pub fn new(now: UnixMs, output_buffer: usize) -> Self {
        let book = Book {
            now,
            ..Book::default()
        };
        Self {
            book: Mutex::new(book),
            output_buffer,
        }
    }

    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For every method of the contract.
    pub(super) fn check(&self) -> Result<MutexGuard<'_, Book>, StoreError> {
        let mut book = self.book();
        if let Some(detail) = book.failing {
            return Err(StoreError::Unreachable {
                source: std::io::Error::other(detail).into(),
            });
        }
        book.forget_expired();
        Ok(book)
    }

    /// From now on every call fails with this detail, or none does.
    pub fn fail(&self, detail: Option<&'static str>) {
        self.book().failing = detail;
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        self.book().now += millis(by);
    }

    /// By its clock.
    pub fn now(&self) -> UnixMs {
        self.book().now
    }

    /// Loses everything, as a Redis that was flushed or restarted.
    pub fn empty(&self) {
        self.book().known = Known::default();
    }

    /// What a container's wrapper writes into its report. One that is not known gets none.
    pub fn report(&self, container: &ContainerId, fields: &[(&str, &str)]) {
        if let Some(entry) = self.book().known.containers.get_mut(container) {
            let owned = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
            entry.report.extend(fields.iter().map(owned));
        }
    }

    /// What a wrapper says once `claude` has booted, and with every heartbeat.
    pub fn ready(&self, container: &ContainerId) {
        let now = self.now().to_string();
        let times = [report::REGISTERED_AT, report::READY_AT, report::HEARTBEAT];
        self.report(container, &times.map(|name| (name, now.as_str())));
    }

    /// Hands a claimed container its assignment. False: it serves no session, or its claim has
    /// another number by now.
    pub fn deliver(&self, container: &ContainerId, number: ClaimNumber) -> bool {
        let mut book = self.book();
        let Some(entry) = book.known.containers.get_mut(container) else {
            return false;
        };
        match &entry.stage {
            Stage::Assigned(service) if service.claim == number.0 => {
                if entry.inbox.is_empty() {
                    entry.inbox.push(service.assignment.clone());
                }
                true
            }
            Stage::Creating | Stage::Warm | Stage::Assigned(_) | Stage::Out { .. } => false,
        }
    }

    /// Claims that wait, in the order in which they are served, with those that gave up unseen.
    pub fn waiting(&self) -> Vec<(Ticket, AgentId)> {
        let book = self.book();
        let all = book.known.queue.iter();
        all.map(|w| (w.ticket.clone(), w.agent.clone())).collect()
    }

    /// What a session's wrapper writes into its state.
    pub fn write_state(&self, session: &SessionId, fields: &[(&str, &str)]) {
        let owned = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
        let mut book = self.book();
        let kept = book.known.session(session);
        kept.state.extend(fields.iter().map(owned));
    }

    /// What a session's wrapper appends to its buffer.
    pub fn write_buffer(&self, session: &SessionId, envelopes: &[String]) {
        let mut book = self.book();
        let kept = book.known.session(session);
        kept.buffer.extend(envelopes.iter().cloned());
    }

    /// A session's wrapper takes the oldest prompt, which is in flight from then on.
    pub fn take(&self, session: &SessionId) {
        let mut book = self.book();
        let kept = book.known.session(session);
        if !kept.input.is_empty() {
            let item = kept.input.remove(0);
            kept.inflight.push(item);
        }
    }

    /// A session's wrapper listens to its control channel.
    pub fn listen(&self, session: &SessionId) {
        self.book().listening.insert(session.clone());
    }
}

impl Clone for FakeStore {
    fn clone(&self) -> Self {
        Self {
            book: Mutex::new(self.book().clone()),
            output_buffer: self.output_buffer,
        }
    }
}

impl Book {
    fn forget_expired(&mut self) {
        let now = self.now;
        let known = &mut self.known;
        known
            .sessions
            .retain(|_, kept| kept.until.is_none_or(|until| now < until));
        known.repeats.retain(|_, (_, until)| now < *until);
    }

    /// Whether this is the fence of who leads, or led last.
    pub(super) fn admits(&self, fence: Fence) -> bool {
        self.known.lead.fence == Some(fence.0)
    }
}

#[async_trait]
impl Store for FakeStore {
    async fn ping(&self) -> Result<Duration, StoreError> {
        self.check().map(|_| Duration::ZERO)
    }

    async fn pool_id(&self, proposal: &str) -> Result<String, StoreError> {
        let mut book = self.check()?;
        let id = &mut book.known.pool;
        Ok(id.get_or_insert_with(|| proposal.to_owned()).clone())
    }

    async fn reserve(&self, place: &Reservation, fence: Fence) -> Result<Reserve, StoreError> {
        let mut book = self.check()?;
        if !book.admits(fence) {
            return Ok(Reserve::Fenced);
        }
        if book.known.containers.len() >= place.cap {
            return Ok(Reserve::AtCap);
        }
        let entry = Entry {
            stage: Stage::Creating,
            fingerprint: place.fingerprint.clone(),
            token_hash: place.token_hash.clone(),
            acl_hash: place.acl_hash.clone(),
            host: place.host.clone(),
            created_at: book.now,
            warm_at: None,
            noted: std::collections::BTreeMap::new(),
            report: HashMap::new(),
            inbox: Vec::new(),
        };
        let containers = &mut book.known.containers;
        containers.insert(place.container.clone(), entry);
        Ok(Reserve::Reserved)
    }

    async fn note(
        &self,
        container: &ContainerId,
        field: &'static str,
        value: &str,
    ) -> Result<(), StoreError> {
        let mut book = self.check()?;
        if let Some(entry) = book.known.containers.get_mut(container) {
            entry.noted.insert(field.to_owned(), value.to_owned());
        }
        Ok(())
    }

    async fn containers(&self) -> Result<Vec<Container>, StoreError> {
        let book = self.check()?;
        if book.known.pool.is_none() {
            return Err(StoreError::Emptied);
        }
        let ids = book.known.containers.keys();
        Ok(ids.filter_map(|id| book.known.seen(id)).collect())
    }

    async fn container(&self, container: &ContainerId) -> Result<Option<Container>, StoreError> {
        let book = self.check()?;
        match book.known.containers.get(container) {
            Some(entry) => Ok(entry.seen(container)),
            None if book.known.pool.is_none() => Err(StoreError::Emptied),
            None => Ok(None),
        }
    }

    async fn bearer(
        &self,
        container: &ContainerId,
        person: Option<&str>,
    ) -> Result<Option<Bearer>, StoreError> {
        let book = self.check()?;
        let Some(entry) = book.known.containers.get(container) else {
            return match book.known.pool {
                Some(_) => Ok(None),
                None => Err(StoreError::Emptied),
            };
        };
        let record = entry.record();
        let bearer = Bearer::from_record(Bearer::FIELDS.map(|name| record.get(name).cloned()));
        let Some(person) = person else {
            return Ok(bearer);
        };
        let pass = book.known.passes.get(person);
        let pass = pass.filter(|(_, of, until)| of == container && book.now < *until);
        Ok(pass.zip(bearer).map(|((hash, _, _), bearer)| Bearer {
            hash: hash.clone(),
            ..bearer
        }))
    }

    async fn promote(
        &self,
        container: &ContainerId,
        tools: bool,
        fence: Option<Fence>,
    ) -> Result<bool, StoreError> {
        let mut book = self.check()?;
        if fence.is_some_and(|fence| !book.admits(fence)) {
            return Ok(false);
        }
        let now = book.now;
        let Some(entry) = book.known.containers.get_mut(container) else {
            return Ok(false);
        };
        let listed = !tools || entry.noted.contains_key(field::TOOLS_LISTED_AT);
        let ready = entry.report.contains_key(report::READY_AT) && listed;
        if !matches!(entry.stage, Stage::Creating) || !ready {
            return Ok(false);
        }
        entry.stage = Stage::Warm;
        entry.warm_at = Some(now);
        Ok(true)
    }

    async fn restore(&self, container: &Container, fence: Fence) -> Result<bool, StoreError> {
        let mut book = self.check()?;
        if !book.admits(fence) {
            return Ok(false);
        }
        let now = book.now;
        let known = &mut book.known;
        let id = &container.id;
        let entry = known.containers.entry(id.clone());
        let entry = entry.or_insert_with(|| Entry::remembered(container, now));
        if entry.report.is_empty() {
            let heartbeat = report::HEARTBEAT.to_owned();
            entry.report.insert(heartbeat, now.to_string());
        }
        let service = entry.stage.service();
        let Some(service) = service.filter(|s| Some(&s.session) == container.session.as_ref())
        else {
            return Ok(true);
        };
        let (session, agent) = (service.session.clone(), service.agent.clone());
        let own = Live {
            container: id.clone(),
            agent,
        };
        let live = known.live.entry(session.clone()).or_insert(own);
        if live.container != *id {
            entry.stage = Stage::Out {
                failed: true,
                reason: "another container serves its session by now".to_owned(),
                served: None,
            };
            return Ok(true);
        }
        let kept = known.session(&session);
        let lost = container.activity.iter().flat_map(|a| &a.state);
        for (name, value) in lost {
            let found = kept.state.entry(name.clone());
            found.or_insert_with(|| value.clone());
        }
        let unsure = kept.state.entry(state::UNSURE.to_owned());
        unsure.or_insert_with(|| "1".to_owned());
        let activity = state::LAST_ACTIVITY.to_owned();
        kept.state.insert(activity, now.to_string());
        Ok(true)
    }

    async fn retire(
        &self,
        container: &ContainerId,
        to: ContainerState,
        reason: &str,
        condition: Condition<'_>,
        fence: Option<Fence>,
    ) -> Result<Retired, StoreError> {
        let mut book = self.check()?;
        if fence.is_some_and(|fence| !book.admits(fence)) {
            return Ok(Retired::Moved);
        }
        let known = &mut book.known;
        let Some(entry) = known.containers.get_mut(container) else {
            return Ok(Retired::Gone);
        };
        let served = entry.stage.service().cloned();
        let serves = |session: &SessionId| served.as_ref().is_some_and(|s| s.session == *session);
        let holds = match condition {
            Condition::None => true,
            Condition::Serves(session) => serves(session),
            Condition::Quiet(session, since) => {
                let kept = known.sessions.get(session);
                let said = |name: &str| kept.and_then(|kept| kept.state.get(name));
                let turn = said(state::TURN).is_some_and(|turn| !turn.is_empty());
                serves(session) && !turn && said(state::LAST_ACTIVITY) == Some(&since.to_string())
            }
        };
        if !holds {
            return Ok(Retired::Moved);
        }
        let session = served.as_ref().map(|s| s.session.clone());
        if !matches!(entry.stage, Stage::Out { failed: true, .. }) {
            entry.stage = Stage::Out {
                failed: to == ContainerState::Failed,
                reason: reason.to_owned(),
                served,
            };
        }
        Ok(Retired::Out(session))
    }

    async fn release(&self, container: &Container, retain: Duration) -> Result<(), StoreError> {
        let mut book = self.check()?;
        let now = book.now;
        let known = &mut book.known;
        known.containers.remove(&container.id);
        let Some(session) = &container.session else {
            return Ok(());
        };
        let live = known.live.get(session);
        if live.is_none_or(|live| live.container != container.id) {
            return Ok(());
        }
        let agent = known.live.remove(session).map(|live| live.agent);
        let kept = known.session(session);
        if let Some(agent) = agent {
            let agent = agent.as_str().to_owned();
            kept.state.insert(state::AGENT_ID.to_owned(), agent);
        }
        kept.until = Some(now + millis(retain).max(1));
        let ended = SessionStatus::Ended.as_str().to_owned();
        kept.state.insert(state::STATUS.to_owned(), ended);
        kept.state.insert(state::TURN.to_owned(), String::new());
        kept.state
            .insert(state::ENDED_AT.to_owned(), now.to_string());
        Ok(())
    }

    async fn stop(
        &self,
        _container: &ContainerId,
        _session: Option<&SessionId>,
    ) -> Result<(), StoreError> {
        self.check().map(|_| ())
    }

    async fn serving(&self, session: &SessionId) -> Result<Option<ContainerId>, StoreError> {
        let book = self.check()?;
        match book.known.live.get(session) {
            Some(live) => Ok(Some(live.container.clone())),
            None if book.known.pool.is_none() => Err(StoreError::Emptied),
            None => Ok(None),
        }
    }

    async fn sessions(&self) -> Result<Vec<(SessionId, ContainerId)>, StoreError> {
        let book = self.check()?;
        let live = book.known.live.iter();
        Ok(live
            .map(|(s, l)| (s.clone(), l.container.clone()))
            .collect())
    }
}
