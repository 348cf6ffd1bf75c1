//! Server-sent events, read as a client reads them.

use futures::StreamExt;
use futures::stream::BoxStream;
use reqwest::Response;
use serde_json::Value;

use crate::parts::PATIENCE;

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Message {
    pub(crate) event: String,
    pub(crate) id: String,
    pub(crate) data: Value,
}

/// Reads a response message by message.
pub(crate) struct SseReader {
    /// The turn that the response's head names.
    pub(crate) turn: String,
    bytes: BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    buffer: Vec<u8>,
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
            buffer: Vec::new(),
        }
    }

    /// The next message, or nothing when the stream has ended. Comments are passed over.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
                let block = String::from_utf8(block).expect("UTF-8");
                match parse(&block) {
                    Some(message) => return Some(message),
                    None => continue,
                }
            }
            let chunk = tokio::time::timeout(PATIENCE, self.bytes.next()).await;
            match chunk.expect("something comes in time") {
                Some(chunk) => self
                    .buffer
                    .extend_from_slice(&chunk.expect("the stream holds")),
                None => return None,
            }
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

fn parse(block: &str) -> Option<Message> {
    let field = |name: &str| {
        let prefix = format!("{name}: ");
        block
            .lines()
            .find_map(|line| line.strip_prefix(&prefix).map(str::to_owned))
    };
    let data = field("data")?;
    Some(Message {
        event: field("event").unwrap_or_default(),
        id: field("id").unwrap_or_default(),
        data: serde_json::from_str(&data).expect("data is JSON"),
    })
}
