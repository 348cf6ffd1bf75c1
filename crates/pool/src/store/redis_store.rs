//! The shared state in Redis: short commands over one multiplexed connection that fails at once
//! when Redis is away, long reads over pooled ones so that they hold nobody up.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use ccpool_protocol::keys::{Keys, SessionKeys};
use ccpool_protocol::record::{ContainerState, field};
use ccpool_protocol::{ContainerId, SessionId, TurnId};
use deadpool_redis::redis::{self as redis, AsyncCommands, ConnectionInfo};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};

use super::answer::{container_id, pool_error, unexpected};
use super::assigned::Assigned;
use super::measured::Measured;
use super::scripts::Scripts;
use super::spoilt;
use super::{
    ClaimOutcome, ClaimTerms, Condition, Page, PushOutcome, RedisUsers, Reserve, Retired, Store,
    StoreError,
};
use crate::clock::millis;
use crate::container::{Activity, Container};

/// How long a short command may take.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long connecting may take.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(1);
/// Most envelopes in a page.
const PAGE_ENVELOPES: usize = 500;
/// A page ends with the envelope that brings it to this many bytes.
const PAGE_BYTES: usize = 1 << 20;
/// Connections for long reads.
const BULK_CONNECTIONS: usize = 4;

/// The real store.
pub struct RedisStore {
    commands: Measured<ConnectionManager>,
    bulk: deadpool_redis::Pool,
    keys: Keys,
    scripts: Scripts,
    output_buffer: usize,
    db: i64,
}

impl RedisStore {
    /// Connects.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn connect(
        info: ConnectionInfo,
        keys: Keys,
        output_buffer: usize,
    ) -> Result<Self, StoreError> {
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_min_delay(Duration::from_millis(10))
            .set_max_delay(Duration::from_millis(50))
            .set_connection_timeout(Some(CONNECTION_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        let client = redis::Client::open(info.clone())?;
        let commands = Measured::new(ConnectionManager::new_with_config(client, config).await?);
        let db = info.redis_settings().db();
        let bulk = deadpool_redis::Manager::new(info)?;
        let bulk = deadpool_redis::Pool::builder(bulk)
            .max_size(BULK_CONNECTIONS)
            .build()
            .map_err(|error| StoreError::Broken(error.to_string()))?;
        Ok(Self {
            commands,
            bulk,
            keys,
            scripts: Scripts::default(),
            output_buffer,
            db,
        })
    }

    /// The users of containers on the same server.
    pub fn users(&self) -> RedisUsers {
        RedisUsers::new(self.commands(), self.keys.clone(), self.db)
    }

    fn commands(&self) -> Measured<ConnectionManager> {
        self.commands.clone()
    }

    async fn hashes(
        &self,
        keys: impl IntoIterator<Item = String>,
    ) -> Result<Vec<HashMap<String, String>>, StoreError> {
        let commands = keys.into_iter().map(redis::Cmd::hgetall).collect();
        spoilt::each(self.commands(), commands, HashMap::new()).await
    }

    async fn lengths(
        &self,
        lists: impl IntoIterator<Item = String>,
    ) -> Result<Vec<usize>, StoreError> {
        let commands = lists.into_iter().map(redis::Cmd::llen).collect();
        // To one that is none nothing can be delivered.
        spoilt::each(self.commands(), commands, 1).await
    }

    /// For scripts that find out themselves which container they are about.
    fn container_prefix(&self) -> String {
        self.keys.container_prefix()
    }

    /// Every key of a session that lives as long as it does; its state first.
    fn lasting(keys: SessionKeys) -> [String; 5] {
        [
            keys.state,
            keys.input,
            keys.inflight,
            keys.output_buffer,
            keys.result,
        ]
    }
}

#[async_trait]
impl Store for RedisStore {
    async fn ping(&self) -> Result<Duration, StoreError> {
        let asked = Instant::now();
        redis::cmd("PING").exec_async(&mut self.commands()).await?;
        Ok(asked.elapsed())
    }

    async fn pool_id(&self, proposal: &str) -> Result<String, StoreError> {
        let key = self.keys.pool_id();
        let mut commands = self.commands();
        let _: bool = commands.set_nx(&key, proposal).await?;
        Ok(commands.get(&key).await?)
    }

    async fn reserve(
        &self,
        container: &ContainerId,
        cap: usize,
        fingerprint: &str,
        token_hash: &str,
        acl_hash: Option<&str>,
    ) -> Result<Reserve, StoreError> {
        let code: String = self
            .scripts
            .reserve
            .key(self.keys.containers())
            .key(self.keys.container(container).record)
            .arg(container.as_str())
            .arg(cap)
            .arg(fingerprint)
            .arg(token_hash)
            .arg(acl_hash.unwrap_or_default())
            .invoke_async(&mut self.commands())
            .await?;
        match code.as_str() {
            "ok" => Ok(Reserve::Reserved),
            "at_cap" => Ok(Reserve::AtCap),
            other => Err(unexpected("reserve", other)),
        }
    }

    async fn note(
        &self,
        container: &ContainerId,
        field: &'static str,
        value: &str,
    ) -> Result<(), StoreError> {
        let key = self.keys.container(container).record;
        let mut commands = self.commands();
        if commands.exists(&key).await? {
            let _: () = commands.hset(&key, field, value).await?;
        }
        Ok(())
    }

    async fn containers(&self) -> Result<Vec<Container>, StoreError> {
        let ids: Vec<String> = self.commands().smembers(self.keys.containers()).await?;
        let ids: Vec<ContainerId> = ids
            .into_iter()
            .filter_map(|id| ContainerId::new(id).ok())
            .collect();
        let keys = ids.iter().flat_map(|id| {
            let keys = self.keys.container(id);
            [keys.record, keys.report]
        });
        let hashes = self.hashes(keys).await?;
        let mut containers: Vec<Container> = ids
            .into_iter()
            .zip(hashes.chunks_exact(2))
            .filter_map(|(id, pair)| Container::from_hashes(id, &pair[0], &pair[1]))
            .collect();
        let serving = || containers.iter().filter_map(|c| c.session.as_ref());
        let states = self.hashes(serving().map(|s| self.keys.session(s).state));
        let inboxes = self.lengths(
            containers
                .iter()
                .filter(|c| c.session.is_some())
                .map(|c| self.keys.container(&c.id).inbox),
        );
        let (states, inboxes) = tokio::try_join!(states, inboxes)?;
        let with_session = containers.iter_mut().filter(|c| c.session.is_some());
        for ((container, state), inbox) in with_session.zip(states).zip(inboxes) {
            container.activity = Some(Activity::from_hash(&state));
            container.undelivered = inbox == 0;
        }
        Ok(containers)
    }

    async fn container(
        &self,
        container: &ContainerId,
    ) -> Result<Option<(Container, String)>, StoreError> {
        let keys = self.keys.container(container);
        let hashes = self.hashes([keys.record, keys.report]).await?;
        let token_hash = hashes[0]
            .get(field::TOKEN_HASH)
            .cloned()
            .unwrap_or_default();
        let found = Container::from_hashes(container.clone(), &hashes[0], &hashes[1]);
        Ok(found.map(|found| (found, token_hash)))
    }

    async fn promote(&self, container: &ContainerId, tools: bool) -> Result<bool, StoreError> {
        let keys = self.keys.container(container);
        let code: String = self
            .scripts
            .promote
            .key(keys.record)
            .key(keys.report)
            .key(self.keys.warm())
            .arg(container.as_str())
            .arg(u8::from(tools))
            .invoke_async(&mut self.commands())
            .await?;
        match code.as_str() {
            "ok" => Ok(true),
            "not_creating" | "not_ready" => Ok(false),
            other => Err(unexpected("promote", other)),
        }
    }

    async fn claim(&self, terms: &ClaimTerms) -> Result<ClaimOutcome, StoreError> {
        let Assigned {
            session,
            agent,
            json,
            model,
        } = Assigned::from(terms);
        let [state, rest @ ..] = Self::lasting(self.keys.session(session));
        let answer: Vec<String> = self
            .scripts
            .claim
            .key(self.keys.warm())
            .key(self.keys.sessions())
            .key(self.keys.agent(agent))
            .key(state)
            .key(&rest[..])
            .arg(session.as_str())
            .arg(agent.as_str())
            .arg(terms.max_per_agent)
            .arg(self.container_prefix())
            .arg(json)
            .arg(model)
            .arg(millis(terms.heartbeat))
            .invoke_async(&mut self.commands())
            .await?;
        let id = || container_id("claim", &answer);
        match answer.first().map(String::as_str) {
            Some("ok") => Ok(ClaimOutcome::Claimed {
                container: id()?,
                acl_hash: answer.get(2).filter(|hash| !hash.is_empty()).cloned(),
            }),
            Some("live") => Ok(ClaimOutcome::Live(id()?)),
            Some("draining") => Ok(ClaimOutcome::Draining(id()?)),
            Some("agent_limit") => Ok(ClaimOutcome::AgentLimit),
            Some("none") => Ok(ClaimOutcome::NoneWarm),
            other => Err(unexpected("claim", other.unwrap_or("nothing"))),
        }
    }

    async fn retire(
        &self,
        container: &ContainerId,
        to: ContainerState,
        reason: &str,
        condition: Condition<'_>,
    ) -> Result<Retired, StoreError> {
        let mut script = self.scripts.retire.prepare_invoke();
        script
            .key(self.keys.container(container).record)
            .key(self.keys.warm());
        script.arg(container.as_str()).arg(to.as_str()).arg(reason);
        match condition {
            Condition::None => script.arg(""),
            Condition::Serves(session) => script.arg(session.as_str()),
            Condition::Quiet(session, since) => script
                .key(self.keys.session(session).state)
                .arg(session.as_str())
                .arg(since),
        };
        let answer: Vec<String> = script.invoke_async(&mut self.commands()).await?;
        match answer.first().map(String::as_str) {
            Some("ok") => Ok(Retired::Out(
                answer.get(1).and_then(|s| SessionId::new(s.as_str()).ok()),
            )),
            Some("gone") => Ok(Retired::Gone),
            Some("moved") => Ok(Retired::Moved),
            other => Err(unexpected("retire", other.unwrap_or("nothing"))),
        }
    }

    async fn release(&self, container: &Container, retain: Duration) -> Result<(), StoreError> {
        let keys = self.keys.container(&container.id);
        let mut script = self.scripts.release.prepare_invoke();
        script
            .key(self.keys.containers())
            .key(self.keys.warm())
            .key(self.keys.sessions())
            .key(keys.record)
            .key(keys.report)
            .key(keys.inbox);
        if let Some(session) = &container.session {
            let agent = container.agent.clone().unwrap_or_default();
            script.key(self.keys.agent(&agent));
            script.key(&Self::lasting(self.keys.session(session))[..]);
        }
        script
            .arg(container.id.as_str())
            .arg(container.session.as_ref().map_or("", SessionId::as_str))
            .arg(millis(retain).max(1))
            .arg(
                container
                    .session
                    .as_ref()
                    .map_or(String::new(), |s| self.keys.session(s).output),
            );
        let _: String = script.invoke_async(&mut self.commands()).await?;
        Ok(())
    }

    async fn sessions(&self) -> Result<Vec<(SessionId, ContainerId)>, StoreError> {
        let live: HashMap<String, String> = self.commands().hgetall(self.keys.sessions()).await?;
        let mut live: Vec<(SessionId, ContainerId)> = live
            .into_iter()
            .filter_map(|(s, c)| Some((SessionId::new(s).ok()?, ContainerId::new(c).ok()?)))
            .collect();
        live.sort();
        Ok(live)
    }

    async fn session_state(
        &self,
        session: &SessionId,
    ) -> Result<HashMap<String, String>, StoreError> {
        Ok(self
            .commands()
            .hgetall(self.keys.session(session).state)
            .await?)
    }

    async fn push(
        &self,
        session: &SessionId,
        turn: &TurnId,
        item: &str,
        idempotency: Option<(&str, Duration)>,
    ) -> Result<PushOutcome, StoreError> {
        let keys = self.keys.session(session);
        let mut script = self.scripts.push.prepare_invoke();
        script
            .key(self.keys.sessions())
            .key(keys.input)
            .key(keys.state);
        script
            .arg(session.as_str())
            .arg(item)
            .arg(turn.as_str())
            .arg(self.container_prefix());
        if let Some((key, kept)) = idempotency {
            script
                .key(self.keys.idempotency(session, key))
                .arg(millis(kept));
        }
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
        from: &str,
        to: u64,
        prompts: usize,
        envelopes: &[String],
        result: &str,
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
            .arg(keys.output)
            .arg(self.output_buffer)
            .arg(from)
            .arg(result)
            .arg(prompts)
            .arg(to)
            .arg(envelopes)
            .invoke_async(&mut self.commands())
            .await?;
        match code.as_str() {
            "ok" => Ok(true),
            "moved" => Ok(false),
            other => Err(unexpected("conclude", other)),
        }
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("prefix", &self.keys.prefix())
            .finish_non_exhaustive()
    }
}
