//! Server-sent events, read as a client reads them.

pub(crate) use ccpool_testing::Message;
use ccpool_testing::Sse;
use futures::StreamExt;
use futures::stream::BoxStream;
use reqwest::Response;

use crate::parts::PATIENCE;

/// Reads a response message by message.
pub(crate) struct SseReader {
    /// The turn that the response's head names.
    pub(crate) turn: String,
    bytes: BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    sse: Sse,
}

impl SseReader {
    pub(crate) fn of(response: Response) -> Self {
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let turn = response.headers().get("x-ccpool-turn");
        let turn = turn
            .map_or("", |turn| turn.to_str().expect("ASCII"))
            .to_owned();
        Self {
            turn,
            bytes: response.bytes_stream().boxed(),
            sse: Sse::default(),
        }
    }

    /// The next message, or nothing when the stream has ended. Comments are passed over.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.sse.message() {
                return Some(message);
            }
            let chunk = tokio::time::timeout(PATIENCE, self.bytes.next()).await;
            let chunk = chunk.expect("something comes in time")?;
            self.sse.feed(&chunk.expect("the stream holds"));
        }
    }

    /// The next message of a type; others are passed over.
    pub(crate) async fn wait_for(&mut self, event: &str) -> Message {
        loop {
            let message = self
                .next()
                .await
                .unwrap_or_else(|| panic!("no {event} before the end"));
            if message.event == event {
                return message;
            }
        }
    }

    /// All that is left, up to the stream's end.
    pub(crate) async fn rest(mut self) -> Vec<Message> {
        let mut all = Vec::new();
        while let Some(message) = self.next().await {
            all.push(message);
        }
        all
    }
}
