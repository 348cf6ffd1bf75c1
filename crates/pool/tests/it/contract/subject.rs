//! A store under test, and what is not the store's to do: wrappers that write, time that passes, a
//! Redis that loses everything.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use ccpool::config::RedisTarget;
use ccpool::protocol::assignment::Assignment;
use ccpool::protocol::keys::Keys;
use ccpool::protocol::record::report;
use ccpool::standing::{Fence, Standing};
use ccpool::store::{
    ClaimNumber, ClaimOutcome, ClaimTerms, FakeStore, LookNumber, Outlook, RedisConversations,
    RedisJobs, RedisStore, RedisUsers, Reservation, Reserve, Store, Ticket,
};
use ccpool::{AgentId, Container, ContainerId, EmbeddedRedis, GatewayId, RedisAddress, SessionId};
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, IntoConnectionInfo};
use tempfile::TempDir;

use crate::support::{config, now};

pub(crate) const POOL: &str = "0123456789abcdef";
/// How long gateways are registered, places in the queue are kept, and heartbeats count.
pub(crate) const KEEP: Duration = Duration::from_secs(60);
/// Less than that, and twice this is more.
pub(crate) const MOST_OF_IT: Duration = Duration::from_secs(40);
/// How many envelopes of a session are kept.
pub(crate) const BUFFER: usize = 600;

#[async_trait]
pub(crate) trait Subject: Sync {
    fn store(&self) -> &dyn Store;
    /// Waits until its clock has moved on, so that no two steps happen at one time.
    async fn tick(&self);
    /// Lets time pass for everything that has a deadline.
    async fn pass(&self, by: Duration);
    /// Everything is lost.
    async fn empty(&self);
    /// Fields of a container's report, written by its wrapper.
    async fn report(&self, container: &ContainerId, fields: &[(&str, &str)]);
    /// A wrapper says that `claude` has booted, and that it lives.
    async fn ready(&self, container: &ContainerId);
    async fn deliver(&self, container: &ContainerId, session: &SessionId, number: ClaimNumber);
    /// A session's wrapper writes into its state,
    async fn write_state(&self, session: &SessionId, fields: &[(&str, &str)]);
    /// appends to its buffer,
    async fn write_buffer(&self, session: &SessionId, envelopes: &[String]);
    /// takes its oldest prompt,
    async fn take(&self, session: &SessionId);
    /// and begins to listen to its control channel.
    async fn listen(&self, session: &SessionId);

    /// Tickets of those that wait, in the order in which they are served.
    async fn waiting(&self) -> Vec<Ticket>;

    /// Registers a gateway.
    async fn attend(&self, gateway: &GatewayId) -> Standing {
        let attended = self.store().attend(gateway, KEEP, POOL).await;
        attended.unwrap()
    }

    /// A pool with one gateway, which leads.
    async fn begin(&self) -> Fence {
        self.store().pool_id(POOL).await.unwrap();
        self.attend(&gateway(1)).await.fence.unwrap()
    }

    /// A container that can be claimed.
    async fn warm(&self, number: u64, fence: Fence) -> ContainerId {
        self.tick().await;
        let place = place(number, 9);
        let reserved = self.store().reserve(&place, fence).await.unwrap();
        assert_eq!(reserved, Reserve::Reserved);
        self.ready(&place.container).await;
        let promoted = self.store().promote(&place.container, false, Some(fence));
        assert!(promoted.await.unwrap());
        place.container
    }

    async fn claim(&self, terms: &ClaimTerms) -> ClaimOutcome {
        self.store().claim(terms).await.unwrap()
    }

    /// A claim that must be served at once.
    async fn claimed(&self, session: &str, agent: &str) -> (ContainerId, ClaimNumber) {
        match self.claim(&terms(session, agent)).await {
            ClaimOutcome::Claimed {
                container, number, ..
            } => (container, number),
            other => panic!("{session} of {agent}: {other:?}"),
        }
    }

    /// A claim that must wait; its place in the queue.
    async fn waits(&self, session: &str, agent: &str) -> Ticket {
        match self.claim(&terms(session, agent)).await {
            ClaimOutcome::NoneWarm(ticket, _) | ClaimOutcome::AgentLimit(ticket) => ticket,
            other => panic!("{session} of {agent}: {other:?}"),
        }
    }

    /// A look of the leader's shows that no container can be started. None: it does not lead.
    async fn trouble(&self, why: &str, fence: Fence) -> Option<LookNumber> {
        let number = self.store().draw(fence).await.unwrap()?;
        let said = self.store().say(Some((why, number)), fence).await;
        assert!(said.unwrap());
        Some(number)
    }

    /// What a claim is told that finds nothing warm.
    async fn outlook(&self) -> Outlook {
        match self.claim(&terms("looks-out", "looks-out")).await {
            ClaimOutcome::NoneWarm(ticket, outlook) => {
                self.store().withdraw(&ticket).await.unwrap();
                outlook
            }
            other => panic!("{other:?}"),
        }
    }

    /// A container as the pool sees it.
    async fn see(&self, container: &ContainerId) -> Option<Container> {
        let all = self.store().containers().await.unwrap();
        all.into_iter().find(|seen| seen.id == *container)
    }
}

pub(crate) fn gateway(number: u64) -> GatewayId {
    GatewayId::from_random(number, "here")
}

pub(crate) fn session(name: &str) -> SessionId {
    SessionId::new(name).unwrap()
}

pub(crate) fn agent(name: &str) -> AgentId {
    AgentId::new(name).unwrap()
}

pub(crate) fn place(number: u64, cap: usize) -> Reservation {
    Reservation {
        container: ContainerId::from_random(number),
        cap,
        fingerprint: format!("print-{number}"),
        token_hash: format!("token-{number}"),
        acl_hash: None,
        host: "here".to_owned(),
    }
}

/// An agent's claim through the first gateway. It may have two sessions.
pub(crate) fn terms(of: &str, by: &str) -> ClaimTerms {
    ClaimTerms {
        assignment: Assignment {
            session: session(of),
            agent: agent(by),
            model: None,
            system_prompt: None,
            append_system_prompt: None,
            output_schema: None,
            parent: None,
        },
        max_per_agent: 2,
        heartbeat: KEEP,
        gateway: gateway(1),
        ticket: None,
        keep: KEEP,
    }
}

/// The fake.
#[derive(Clone)]
pub(crate) struct Memory {
    pub(crate) store: FakeStore,
}

impl Memory {
    pub(crate) fn new() -> Self {
        Self {
            store: FakeStore::new(1_000_000, BUFFER),
        }
    }
}

#[async_trait]
impl Subject for Memory {
    fn store(&self) -> &dyn Store {
        &self.store
    }

    async fn tick(&self) {
        self.store.advance(Duration::from_millis(1));
    }

    async fn pass(&self, by: Duration) {
        self.store.advance(by);
    }

    async fn empty(&self) {
        self.store.empty();
    }

    async fn report(&self, container: &ContainerId, fields: &[(&str, &str)]) {
        self.store.report(container, fields);
    }

    async fn ready(&self, container: &ContainerId) {
        self.store.ready(container);
    }

    async fn deliver(&self, container: &ContainerId, _session: &SessionId, number: ClaimNumber) {
        self.store.deliver(container, number);
    }

    async fn write_state(&self, session: &SessionId, fields: &[(&str, &str)]) {
        self.store.write_state(session, fields);
    }

    async fn write_buffer(&self, session: &SessionId, envelopes: &[String]) {
        self.store.write_buffer(session, envelopes);
    }

    async fn take(&self, session: &SessionId) {
        self.store.take(session);
    }

    async fn listen(&self, session: &SessionId) {
        self.store.listen(session);
    }

    async fn waiting(&self) -> Vec<Ticket> {
        let all = self.store.waiting().into_iter();
        all.map(|(ticket, _)| ticket).collect()
    }
}

/// A real Redis.
pub(crate) struct Server {
    pub(crate) store: RedisStore,
    pub(crate) keys: Keys,
    pub(crate) connection: MultiplexedConnection,
    users: RedisUsers,
    client: redis::Client,
    heard: Mutex<Vec<redis::aio::PubSub>>,
    _redis: EmbeddedRedis,
    _dir: TempDir,
}

impl Server {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let redis = EmbeddedRedis::start(dir.path()).await.unwrap();
        let mut config = config(0, 4);
        config.redis.url = RedisTarget::Embedded;
        let address = RedisAddress::resolve(&config, Some(&redis.url()), None).unwrap();
        let info = address.url.expose().into_connection_info().unwrap();
        let keys = Keys::new("test:cc:");
        let store = RedisStore::connect(info.clone(), keys.clone(), BUFFER);
        let store = store.await.unwrap();
        let client = redis::Client::open(info).unwrap();
        Self {
            users: store.users(),
            connection: client.get_multiplexed_async_connection().await.unwrap(),
            store,
            keys,
            client,
            heard: Mutex::default(),
            _redis: redis,
            _dir: dir,
        }
    }

    /// Jobs, as this gateway sees them.
    pub(crate) fn jobs(&self, gateway: GatewayId) -> RedisJobs {
        let info = self.client.get_connection_info().clone();
        RedisJobs::new(info, self.keys.clone(), gateway).unwrap()
    }

    /// Where conversations rest.
    pub(crate) fn conversations(&self) -> RedisConversations {
        self.store.conversations()
    }

    /// Every key with its value, as the server would write them to disk.
    pub(crate) async fn dump(&self) -> Vec<Vec<u8>> {
        let script = redis::Script::new(
            "local keys = redis.call('KEYS', '*')
             table.sort(keys)
             local all = {}
             for _, key in ipairs(keys) do
               all[#all + 1] = key
               all[#all + 1] = redis.call('DUMP', key)
             end
             return all",
        );
        let asked = script.prepare_invoke();
        asked
            .invoke_async(&mut self.connection.clone())
            .await
            .unwrap()
    }
}

/// Redis' clock cannot be moved, so what it has written down is.
const AGE: &str = "
local by = tonumber(ARGV[1])
for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  redis.call('ZINCRBY', KEYS[1], -by, member)
end
if redis.call('HEXISTS', KEYS[2], 'until') == 1 then
  redis.call('HINCRBY', KEYS[2], 'until', -by)
end
local tickets = redis.call('HGETALL', KEYS[3])
for i = 1, #tickets, 2 do
  local deadline, rest = string.match(tickets[i + 1], '^(%d+)( .*)$')
  redis.call('HSET', KEYS[3], tickets[i], string.format('%.0f', deadline - by) .. rest)
end
for _, report in ipairs(redis.call('KEYS', ARGV[2] .. '*:report')) do
  if redis.call('HEXISTS', report, 'heartbeat') == 1 then
    redis.call('HINCRBY', report, 'heartbeat', -by)
  end
end
for _, key in ipairs(redis.call('KEYS', '*')) do
  local left = redis.call('PTTL', key)
  if left > by then
    redis.call('PEXPIRE', key, left - by)
  elseif left >= 0 then
    redis.call('DEL', key)
  end
end";

#[async_trait]
impl Subject for Server {
    fn store(&self) -> &dyn Store {
        &self.store
    }

    async fn tick(&self) {
        let begun = now();
        while now() <= begun {
            tokio::task::yield_now().await;
        }
    }

    async fn pass(&self, by: Duration) {
        let script = redis::Script::new(AGE);
        let mut asked = script.key(self.keys.gateways());
        asked.key(self.keys.leader()).key(self.keys.tickets());
        let by = u64::try_from(by.as_millis()).unwrap();
        asked.arg(by).arg(self.keys.container_prefix());
        let mut connection = self.connection.clone();
        let () = asked.invoke_async(&mut connection).await.unwrap();
    }

    async fn empty(&self) {
        let asked = redis::cmd("FLUSHALL");
        let () = asked
            .query_async(&mut self.connection.clone())
            .await
            .unwrap();
    }

    async fn report(&self, container: &ContainerId, fields: &[(&str, &str)]) {
        let mut connection = self.connection.clone();
        let keys = self.keys.container(container);
        // Of one that is not known no wrapper lives.
        if connection.exists(&keys.record).await.unwrap() {
            let () = connection.hset_multiple(keys.report, fields).await.unwrap();
        }
    }

    async fn ready(&self, container: &ContainerId) {
        let now = now().to_string();
        let times = [report::REGISTERED_AT, report::READY_AT, report::HEARTBEAT];
        let times = times.map(|name| (name, now.as_str()));
        self.report(container, &times).await;
    }

    async fn deliver(&self, container: &ContainerId, session: &SessionId, number: ClaimNumber) {
        let told = self.users.deliver(container, session, None, number);
        told.await.unwrap();
    }

    async fn write_state(&self, session: &SessionId, fields: &[(&str, &str)]) {
        let key = self.keys.session(session).state;
        let mut connection = self.connection.clone();
        let () = connection.hset_multiple(key, fields).await.unwrap();
    }

    async fn write_buffer(&self, session: &SessionId, envelopes: &[String]) {
        let key = self.keys.session(session).output_buffer;
        let mut connection = self.connection.clone();
        let () = connection.rpush(key, envelopes).await.unwrap();
    }

    async fn take(&self, session: &SessionId) {
        let keys = self.keys.session(session);
        let (from, to) = (redis::Direction::Left, redis::Direction::Right);
        let mut connection = self.connection.clone();
        let moved = connection.lmove(keys.input, keys.inflight, from, to);
        let _: Option<String> = moved.await.unwrap();
    }

    async fn listen(&self, session: &SessionId) {
        let mut channel = self.client.get_async_pubsub().await.unwrap();
        let name = self.keys.session(session).control;
        channel.subscribe(name).await.unwrap();
        self.heard.lock().unwrap().push(channel);
    }

    async fn waiting(&self) -> Vec<Ticket> {
        let mut connection = self.connection.clone();
        let all = connection.zrange(self.keys.waiting(), 0, -1).await;
        let all: Vec<String> = all.unwrap();
        all.into_iter().map(Ticket).collect()
    }
}
