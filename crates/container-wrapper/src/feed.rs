//! Listens on the control channels, over a connection of its own that always comes back.

use std::time::Duration;

use redis::RedisResult;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{interval, timeout};
use tokio_stream::StreamExt;

use crate::link::{Backoff, Link};
use crate::news::News;

/// How often a silent connection is tried.
const PING: Duration = Duration::from_secs(10);
/// How long it may take to answer.
const PONG: Duration = Duration::from_secs(5);

/// A request to listen on one more channel.
#[derive(Debug)]
pub(crate) struct Join {
    pub(crate) channel: String,
    /// Told once the channel is subscribed.
    pub(crate) done: oneshot::Sender<()>,
}

/// Listens until it is dropped.
#[derive(Debug)]
pub(crate) struct Feed {
    pub(crate) link: Link,
    pub(crate) channels: Vec<String>,
    pub(crate) joins: mpsc::Receiver<Join>,
    pub(crate) news: mpsc::Sender<News>,
}

impl Feed {
    /// Runs for ever.
    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::new("control channel");
        let mut waiting = Vec::new();
        loop {
            if let Err(error) = self.listen(&mut waiting, &mut backoff).await {
                backoff.after(&error).await;
            }
        }
    }

    /// `waiting`: who is told once their channel is subscribed.
    async fn listen(
        &mut self,
        waiting: &mut Vec<oneshot::Sender<()>>,
        backoff: &mut Backoff,
    ) -> RedisResult<()> {
        let (mut sink, mut messages) = self.link.subscribe().await?.split();
        for channel in &self.channels {
            sink.subscribe(channel).await?;
        }
        tell(waiting);
        backoff.over();
        let mut ping = interval(PING);
        let mut open = true;
        loop {
            // All three are cancel-safe: what is not taken here stays in its queue.
            tokio::select! {
                message = messages.next() => {
                    let Some(message) = message else {
                        return Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset).into());
                    };
                    let text = String::from_utf8_lossy(message.get_payload_bytes()).into_owned();
                    // A supervisor that is gone aborts this task.
                    let _ = self.news.send(News::Control(text)).await;
                }
                join = self.joins.recv(), if open => match join {
                    Some(Join { channel, done }) => {
                        waiting.push(done);
                        self.channels.push(channel.clone());
                        sink.subscribe(channel).await?;
                        tell(waiting);
                    }
                    None => open = false,
                },
                _ = ping.tick() => match timeout(PONG, sink.ping::<()>()).await {
                    Ok(pong) => pong?,
                    Err(_) => return Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
                },
            }
        }
    }
}

fn tell(waiting: &mut Vec<oneshot::Sender<()>>) {
    for done in waiting.drain(..) {
        // Nobody waits any more: fine.
        let _ = done.send(());
    }
}
