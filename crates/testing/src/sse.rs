//! Server-sent events, read as a client reads them.

use serde_json::Value;

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Its type; empty if it has none.
    pub event: String,
    /// Empty if it has none.
    pub id: String,
    /// What it says.
    pub data: Value,
}

/// Messages from the chunks of a response.
#[derive(Debug, Default)]
pub struct Sse {
    buffer: Vec<u8>,
}

impl Sse {
    /// Takes what was read. What it makes whole comes out of [`message`](Self::message).
    pub fn feed(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk);
    }

    /// The next whole message. Comments are passed over.
    ///
    /// # Panics
    /// It is not UTF-8, or its data is not JSON.
    pub fn message(&mut self) -> Option<Message> {
        loop {
            let end = self.buffer.windows(2).position(|pair| pair == b"\n\n")?;
            let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
            let message = parse(str::from_utf8(&block).expect("UTF-8"));
            if message.is_some() {
                return message;
            }
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
        data: serde_json::from_str(field("data")?).expect("data is JSON"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_come_out_whole() {
        let mut sse = Sse::default();
        sse.feed(b":\n\nevent: text_delta\nid: 17-2\ndata: {\"seq\":17}\n");
        assert_eq!(sse.message(), None);
        sse.feed(b"\ndata: 1\n\nevent: x\n");
        let message = sse.message().unwrap();
        assert_eq!((&*message.event, &*message.id), ("text_delta", "17-2"));
        assert_eq!(message.data, json!({"seq": 17}));
        assert_eq!(sse.message().unwrap().data, json!(1));
        assert_eq!(sse.message(), None);
    }
}
