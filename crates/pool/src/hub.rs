//! One pub/sub connection for the whole gateway, shared by everybody who listens.
//!
//! What is published while the connection is away is lost, so listeners are told to look into the
//! buffer, which is the truth. Memory is bounded: a listener that falls behind loses signals and is
//! told so, and large messages are left in the buffer.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use deadpool_redis::redis::aio::{PubSubSink, PubSubStream};
use deadpool_redis::redis::{Client, ConnectionInfo, Msg, RedisResult};
use futures::StreamExt;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::listener::{Listener, Signal, Speaker};
use crate::store::StoreError;

/// A message larger than this is fetched from the buffer instead: 4 KiB.
const LARGEST: usize = 4 << 10;
/// How long a subscription may take.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(2);

/// With fewer channels than this, those that nobody listens to are not searched for.
const FEW: usize = 64;

/// The channels that are subscribed to, with their listeners.
struct Channels {
    all: HashMap<String, Vec<Speaker>>,
    /// With so many it is time to leave those that nobody listens to.
    many: usize,
}

/// A handle to the connection.
#[derive(Clone)]
pub(crate) struct Hub {
    requests: mpsc::Sender<Request>,
}

struct Request {
    channel: String,
    subscribed: oneshot::Sender<Listener>,
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
    pub(crate) async fn subscribe(&self, channel: &str) -> Result<Listener, StoreError> {
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
            Ok(Some(listener)) => Ok(listener),
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

const LOST: &str = "the pub/sub connection to Redis is lost; connecting again";

/// Connects, serves, connects again, for ever.
async fn run(client: Client, mut requests: mpsc::Receiver<Request>) {
    let mut channels = Channels {
        all: HashMap::new(),
        many: FEW,
    };
    let mut pause = Duration::from_millis(20);
    loop {
        match connect(&client, &mut channels).await {
            Ok((sink, stream)) => {
                pause = Duration::from_millis(20);
                for speaker in channels.all.values().flatten() {
                    speaker.tell(Signal::Missed);
                }
                if serve(sink, stream, &mut requests, &mut channels)
                    .await
                    .is_none()
                {
                    return;
                }
                // A pool that has stopped listens to nothing, and its Redis may go before it.
                match channels.all.values().any(|speakers| are_heard(speakers)) {
                    true => tracing::warn!(LOST),
                    false => tracing::debug!(LOST),
                }
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
    channels.all.retain(|_, speakers| are_heard(speakers));
    let (mut sink, stream) = client.get_async_pubsub().await?.split();
    for channel in channels.all.keys() {
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
                let known = channels.all.contains_key(&request.channel);
                if !known && sink.subscribe(&request.channel).await.is_err() {
                    // The request is dropped, its asker told; the next connection may do better.
                    return Some(());
                }
                let (speaker, listener) = Listener::new();
                let speakers = channels.all.entry(request.channel).or_default();
                speakers.retain(Speaker::is_heard);
                speakers.push(speaker);
                // Whoever asked may have gone.
                let _ = request.subscribed.send(listener);
            }
            message = stream.next() => {
                let Some(message) = message else { return Some(()) };
                if let Some(silent) = deliver(&message, channels) {
                    leave(&mut sink, silent).await;
                }
            }
        }
    }
}

/// Returns the message's channel if nobody listens to it any more.
fn deliver(message: &Msg, channels: &mut Channels) -> Option<String> {
    let speakers = channels.all.get_mut(message.get_channel_name())?;
    let signal = match std::str::from_utf8(message.get_payload_bytes()) {
        Ok(text) if text.len() <= LARGEST => Signal::Message(text.into()),
        Ok(_) | Err(_) => Signal::Missed,
    };
    speakers.retain(|speaker| speaker.tell(signal.clone()));
    if !speakers.is_empty() {
        return None;
    }
    let silent = message.get_channel_name().to_owned();
    channels.all.remove(&silent);
    Some(silent)
}

/// Leaves the channels that nobody listens to any more, now and then: looking at all of them must
/// not cost every new listener more the more there are.
async fn sweep(sink: &mut PubSubSink, channels: &mut Channels) {
    if channels.all.len() < channels.many {
        return;
    }
    let silent = channels.all.extract_if(|_, speakers| !are_heard(speakers));
    for (channel, _) in silent.collect::<Vec<_>>() {
        leave(sink, channel).await;
    }
    channels.many = FEW.max(channels.all.len() * 2);
}

async fn leave(sink: &mut PubSubSink, channel: String) {
    if let Err(error) = sink.unsubscribe(&channel).await {
        tracing::debug!(%error, "could not leave a channel");
    }
}

fn are_heard(speakers: &[Speaker]) -> bool {
    speakers.iter().any(Speaker::is_heard)
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}
