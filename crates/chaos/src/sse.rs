//! Server-sent events, read as a client reads them.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use reqwest::Response;
use serde_json::Value;

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Message {
    pub(crate) event: String,
    pub(crate) id: String,
    pub(crate) data: Value,
}

/// Reads a response message by message.
pub(crate) struct SseReader {
    bytes: BoxStream<'static, reqwest::Result<Bytes>>,
    buffer: Vec<u8>,
}

impl SseReader {
    pub(crate) fn of(response: Response) -> Self {
        Self {
            bytes: response.bytes_stream().boxed(),
            buffer: Vec::new(),
        }
    }

    /// The next message; nothing when the stream has ended, broken, or been silent for this long.
    pub(crate) async fn next(&mut self, patience: Duration) -> Option<Message> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
                match parse(&String::from_utf8_lossy(&block)) {
                    Some(message) => return Some(message),
                    None => continue,
                }
            }
            let chunk = tokio::time::timeout(patience, self.bytes.next()).await;
            self.buffer.extend_from_slice(&chunk.ok()??.ok()?);
        }
    }
}

/// None for a comment.
fn parse(block: &str) -> Option<Message> {
    let field = |name: &str| {
        let mut lines = block.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    };
    Some(Message {
        event: field("event").unwrap_or_default().to_owned(),
        id: field("id").unwrap_or_default().to_owned(),
        data: serde_json::from_str(field("data")?).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_and_comments() {
        let block = "event: text_delta\nid: 17-2\ndata: {\"seq\":17}\n\n";
        let message = parse(block).unwrap();
        assert_eq!((&*message.event, &*message.id), ("text_delta", "17-2"));
        assert_eq!(message.data["seq"], 17);
        assert_eq!(parse(":\n\n"), None);
    }
}
