use std::io::{self, BufRead};

/// One server-sent event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// Its name; empty when it has none.
    pub(crate) event: String,
    /// Its data, lines joined by line feeds.
    pub(crate) data: String,
}

/// Server-sent events out of a body, each as soon as its closing empty line is there.
///
/// Lines end in LF or CRLF. Comments, which keep a silent stream alive, are passed over, and
/// so is an event that the end of the body cuts off.
#[derive(Debug)]
pub(crate) struct SseReader<R> {
    body: R,
}

impl<R: BufRead> SseReader<R> {
    /// Reads from `body`, which begins with an event's first line.
    pub(crate) fn new(body: R) -> Self {
        Self { body }
    }

    /// The next event; none at the end of the body.
    ///
    /// # Errors
    /// The body breaks off, or is not UTF-8.
    pub(crate) fn read(&mut self) -> io::Result<Option<Message>> {
        let mut message = Message::default();
        let mut has_data = false;
        while let Some(line) = self.line()? {
            if line.is_empty() {
                if has_data {
                    return Ok(Some(message));
                }
                message = Message::default();
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => message.event = value.to_owned(),
                "data" => {
                    if has_data {
                        message.data.push('\n');
                    }
                    message.data.push_str(value);
                    has_data = true;
                }
                // A comment has an empty name; `id` and `retry` are for those who reconnect.
                _ => {}
            }
        }
        Ok(None)
    }

    /// Decoded as a whole: a character may be cut in two where the network cuts.
    fn line(&mut self) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        if self.body.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        while line
            .last()
            .is_some_and(|byte| matches!(byte, b'\n' | b'\r'))
        {
            line.pop();
        }
        String::from_utf8(line)
            .map(Some)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufReader, Read};

    fn all(body: impl Read) -> Vec<(String, String)> {
        // A buffer of one byte cuts everywhere.
        let mut reader = SseReader::new(BufReader::with_capacity(1, body));
        let mut seen = Vec::new();
        while let Some(message) = reader.read().unwrap() {
            seen.push((message.event, message.data));
        }
        seen
    }

    fn pair(event: &str, data: &str) -> (String, String) {
        (event.to_owned(), data.to_owned())
    }

    #[test]
    fn events_with_comments_between_them() {
        let body = ":\n\nevent: text_delta\nid: 3-0\ndata: {\"text\":\"grün\"}\n\n\
                    : still here\n\nevent: completed\r\ndata:{}\r\n\r\n";
        assert_eq!(
            all(body.as_bytes()),
            [
                pair("text_delta", "{\"text\":\"grün\"}"),
                pair("completed", "{}")
            ]
        );
    }

    #[test]
    fn data_of_several_lines_and_without_a_name() {
        assert_eq!(
            all("data: a\ndata\ndata:  b: c\n\n".as_bytes()),
            [pair("", "a\n\n b: c")]
        );
    }

    #[test]
    fn a_name_does_not_leak_into_the_next_event() {
        assert_eq!(
            all("event: lost\n\ndata: x\n\n".as_bytes()),
            [pair("", "x")]
        );
    }

    #[test]
    fn what_is_cut_off_is_no_event() {
        assert_eq!(
            all("data: whole\n\nevent: completed\ndata: {\"a\"".as_bytes()),
            [pair("", "whole")]
        );
        assert!(
            SseReader::new(&b"data: \xff\n\n"[..]).read().is_err(),
            "not UTF-8"
        );
    }
}
