use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::StreamExt;
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::samples::Samples;

/// About as much as an envelope with a delta.
const PAYLOAD: usize = 300;

/// Between two items: the reader waits in Redis again by then.
const PAUSE: Duration = Duration::from_millis(1);

const LIMIT: Duration = Duration::from_secs(60);

/// What Redis itself costs on the way of a prompt and of an envelope, in ms.
#[derive(Debug, Default)]
pub(crate) struct RedisHops {
    /// RPUSH in one connection until BLPOP in another has it.
    pub(crate) list: Samples,
    /// PUBLISH until the subscriber has it.
    pub(crate) channel: Samples,
    /// The server's version.
    pub(crate) version: String,
}

impl RedisHops {
    /// Measures `count` of each at this address.
    pub(crate) async fn measure(url: &str, key: &str, count: usize) -> Result<Self> {
        let client = redis::Client::open(url)?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        let info: String = redis::cmd("INFO")
            .arg("server")
            .query_async(&mut connection)
            .await?;
        let version = info
            .lines()
            .find_map(|line| line.strip_prefix("redis_version:"));
        let version = version.unwrap_or("unknown").trim().to_owned();
        let measured = async {
            let list = list(&client, &mut connection, key, count).await?;
            let channel = channel(&client, &mut connection, key, count).await?;
            anyhow::Ok(Self {
                list,
                channel,
                version,
            })
        };
        tokio::time::timeout(LIMIT, measured)
            .await
            .context("Redis did not answer in time")?
    }
}

async fn list(
    client: &redis::Client,
    pusher: &mut MultiplexedConnection,
    key: &str,
    count: usize,
) -> Result<Samples> {
    let mut popper = client.get_multiplexed_async_connection().await?;
    let (got, mut arrivals) = mpsc::channel(1);
    let mut tasks = JoinSet::new();
    let from = key.to_owned();
    tasks.spawn(async move {
        for _ in 0..count {
            let _: Option<(String, Vec<u8>)> = popper.blpop(&from, 0.4).await?;
            if got.send(Instant::now()).await.is_err() {
                break;
            }
        }
        anyhow::Ok(())
    });
    let payload = vec![b'x'; PAYLOAD];
    let mut samples = Samples::default();
    for _ in 0..count {
        tokio::time::sleep(PAUSE).await;
        let pushed = Instant::now();
        let _: u64 = pusher.rpush(key, &payload).await?;
        let arrived = arrivals.recv().await.context("the reader has ended")?;
        samples.add(arrived.saturating_duration_since(pushed).as_secs_f64() * 1e3);
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(samples)
}

async fn channel(
    client: &redis::Client,
    publisher: &mut MultiplexedConnection,
    key: &str,
    count: usize,
) -> Result<Samples> {
    let mut subscriber = client.get_async_pubsub().await?;
    subscriber.subscribe(key).await?;
    let (got, mut arrivals) = mpsc::channel(1);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut messages = subscriber.into_on_message();
        for _ in 0..count {
            let message = messages.next().await;
            if message.is_none() || got.send(Instant::now()).await.is_err() {
                break;
            }
        }
    });
    let payload = vec![b'x'; PAYLOAD];
    let mut samples = Samples::default();
    for _ in 0..count {
        tokio::time::sleep(PAUSE).await;
        let published = Instant::now();
        let _: u64 = publisher.publish(key, &payload).await?;
        let arrived = arrivals.recv().await.context("the subscriber has ended")?;
        samples.add(arrived.saturating_duration_since(published).as_secs_f64() * 1e3);
    }
    while let Some(ended) = tasks.join_next().await {
        ended?;
    }
    Ok(samples)
}
