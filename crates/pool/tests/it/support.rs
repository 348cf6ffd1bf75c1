//! A pool with a real Redis and a fake runtime, and a puppet in place of each wrapper.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ccpool::config::{Config, RedisTarget};
use ccpool::protocol::envelope::Envelope;
use ccpool::protocol::event::Completed;
use ccpool::protocol::keys::{Keys, SessionKeys};
use ccpool::protocol::line::WrapperLine;
use ccpool::runtime::FakeRuntime;
use ccpool::{
    ClaimRequest, ContainerId, EmbeddedRedis, Event, EventStream, Pool, PoolParts, RedisAddress,
    SessionId, StreamedEvent, TurnId,
};
pub(crate) use ccpool_testing::{PATIENCE, eventually};
use futures::StreamExt;
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use serde_json::value::RawValue;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

pub(crate) struct World {
    pub(crate) pool: Pool,
    pub(crate) runtime: Arc<FakeRuntime>,
    pub(crate) keys: Keys,
    pub(crate) redis: EmbeddedRedis,
    pub(crate) connection: MultiplexedConnection,
    config: Arc<Config>,
    address: RedisAddress,
    _dir: TempDir,
}

/// A gateway that can be killed: nothing of it goes on, and nobody is told.
pub(crate) struct Mortal {
    pub(crate) pool: Pool,
    runtime: tokio::runtime::Runtime,
}

impl Mortal {
    pub(crate) fn kill(self) {
        self.runtime.shutdown_background();
    }
}

/// A pool of `min_warm`/`max_total` whose health interval is short.
pub(crate) fn config(min_warm: u32, max_total: u32) -> Config {
    let mut config = Config::default();
    config.redis.url = RedisTarget::Embedded;
    config.pool.min_warm = min_warm;
    config.pool.max_total = max_total;
    config.timeouts.health_interval = Duration::from_millis(200);
    config.timeouts.stop = Duration::from_millis(100);
    config
}

impl World {
    pub(crate) async fn new(config: Config) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = Config {
            data_dir: dir.path().to_owned(),
            ..config
        };
        let redis = EmbeddedRedis::start(dir.path()).await.unwrap();
        let address = RedisAddress::resolve(&config, Some(&redis.url()), None).unwrap();
        let client = redis::Client::open(address.url.expose()).unwrap();
        let connection = client.get_multiplexed_async_connection().await.unwrap();
        let runtime = Arc::new(FakeRuntime::default());
        let keys = Keys::new(config.redis.key_prefix.clone());
        let config = Arc::new(config);
        let pool = Pool::start(parts(&config, &runtime, &address)).await;
        Self {
            pool: pool.unwrap(),
            runtime,
            keys,
            redis,
            connection,
            config,
            address,
            _dir: dir,
        }
    }

    fn parts(&self) -> PoolParts {
        parts(&self.config, &self.runtime, &self.address)
    }

    /// Another gateway on the same Redis and the same host.
    pub(crate) async fn another(&self) -> Pool {
        Pool::start(self.parts()).await.unwrap()
    }

    /// Another gateway on another host, where all is well.
    pub(crate) async fn elsewhere(&self) -> (Pool, Arc<FakeRuntime>) {
        let runtime = Arc::new(FakeRuntime::on("elsewhere"));
        let parts = parts(&self.config, &runtime, &self.address);
        (Pool::start(parts).await.unwrap(), runtime)
    }

    /// What gateways tell each other from now on.
    pub(crate) async fn news(&self) -> redis::aio::PubSub {
        let client = redis::Client::open(self.address.url.expose()).unwrap();
        let mut news = client.get_async_pubsub().await.unwrap();
        news.subscribe(self.keys.news()).await.unwrap();
        news
    }

    /// Another one, which can be killed.
    pub(crate) async fn mortal(&self) -> Mortal {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().unwrap();
        let pool = runtime.spawn(Pool::start(self.parts()));
        let pool = pool.await.unwrap().unwrap();
        Mortal { pool, runtime }
    }

    /// Lets every container that is being created become ready, until `count` are warm.
    pub(crate) async fn warm(&mut self, count: usize) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while self.pool.snapshot().await.unwrap().counts.warm < count {
            assert!(
                tokio::time::Instant::now() < deadline,
                "{:?}",
                self.pool.snapshot().await
            );
            for container in self.containers().await {
                self.report_ready(&container).await;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // What health says is what the reconciler has seen.
        self.pool.wait_warm(count, PATIENCE).await.unwrap();
    }

    pub(crate) async fn containers(&mut self) -> Vec<ContainerId> {
        let ids: Vec<String> = self
            .connection
            .smembers(self.keys.containers())
            .await
            .unwrap();
        ids.into_iter()
            .map(|id| ContainerId::new(id).unwrap())
            .collect()
    }

    /// What a wrapper writes once `claude` answers, and with every heartbeat.
    pub(crate) async fn report_ready(&mut self, container: &ContainerId) {
        let now = now();
        let report = [("registeredAt", now), ("readyAt", now), ("heartbeat", now)];
        let key = self.keys.container(container).report;
        let script = redis::Script::new(ccpool::protocol::scripts::PUBLISH);
        let sha = script.get_hash();
        let () = self.connection.hset(&key, "script", sha).await.unwrap();
        let () = self.connection.hset_multiple(key, &report).await.unwrap();
        let () = self
            .connection
            .publish(self.keys.events(), container.as_str())
            .await
            .unwrap();
    }

    pub(crate) async fn claim(&self, session: &str) -> ContainerId {
        let session = Some(SessionId::new(session).unwrap());
        let claimed = self
            .pool
            .claim(ClaimRequest {
                session,
                ..ClaimRequest::default()
            })
            .await;
        claimed.unwrap().container
    }

    pub(crate) fn session_keys(&self, session: &str) -> SessionKeys {
        self.keys.session(&SessionId::new(session).unwrap())
    }

    /// Publishes a line as a wrapper does: buffer, state, channel.
    pub(crate) async fn publish(&mut self, session: &str, seq: u64, turn: &str, line: &str) {
        let keys = self.session_keys(session);
        let envelope = Envelope {
            seq,
            turn: TurnId::new(turn).unwrap(),
            at: now(),
            line: RawValue::from_string(line.to_owned()).unwrap(),
        };
        let json = envelope.to_json();
        let () = redis::pipe()
            .atomic()
            .rpush(&keys.output_buffer, &json)
            .hset(&keys.state, "seq", seq)
            .publish(&keys.output, &json)
            .query_async(&mut self.connection)
            .await
            .unwrap();
    }

    pub(crate) async fn publish_text(&mut self, session: &str, seq: u64, turn: &str, text: &str) {
        self.publish(session, seq, turn, &text_line(text)).await;
    }

    pub(crate) async fn publish_completed(
        &mut self,
        session: &str,
        seq: u64,
        turn: &str,
        text: &str,
    ) {
        let completed = Completed {
            text: text.to_owned(),
            ..Completed::default()
        };
        let event = Event::Completed(Box::new(completed));
        self.publish(
            session,
            seq,
            turn,
            &WrapperLine::Terminal { event }.to_json(),
        )
        .await;
    }

    /// Starts another server in the place of the one that is down: on its socket, with its password
    /// and with what it has saved.
    pub(crate) async fn restart_redis(&mut self) -> Child {
        let socket = self.redis.socket();
        let url = self.redis.url();
        let (_, password) = url.expose().split_once("?pass=").unwrap();
        let configuration = format!(
            "port 0\nsave \"\"\nunixsocket {}\ndir {}\nrequirepass {password}\n",
            socket.display(),
            socket.parent().unwrap().display(),
        );
        let mut server = Command::new("redis-server")
            .arg("-")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stdin = server.stdin.take().unwrap();
        stdin.write_all(configuration.as_bytes()).await.unwrap();
        drop(stdin);
        let client = redis::Client::open(url.expose()).unwrap();
        self.connection = eventually("Redis is back", async || {
            client.get_multiplexed_async_connection().await.ok()
        })
        .await;
        server
    }

    /// Waits until the reconciler has seen what there is now.
    pub(crate) async fn looked(&self) {
        // The next look may have begun before this; the one after it has not, and is over when
        // another one begins.
        let enough = self.runtime.listed() + 3;
        eventually("three looks", async || {
            (self.runtime.listed() >= enough).then_some(())
        })
        .await;
    }

    /// Waits until the pool looks as wanted.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&ccpool::PoolSnapshot) -> bool) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let snapshot = self.pool.snapshot().await.unwrap();
            if holds(&snapshot) {
                return;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "not in time: {what}: {snapshot:?}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn parts(config: &Arc<Config>, runtime: &Arc<FakeRuntime>, address: &RedisAddress) -> PoolParts {
    PoolParts {
        config: Arc::clone(config),
        runtime: Arc::<FakeRuntime>::clone(runtime),
        redis: address.clone(),
        mcp_url: None,
        credentials: BTreeMap::new(),
    }
}

pub(crate) fn text_line(text: &str) -> String {
    serde_json::json!({
        "type": "stream_event",
        "event": {"type": "content_block_delta", "index": 0,
                  "delta": {"type": "text_delta", "text": text}},
    })
    .to_string()
}

pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// The next event, which must come.
pub(crate) async fn next(events: &mut EventStream) -> StreamedEvent {
    let next = tokio::time::timeout(PATIENCE, events.next()).await;
    next.expect("an event in time").expect("an event").unwrap()
}

/// Everything up to the end of the stream.
pub(crate) async fn rest(mut events: EventStream) -> Vec<Event> {
    let mut all = Vec::new();
    let read = async {
        while let Some(event) = events.next().await {
            all.push(event.unwrap().event.event);
        }
    };
    tokio::time::timeout(PATIENCE, read)
        .await
        .expect("the stream ends");
    all
}
