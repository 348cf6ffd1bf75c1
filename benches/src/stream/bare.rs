//! The floor: Redis alone, at the same address, doing what each envelope has done to it (appended to
//! a list that is trimmed, published to a channel), with one subscriber.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::StreamExt;
use redis::aio::{MultiplexedConnection, PubSub};
use tokio::time::{interval, timeout};

use super::KEEP;
use crate::samples::Samples;

/// Envelopes in one pipeline, as many as the wrapper sends in one batch.
const BATCH: u64 = 256;
const LIMIT: Duration = Duration::from_secs(120);

/// Writes `count` envelopes as fast as Redis takes them; envelopes a second until the subscriber has
/// the last.
pub(crate) async fn burst(url: &str, key: &str, count: u64) -> Result<f64> {
    let (connection, subscriber) = connect(url, key).await?;
    let began = Instant::now();
    let written = write(connection, key, count);
    let heard = hear(subscriber, count);
    let both = async { tokio::try_join!(written, heard) };
    timeout(LIMIT, both)
        .await
        .context("Redis took too long")??;
    Ok(count as f64 / began.elapsed().as_secs_f64())
}

/// Writes `count` envelopes, `pace` a second; how long each took to the subscriber, in ms.
pub(crate) async fn paced(url: &str, key: &str, count: u64, pace: u64) -> Result<Samples> {
    let (mut connection, subscriber) = connect(url, key).await?;
    let writing = async {
        let mut tick = interval(Duration::from_secs_f64(1.0 / pace as f64));
        for number in 0..count {
            tick.tick().await;
            let mut pipe = redis::pipe();
            append(&mut pipe, key, number, 1);
            pipe.query_async::<()>(&mut connection).await?;
        }
        anyhow::Ok(())
    };
    let hearing = async {
        let mut samples = Samples::default();
        let mut messages = subscriber.into_on_message();
        for _ in 0..count {
            let message = messages.next().await.context("the subscription ended")?;
            samples.add(super::reader::age_ms(message.get_payload_bytes())?);
        }
        anyhow::Ok(samples)
    };
    let both = async { tokio::try_join!(writing, hearing) };
    let ((), samples) = timeout(LIMIT, both)
        .await
        .context("Redis took too long")??;
    Ok(samples)
}

async fn connect(url: &str, key: &str) -> Result<(MultiplexedConnection, PubSub)> {
    let client = redis::Client::open(url)?;
    let mut subscriber = client.get_async_pubsub().await?;
    subscriber.subscribe(key).await?;
    Ok((client.get_multiplexed_async_connection().await?, subscriber))
}

async fn write(mut connection: MultiplexedConnection, key: &str, count: u64) -> Result<()> {
    for first in (0..count).step_by(usize::try_from(BATCH)?) {
        let mut pipe = redis::pipe();
        append(&mut pipe, key, first, BATCH.min(count - first));
        pipe.query_async::<()>(&mut connection).await?;
    }
    Ok(redis::cmd("DEL")
        .arg(key)
        .query_async(&mut connection)
        .await?)
}

async fn hear(subscriber: PubSub, count: u64) -> Result<()> {
    let mut messages = subscriber.into_on_message();
    for _ in 0..count {
        messages.next().await.context("the subscription ended")?;
    }
    Ok(())
}

fn append(pipe: &mut redis::Pipeline, key: &str, first: u64, count: u64) {
    let envelopes: Vec<String> = (first..first + count).map(envelope).collect();
    for envelope in &envelopes {
        pipe.rpush(key, envelope).ignore();
    }
    pipe.ltrim(key, -KEEP, -1).ignore();
    for envelope in envelopes {
        pipe.publish(key, envelope).ignore();
    }
}

/// As long as that of a delta.
fn envelope(number: u64) -> String {
    let now = super::reader::now_us();
    format!(
        "{{\"seq\":{number},\"turn\":\"burst\",\"at\":1795195419675,\"line\":{{\"type\":\
         \"stream_event\",\"event\":{{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\
         \"text_delta\",\"text\":\"{now} w{number:07} \"}}}},\"session_id\":\
         \"5c2a6b1e-0000-4000-8000-000000000000\",\"parent_tool_use_id\":null,\"uuid\":\
         \"8d4f4a52-0000-4000-8000-{number:012}\",\"api_message_id\":\"msg_1\"}}}}"
    )
}
