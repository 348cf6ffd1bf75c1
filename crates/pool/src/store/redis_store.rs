//! The shared state in Redis: short commands over one multiplexed connection that fails at once
//! when Redis is away, looks at all containers over another one, and long reads over pooled ones, so
//! that they hold nobody up.

use std::collections::HashMap;
use std::fmt;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use ccpool_protocol::control::Control;
use ccpool_protocol::keys::{Keys, SessionKeys};
use ccpool_protocol::record::ContainerState;
use ccpool_protocol::{ContainerId, SessionId};
use deadpool_redis::redis::{self as redis, AsyncCommands, ConnectionInfo};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};

use super::answer::{fence_word, unexpected};
use super::measured::Measured;
use super::scripts::Scripts;
use super::spoilt;
use super::{Bearer, Condition, RedisUsers, Reservation, Reserve, Retired, Store, StoreError};
use crate::clock::millis;
use crate::container::{Activity, Container};
use crate::standing::Fence;

/// How long a short command may take.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long connecting may take.
pub(super) const CONNECTION_TIMEOUT: Duration = Duration::from_secs(1);
/// Containers that are read in one go.
const AT_ONCE: usize = 32;
/// Connections for long reads.
const BULK_CONNECTIONS: usize = 4;

/// The real store.
pub struct RedisStore {
    commands: Measured<ConnectionManager>,
    /// For reading all containers: commands do not queue up behind that.
    looks: Measured<ConnectionManager>,
    pub(super) bulk: deadpool_redis::Pool,
    pub(super) keys: Keys,
    pub(super) scripts: Scripts,
    pub(super) output_buffer: usize,
    /// The pool's id as it was told first.
    pool: OnceLock<String>,
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
        let commands = ConnectionManager::new_with_config(client.clone(), config.clone()).await?;
        let looks = ConnectionManager::new_with_config(client, config).await?;
        let db = info.redis_settings().db();
        let bulk = deadpool_redis::Manager::new(info)?;
        let bulk = deadpool_redis::Pool::builder(bulk)
            .max_size(BULK_CONNECTIONS)
            .build()
            .map_err(|error| StoreError::Broken(error.to_string()))?;
        Ok(Self {
            commands: Measured::new(commands),
            looks: Measured::new(looks),
            bulk,
            keys,
            scripts: Scripts::default(),
            output_buffer,
            pool: OnceLock::new(),
            db,
        })
    }

    /// The users of containers on the same server.
    pub fn users(&self) -> RedisUsers {
        let (commands, looks) = (self.commands(), self.looks.clone());
        RedisUsers::new(commands, looks, self.keys.clone(), self.db)
    }

    pub(super) fn commands(&self) -> Measured<ConnectionManager> {
        self.commands.clone()
    }

    async fn hashes(
        &self,
        keys: impl IntoIterator<Item = String>,
    ) -> Result<Vec<HashMap<String, String>>, StoreError> {
        let commands = keys.into_iter().map(redis::Cmd::hgetall).collect();
        spoilt::each(self.looks.clone(), commands, HashMap::new()).await
    }

    async fn lengths(
        &self,
        lists: impl IntoIterator<Item = String>,
    ) -> Result<Vec<usize>, StoreError> {
        let commands = lists.into_iter().map(redis::Cmd::llen).collect();
        // To one that is none nothing can be delivered.
        spoilt::each(self.looks.clone(), commands, 1).await
    }

    /// These containers, as far as they are there. Few at a time: Redis carries out what lies before it
    /// of one connection in one go, and others wait for it.
    async fn some(&self, ids: &[ContainerId]) -> Result<Vec<Container>, StoreError> {
        // The report first: what it says of a claim the record says too by then.
        let keys = ids.iter().flat_map(|id| {
            let keys = self.keys.container(id);
            [keys.report, keys.record]
        });
        let hashes = self.hashes(keys).await?;
        let mut containers: Vec<Container> = ids
            .iter()
            .zip(hashes.chunks_exact(2))
            .filter_map(|(id, pair)| Container::from_hashes(id.clone(), &pair[1], &pair[0]))
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

    /// What is not there may have been lost.
    pub(super) async fn unless_emptied(&self) -> Result<(), StoreError> {
        let id: Option<String> = self.commands().get(self.keys.pool_id()).await?;
        // Another id: a gateway that knew nothing of this pool has begun another one.
        let known = id.is_some_and(|id| self.pool.get().is_none_or(|ours| *ours == id));
        if known {
            Ok(())
        } else {
            Err(StoreError::Emptied)
        }
    }

    /// For scripts that find out themselves which container they are about.
    pub(super) fn container_prefix(&self) -> String {
        self.keys.container_prefix()
    }

    /// Every key of a session that lives as long as it does; its state first.
    pub(super) fn lasting(keys: SessionKeys) -> [String; 6] {
        [
            keys.state,
            keys.input,
            keys.inflight,
            keys.output_buffer,
            keys.result,
            keys.transcript,
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
        let id: String = commands.get(&key).await?;
        self.pool.get_or_init(|| id.clone());
        Ok(id)
    }

    async fn reserve(&self, place: &Reservation, fence: Fence) -> Result<Reserve, StoreError> {
        let code: String = self
            .scripts
            .reserve
            .key(self.keys.containers())
            .key(self.keys.container(&place.container).record)
            .key(self.keys.leader())
            .arg(place.container.as_str())
            .arg(place.cap)
            .arg(&place.fingerprint)
            .arg(&place.token_hash)
            .arg(place.acl_hash.as_deref().unwrap_or_default())
            .arg(&place.host)
            .arg(fence.0)
            .invoke_async(&mut self.commands())
            .await?;
        match code.as_str() {
            "ok" => Ok(Reserve::Reserved),
            "at_cap" => Ok(Reserve::AtCap),
            "fenced" => Ok(Reserve::Fenced),
            other => Err(unexpected("reserve", other)),
        }
    }

    async fn note(
        &self,
        container: &ContainerId,
        field: &'static str,
        value: &str,
    ) -> Result<(), StoreError> {
        let _: String = self
            .scripts
            .note
            .key(self.keys.container(container).record)
            .arg(field)
            .arg(value)
            .invoke_async(&mut self.commands())
            .await?;
        Ok(())
    }

    async fn containers(&self) -> Result<Vec<Container>, StoreError> {
        let mut looks = self.looks.clone();
        let ids: Vec<String> = looks.smembers(self.keys.containers()).await?;
        let ids: Vec<ContainerId> = ids
            .into_iter()
            .filter_map(|id| ContainerId::new(id).ok())
            .collect();
        let mut containers = Vec::with_capacity(ids.len());
        for some in ids.chunks(AT_ONCE) {
            containers.extend(self.some(some).await?);
        }
        self.unless_emptied().await?;
        Ok(containers)
    }

    async fn container(&self, container: &ContainerId) -> Result<Option<Container>, StoreError> {
        let keys = self.keys.container(container);
        let hashes = self.hashes([keys.record, keys.report]).await?;
        let found = Container::from_hashes(container.clone(), &hashes[0], &hashes[1]);
        if found.is_none() {
            self.unless_emptied().await?;
        }
        Ok(found)
    }

    async fn bearer(
        &self,
        container: &ContainerId,
        person: Option<&str>,
    ) -> Result<Option<Bearer>, StoreError> {
        let (record, mut commands) = (self.keys.container(container).record, self.commands());
        // No container may write either key, so none can spoil them.
        let (values, pass) = match person {
            None => (commands.hmget(record, &Bearer::FIELDS).await?, None),
            Some(person) => {
                let (values, pass): (_, [Option<String>; 2]) = redis::pipe()
                    .hmget(record, &Bearer::FIELDS)
                    .hmget(self.keys.pass(person), &["container", "hash"])
                    .query_async(&mut commands)
                    .await?;
                (values, Some(pass))
            }
        };
        let Some(bearer) = Bearer::from_record(values) else {
            self.unless_emptied().await?;
            return Ok(None);
        };
        match pass {
            None => Ok(Some(bearer)),
            Some([Some(of), Some(hash)]) if of == container.as_str() => {
                Ok(Some(Bearer { hash, ..bearer }))
            }
            Some(_) => Ok(None),
        }
    }

    async fn promote(
        &self,
        container: &ContainerId,
        tools: bool,
        fence: Option<Fence>,
    ) -> Result<bool, StoreError> {
        let keys = self.keys.container(container);
        let code: String = self
            .scripts
            .promote
            .key(keys.record)
            .key(keys.report)
            .key(self.keys.warm())
            .key(self.keys.leader())
            .arg(container.as_str())
            .arg(u8::from(tools))
            .arg(fence_word(fence))
            .arg(self.keys.news())
            .invoke_async(&mut self.commands())
            .await?;
        match code.as_str() {
            "ok" => Ok(true),
            "not_creating" | "not_ready" | "fenced" => Ok(false),
            other => Err(unexpected("promote", other)),
        }
    }

    async fn restore(&self, container: &Container, fence: Fence) -> Result<bool, StoreError> {
        let mut script = self.scripts.restore.prepare_invoke();
        script
            .key(self.keys.containers())
            .key(self.keys.container(&container.id).record)
            .key(self.keys.sessions())
            .key(self.keys.leader())
            .key(self.keys.container(&container.id).report);
        let session = container.session.as_ref();
        let agent = container.agent.clone().unwrap_or_default();
        if let Some(session) = session {
            script
                .key(self.keys.agent(&agent))
                .key(self.keys.session(session).state);
        }
        script
            .arg(container.id.as_str())
            .arg(fence.0)
            .arg(session.map_or("", SessionId::as_str))
            .arg(agent.as_str())
            .arg(container.record.len() * 2);
        for (name, value) in &container.record {
            script.arg(name).arg(value);
        }
        for (name, value) in container.activity.iter().flat_map(|a| &a.state) {
            script.arg(name).arg(value);
        }
        let code: String = script.invoke_async(&mut self.commands()).await?;
        match code.as_str() {
            "ok" => Ok(true),
            "fenced" => Ok(false),
            other => Err(unexpected("restore", other)),
        }
    }

    async fn retire(
        &self,
        container: &ContainerId,
        to: ContainerState,
        reason: &str,
        condition: Condition<'_>,
        fence: Option<Fence>,
    ) -> Result<Retired, StoreError> {
        let mut script = self.scripts.retire.prepare_invoke();
        script
            .key(self.keys.container(container).record)
            .key(self.keys.warm())
            .key(self.keys.leader());
        script.arg(container.as_str()).arg(to.as_str()).arg(reason);
        match condition {
            Condition::None => script.arg("").arg(fence_word(fence)),
            Condition::Serves(session) => script.arg(session.as_str()).arg(fence_word(fence)),
            Condition::Quiet(session, since) => script
                .key(self.keys.session(session).state)
                .arg(session.as_str())
                .arg(fence_word(fence))
                .arg(since),
        };
        let answer: Vec<String> = script.invoke_async(&mut self.commands()).await?;
        match answer.first().map(String::as_str) {
            Some("ok") => Ok(Retired::Out(
                answer.get(1).and_then(|s| SessionId::new(s.as_str()).ok()),
            )),
            Some("gone") => Ok(Retired::Gone),
            Some("moved" | "fenced") => Ok(Retired::Moved),
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
            )
            .arg(self.keys.news())
            .arg(self.keys.agents_prefix())
            .arg(container.agent.clone().unwrap_or_default().as_str());
        let _: String = script.invoke_async(&mut self.commands()).await?;
        Ok(())
    }

    async fn stop(
        &self,
        container: &ContainerId,
        session: Option<&SessionId>,
    ) -> Result<(), StoreError> {
        let word = Control::Shutdown.to_json();
        let mut pipe = redis::pipe();
        pipe.publish(self.keys.container(container).control, &word);
        if let Some(session) = session {
            pipe.publish(self.keys.session(session).control, &word);
        }
        Ok(pipe.exec_async(&mut self.commands()).await?)
    }

    async fn serving(&self, session: &SessionId) -> Result<Option<ContainerId>, StoreError> {
        let mut commands = self.commands();
        let id: Option<String> = commands
            .hget(self.keys.sessions(), session.as_str())
            .await?;
        if id.is_none() {
            self.unless_emptied().await?;
        }
        Ok(id.and_then(|id| ContainerId::new(id).ok()))
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
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("prefix", &self.keys.prefix())
            .finish_non_exhaustive()
    }
}
