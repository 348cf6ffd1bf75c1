//! One pub/sub connection for the whole gateway, shared by everybody who listens.
//!
//! What is published while the connection is away is lost, so listeners are told to look into the
//! buffer, which is the truth. Memory is bounded: a listener that falls behind loses the oldest
//! signals and is told so by the channel, and large messages are left in the buffer.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use deadpool_redis::redis::aio::{PubSubSink, PubSubStream};
use deadpool_redis::redis::{Client, ConnectionInfo, Msg, RedisResult};
use futures::StreamExt;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::store::StoreError;

/// Signals that a listener may be behind.
const CAPACITY: usize = 4096;
/// A message larger than this is fetched from the buffer instead: 4 KiB.
const LARGEST: usize = 4 << 10;
/// How long a subscription may take.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(2);

/// What a listener hears.
#[derive(Debug, Clone)]
pub(crate) enum Signal {
    /// A message, as it was published.
    Message(Arc<str>),
    /// Messages may have been missed: look into the buffer.
    Missed,
}

type Channels = HashMap<String, broadcast::Sender<Signal>>;

/// A handle to the connection.
#[derive(Clone)]
pub(crate) struct Hub {
    requests: mpsc::Sender<Request>,
}

struct Request {
    channel: String,
    subscribed: oneshot::Sender<broadcast::Receiver<Signal>>,
}

impl Hub {
    /// Starts the connection's task. It ends with `stop`.
    pub(crate) fn start(
        info: ConnectionInfo,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> RedisResult<Self> {
        let client = Client::open(info)?;
        let (requests, received) = mpsc::channel(64);
        tasks.spawn(async move {
            stop.run_until_cancelled(run(client, received)).await;
        });
        Ok(Self { requests })
    }

    /// Listens to a channel. Returns once Redis has confirmed it: what is published from then on
    /// is heard, or the listener is told that something was missed.
    pub(crate) async fn subscribe(
        &self,
        channel: &str,
    ) -> Result<broadcast::Receiver<Signal>, StoreError> {
        let (subscribed, answer) = oneshot::channel();
        let request = Request {
            channel: channel.to_owned(),
            subscribed,
        };
        let asked = async {
            self.requests.send(request).await.ok()?;
            answer.await.ok()
        };
        match tokio::time::timeout(SUBSCRIBE_TIMEOUT, asked).await {
            Ok(Some(receiver)) => Ok(receiver),
            Ok(None) | Err(_) => Err(StoreError::Unreachable {
                source: std::io::Error::new(
                    std::io::ErrorKind::TimedOut,
                    "no subscription within 2 s",
                )
                .into(),
            }),
        }
    }
}

/// Connects, serves, connects again, for ever.
async fn run(client: Client, mut requests: mpsc::Receiver<Request>) {
    let mut channels = Channels::new();
    let mut pause = Duration::from_millis(20);
    loop {
        match connect(&client, &mut channels).await {
            Ok((sink, stream)) => {
                pause = Duration::from_millis(20);
                for sender in channels.values() {
                    // Nobody listening any more is fine.
                    let _ = sender.send(Signal::Missed);
                }
                if serve(sink, stream, &mut requests, &mut channels)
                    .await
                    .is_none()
                {
                    return;
                }
                tracing::warn!("the pub/sub connection to Redis is lost; connecting again");
            }
            Err(error) => tracing::debug!(%error, "no pub/sub connection to Redis"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

async fn connect(
    client: &Client,
    channels: &mut Channels,
) -> RedisResult<(PubSubSink, PubSubStream)> {
    channels.retain(|_, sender| sender.receiver_count() > 0);
    let (mut sink, stream) = client.get_async_pubsub().await?.split();
    for channel in channels.keys() {
        sink.subscribe(channel).await?;
    }
    Ok((sink, stream))
}

/// Until the connection breaks. None: the hub itself is gone.
async fn serve(
    mut sink: PubSubSink,
    mut stream: PubSubStream,
    requests: &mut mpsc::Receiver<Request>,
    channels: &mut Channels,
) -> Option<()> {
    loop {
        // Both arms only take the next item of a queue, so the one that loses has taken nothing.
        tokio::select! {
            request = requests.recv() => {
                let request = request?;
                sweep(&mut sink, channels).await;
                let known = channels.contains_key(&request.channel);
                if !known && sink.subscribe(&request.channel).await.is_err() {
                    // The request is dropped, its asker told; the next connection may do better.
                    return Some(());
                }
                let sender = channels
                    .entry(request.channel)
                    .or_insert_with(|| broadcast::channel(CAPACITY).0);
                // Whoever asked may have gone.
                let _ = request.subscribed.send(sender.subscribe());
            }
            message = stream.next() => {
                let Some(message) = message else { return Some(()) };
                deliver(&message, channels);
            }
        }
    }
}

fn deliver(message: &Msg, channels: &Channels) {
    let Some(sender) = channels.get(message.get_channel_name()) else {
        return;
    };
    let signal = match std::str::from_utf8(message.get_payload_bytes()) {
        Ok(text) if text.len() <= LARGEST => Signal::Message(text.into()),
        Ok(_) | Err(_) => Signal::Missed,
    };
    // Nobody listening any more is fine.
    let _ = sender.send(signal);
}

/// Leaves the channels that nobody listens to any more.
async fn sweep(sink: &mut PubSubSink, channels: &mut Channels) {
    let silent: Vec<String> = channels
        .iter()
        .filter(|(_, sender)| sender.receiver_count() == 0)
        .map(|(channel, _)| channel.clone())
        .collect();
    for channel in silent {
        channels.remove(&channel);
        if let Err(error) = sink.unsubscribe(&channel).await {
            tracing::debug!(%error, "could not leave a channel");
        }
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}
