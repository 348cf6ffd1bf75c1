//! Warm containers on paper: everything that Redis keeps of one, written as gateways and wrappers
//! write it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use ccpool::standing::Fence;
use ccpool::store::{RedisStore, RedisUsers, Register, Reservation, Reserve, Store};
use ccpool::{ClaimRequest, ContainerId, GatewayId, Pool};
use ccpool_protocol::keys::Keys;
use ccpool_protocol::record::{field, report};
use ccpool_protocol::scripts;
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;

use super::paper::HOST;
use super::server::Server;

/// Of every container's user.
pub(crate) const PASSWORD: &str = "bench";
/// SHA-256 of it.
const HASH: &str = "1b32c28cb38c05480eccc1bd60ff97029b57a05c96718b96dad7e9d84894f549";
/// Reports are dated so far ahead: no wrapper repeats them.
const AHEAD: Duration = Duration::from_secs(3600);
/// A gateway that leads for as long as a benchmark takes.
const LEAD: Duration = Duration::from_secs(3600);
const BUFFER: usize = 1000;
const POLL: Duration = Duration::from_millis(5);

/// Puts warm containers into a pool, and takes them out again.
#[derive(Debug)]
pub(crate) struct Shelf {
    pub(crate) store: RedisStore,
    pub(crate) users: RedisUsers,
    pub(crate) keys: Keys,
    connection: MultiplexedConnection,
    fence: Fence,
    fingerprint: String,
    script: String,
}

impl Shelf {
    /// In a pool that no gateway leads: this one does.
    pub(crate) async fn alone(server: &Server, prefix: &str) -> Result<Self> {
        let keys = Keys::new(prefix);
        let store = RedisStore::connect(server.info()?, keys.clone(), BUFFER).await?;
        let id = store.pool_id(prefix).await?;
        let me = GatewayId::from_random(1, HOST);
        let standing = store.attend(&me, LEAD, &id).await?;
        let fence = standing.fence.context("somebody else leads")?;
        Self::with(server, keys, store, fence, "paper".to_owned()).await
    }

    /// In a pool that this gateway leads.
    pub(crate) async fn beside(server: &Server, prefix: &str, pool: &Pool) -> Result<Self> {
        let fingerprint = fingerprint(server.connect().await?, prefix, pool).await?;
        Self::of_print(server, prefix, fingerprint).await
    }

    /// In a pool that a gateway leads which makes its containers from this.
    pub(crate) async fn of_print(server: &Server, prefix: &str, print: String) -> Result<Self> {
        let keys = Keys::new(prefix);
        let store = RedisStore::connect(server.info()?, keys.clone(), BUFFER).await?;
        let fence: u64 = server.connect().await?.hget(keys.leader(), "fence").await?;
        Self::with(server, keys, store, Fence(fence), print).await
    }

    async fn with(
        server: &Server,
        keys: Keys,
        store: RedisStore,
        fence: Fence,
        fingerprint: String,
    ) -> Result<Self> {
        let script = redis::Script::new(scripts::PUBLISH).get_hash().to_owned();
        Ok(Self {
            users: store.users(),
            store,
            keys,
            connection: server.connect().await?,
            fence,
            fingerprint,
            script,
        })
    }

    /// Adds a warm container.
    pub(crate) async fn add(&mut self) -> Result<ContainerId> {
        let container = ContainerId::from_random(rand::random());
        let place = Reservation {
            container: container.clone(),
            cap: usize::MAX,
            fingerprint: self.fingerprint.clone(),
            token_hash: HASH.to_owned(),
            acl_hash: Some(HASH.to_owned()),
            host: HOST.to_owned(),
        };
        match self.store.reserve(&place, self.fence).await? {
            Reserve::Reserved => {}
            refused @ (Reserve::AtCap | Reserve::Fenced) => bail!("no place: {refused:?}"),
        }
        self.users.admit(&container).await?;
        let now = now_ms();
        let beat = now + AHEAD.as_millis();
        redis::cmd("HSET")
            .arg(self.keys.container(&container).report)
            .arg(&[(report::REGISTERED_AT, now.to_string())])
            .arg(&[(report::READY_AT, now.to_string())])
            .arg(&[(report::HEARTBEAT, beat.to_string())])
            .arg(&[(report::SCRIPT, &self.script)])
            .exec_async(&mut self.connection)
            .await?;
        // A gateway may have been faster.
        self.store
            .promote(&container, false, Some(self.fence))
            .await?;
        Ok(container)
    }

    /// Adds so many.
    pub(crate) async fn fill(&mut self, count: usize) -> Result<()> {
        for _ in 0..count {
            self.add().await?;
        }
        Ok(())
    }

    /// So many can be claimed.
    pub(crate) async fn expect_warm(&mut self, count: usize) -> Result<()> {
        let warm: usize = self.connection.zcard(self.keys.warm()).await?;
        ensure!(warm == count, "{warm} containers are warm, not {count}");
        Ok(())
    }

    /// Forgets a container, and its session.
    pub(crate) async fn remove(&self, container: &ContainerId) -> Result<()> {
        if let Some(found) = self.store.container(container).await? {
            self.store.release(&found, Duration::from_millis(1)).await?;
        }
        Ok(self.users.expel(container).await?)
    }
}

/// What a gateway makes its containers from: read off one that it has made for a claim. The claim is
/// given up, and the container is gone then.
pub(crate) async fn fingerprint(
    mut connection: MultiplexedConnection,
    prefix: &str,
    pool: &Pool,
) -> Result<String> {
    let keys = Keys::new(prefix);
    let made = async {
        let mut poll = tokio::time::interval(POLL);
        loop {
            poll.tick().await;
            let all: Vec<String> = connection.smembers(keys.containers()).await?;
            if let Some(id) = all.first() {
                return anyhow::Ok(ContainerId::new(id.as_str())?);
            }
        }
    };
    let container = tokio::select! {
        made = made => made?,
        claimed = pool.claim(ClaimRequest::default()) => {
            bail!("a claim was answered without a warm container: {claimed:?}")
        }
    };
    let record = keys.container(&container).record;
    let print: String = connection.hget(&record, field::FINGERPRINT).await?;
    let failed = "it was made to be looked at";
    let report = keys.container(&container).report;
    let _: u64 = connection.hset(report, report::FAILURE, failed).await?;
    let _: u64 = connection
        .publish(keys.events(), container.as_str())
        .await?;
    let mut poll = tokio::time::interval(POLL);
    while connection
        .sismember(keys.containers(), container.as_str())
        .await?
    {
        poll.tick().await;
    }
    Ok(print)
}

fn now_ms() -> u128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_millis()
}
