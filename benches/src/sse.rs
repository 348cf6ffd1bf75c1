/// Server-sent events from the chunks of a response.
#[derive(Debug, Default)]
pub(crate) struct Sse {
    buffer: Vec<u8>,
    event: String,
    data: String,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SseEvent {
    pub(crate) event: String,
    pub(crate) data: String,
}

impl Sse {
    pub(crate) fn feed(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk);
    }

    /// The next whole event. Comments and ids are passed over.
    pub(crate) fn next(&mut self) -> Option<SseEvent> {
        while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.buffer.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line[..end]);
            if let Some(event) = line.strip_prefix("event: ") {
                event.clone_into(&mut self.event);
            } else if let Some(data) = line.strip_prefix("data: ") {
                self.data.push_str(data);
            } else if line.is_empty() && !self.event.is_empty() {
                return Some(SseEvent {
                    event: std::mem::take(&mut self.event),
                    data: std::mem::take(&mut self.data),
                });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_out_whole() {
        let mut sse = Sse::default();
        sse.feed(b":\n\nevent: text_delta\nid: 3-0\ndata: {\"a\":1}\n");
        assert_eq!(sse.next(), None);
        sse.feed(b"\nevent: x\n");
        let event = SseEvent {
            event: "text_delta".into(),
            data: "{\"a\":1}".into(),
        };
        assert_eq!(sse.next(), Some(event));
        assert_eq!(sse.next(), None);
    }
}
