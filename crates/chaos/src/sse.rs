//! Server-sent events, read as a client reads them.

use std::time::Duration;

use bytes::Bytes;
pub(crate) use ccpool_testing::Message;
use ccpool_testing::Sse;
use futures::StreamExt;
use futures::stream::BoxStream;
use reqwest::Response;

/// Reads a response message by message.
pub(crate) struct SseReader {
    bytes: BoxStream<'static, reqwest::Result<Bytes>>,
    sse: Sse,
}

impl SseReader {
    pub(crate) fn of(response: Response) -> Self {
        Self {
            bytes: response.bytes_stream().boxed(),
            sse: Sse::default(),
        }
    }

    /// The next message; nothing when the stream has ended, broken, or been silent for this long.
    pub(crate) async fn next(&mut self, patience: Duration) -> Option<Message> {
        loop {
            if let Some(message) = self.sse.message() {
                return Some(message);
            }
            let chunk = tokio::time::timeout(patience, self.bytes.next()).await;
            self.sse.feed(&chunk.ok()??.ok()?);
        }
    }
}
