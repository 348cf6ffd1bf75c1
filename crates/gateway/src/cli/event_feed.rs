//! Reply events out of a server-sent stream.

use ccpool_protocol::ReplyEvent;
use futures::{Stream, StreamExt, TryStreamExt};
use reqwest::Response;
use tokio_util::codec::{FramedRead, LinesCodec};
use tokio_util::io::StreamReader;

use super::error::{CliError, Exit};
use super::gateway_client::Refusal;

/// A tool's result can be long; this is longer than any body that the gateway takes.
const LONGEST_LINE: usize = 64 * 1024 * 1024;

/// An event and the id under which a reader goes on after it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fed {
    pub(super) id: String,
    pub(super) event: ReplyEvent,
}

/// The events of a response. An error ends them.
pub(super) fn events(response: Response) -> impl Stream<Item = Result<Fed, CliError>> + Unpin {
    let bytes = response.bytes_stream().map_err(std::io::Error::other);
    let lines = FramedRead::new(
        StreamReader::new(bytes),
        LinesCodec::new_with_max_length(LONGEST_LINE),
    );
    let mut message = Message::default();
    Box::pin(lines.filter_map(move |line| {
        let item = match line {
            Ok(line) => message.line(&line),
            Err(error) => Some(Err(CliError::new(
                Exit::Unavailable,
                "unavailable",
                format!("the stream broke off: {error}"),
            )
            .mend("follow the session with `ccpool sessions tail`"))),
        };
        std::future::ready(item)
    }))
}

/// The fields of a message that is not finished yet.
#[derive(Debug, Default)]
struct Message {
    event: String,
    id: String,
    data: Vec<String>,
}

impl Message {
    /// Takes a line; an empty one finishes the message.
    fn line(&mut self, line: &str) -> Option<Result<Fed, CliError>> {
        if line.is_empty() {
            return std::mem::take(self).finish();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event),
            "id" => value.clone_into(&mut self.id),
            "data" => self.data.push(value.to_owned()),
            // A comment, or a field of a later version.
            _ => {}
        }
        None
    }

    fn finish(self) -> Option<Result<Fed, CliError>> {
        if self.data.is_empty() {
            return None;
        }
        let json = self.data.join("\n");
        let strange = |error: serde_json::Error| {
            CliError::internal(format!("the gateway sent an event that is none: {error}"))
                .mend("use the ccpool of the gateway's version")
        };
        Some(match self.event.as_str() {
            "problem" => match serde_json::from_str::<Refusal>(&json) {
                Ok(refusal) => Err(refusal.into()),
                Err(error) => Err(strange(error)),
            },
            _ => serde_json::from_str(&json)
                .map(|event| Fed { id: self.id, event })
                .map_err(strange),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fed(text: &str) -> Vec<Result<Fed, String>> {
        let mut message = Message::default();
        text.lines()
            .filter_map(|line| message.line(line))
            .map(|item| item.map_err(|error| format!("{error:?}")))
            .collect()
    }

    #[test]
    fn comments_are_skipped_and_messages_found() {
        let items = fed(
            ": keep-alive\n\nevent: gap\nid: 3-0\ndata: {\"type\":\"gap\",\"from\":1,\
             \"to\":3,\"turn\":\"t1\",\"seq\":3,\"at\":0}\n\n",
        );
        assert_eq!(items.len(), 1);
        let first = items[0].as_ref().unwrap();
        assert_eq!((first.id.as_str(), first.event.seq), ("3-0", 3));
    }

    #[test]
    fn a_problem_is_an_error_with_its_kind() {
        let items =
            fed("event: problem\ndata: {\"kind\":\"unavailable\",\"detail\":\"no Redis\"}\n\n");
        assert!(items[0].as_ref().unwrap_err().contains("no Redis"));
        assert!(fed("data: {}\n\n")[0].is_err());
    }
}
