//! Reply events as server-sent events.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use ccpool::{EventStream, PoolError, StreamedEvent};
use futures::{Stream, StreamExt};
use http::header;
use tokio_util::sync::CancellationToken;

use super::problem::{Problem, ProblemBody};

/// A silent stream says so this often, so that neither side takes the connection for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Most events that go out together; they must be there already.
const TOGETHER: usize = 64;

/// An SSE response of these events: `event` is the type, `id` is what `Last-Event-ID` takes, `data`
/// is the event as JSON.
///
/// An error ends the stream with an `problem` event that holds a problem. So does nothing else: a
/// stream that ends without a terminal event was cut by `stop`, or its session has ended.
pub(crate) fn respond(events: EventStream, stop: CancellationToken) -> Response {
    let events = events.take_until(stop.cancelled_owned());
    Response::builder()
        .header(header::CONTENT_TYPE, "text/event-stream")
        .header(header::CACHE_CONTROL, "no-cache")
        .body(Body::from_stream(chunks(events)))
        .expect("the headers are valid")
}

/// What is there goes out in one piece, so that a fast stream costs few writes. Nothing waits for
/// company.
fn chunks(
    events: impl Stream<Item = Result<StreamedEvent, PoolError>> + Send + 'static,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    let ready = Box::pin(events.ready_chunks(TOGETHER));
    futures::stream::unfold(ready, |mut ready| async move {
        // Cancelling it loses nothing: what was taken goes into the piece at once.
        let piece = match tokio::time::timeout(KEEP_ALIVE, ready.next()).await {
            Ok(Some(events)) => {
                let mut text = String::new();
                events.into_iter().for_each(|item| encode(item, &mut text));
                Bytes::from(text)
            }
            Ok(None) => return None,
            Err(_) => Bytes::from_static(b":\n\n"),
        };
        Some((Ok(piece), ready))
    })
}

/// JSON has no line breaks outside of strings, and escapes those in them.
fn encode(item: Result<StreamedEvent, PoolError>, text: &mut String) {
    let written = match item {
        Ok(StreamedEvent { id, event }) => {
            let json = serde_json::to_string(&event).expect("events have string keys");
            let name = event.event.type_name();
            write!(text, "event: {name}\nid: {id}\ndata: {json}\n\n")
        }
        Err(error) => {
            let problem = ProblemBody::from(Problem::from(error));
            let json = serde_json::to_string(&problem).expect("a problem has string keys");
            write!(text, "event: problem\ndata: {json}\n\n")
        }
    };
    written.expect("a string takes everything");
}

#[cfg(test)]
mod tests {
    use ccpool::{EventId, ReplyEvent, TurnId};
    use ccpool_protocol::Event as Reply;

    use super::*;

    async fn text_of(items: Vec<Result<StreamedEvent, PoolError>>) -> String {
        let pieces = chunks(futures::stream::iter(items)).collect::<Vec<_>>();
        let pieces = pieces.await.into_iter().map(|piece| piece.unwrap());
        pieces
            .map(|piece| String::from_utf8(piece.to_vec()).unwrap())
            .collect()
    }

    #[tokio::test]
    async fn an_event_is_three_lines() {
        let event = ReplyEvent {
            event: Reply::TextDelta {
                message_id: "m".into(),
                block: 0,
                text: "two\nlines\r and more".into(),
            },
            turn: TurnId::new("t1").unwrap(),
            seq: 17,
            at: 9,
            origin: None,
        };
        let id = EventId { seq: 17, part: 2 };
        let text = text_of(vec![Ok(StreamedEvent { id, event })]).await;
        assert_eq!(
            text,
            "event: text_delta\nid: 17-2\ndata: {\"type\":\"text_delta\",\"messageId\":\"m\",\
             \"block\":0,\"text\":\"two\\nlines\\r and more\",\"turn\":\"t1\",\"seq\":17,\"at\":9}\n\n"
        );
    }

    #[tokio::test]
    async fn an_error_is_a_problem_without_an_id() {
        let text = text_of(vec![Err(PoolError::Internal("lost".into()))]).await;
        assert!(
            text.starts_with("event: problem\ndata: {\"type\":\"urn:ccpool:problem:internal\"")
        );
        assert!(!text.contains("\nid:"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_says_so() {
        let mut pieces = Box::pin(chunks(futures::stream::pending()));
        for _ in 0..2 {
            assert_eq!(pieces.next().await.unwrap().unwrap(), ":\n\n");
        }
    }

    #[test]
    fn event_ids_are_what_last_event_id_takes() {
        assert_eq!(
            "17-2".parse::<EventId>().unwrap(),
            EventId { seq: 17, part: 2 }
        );
        assert_eq!(EventId { seq: 17, part: 2 }.to_string(), "17-2");
        let whole: EventId = "17".parse().unwrap();
        assert!(whole > EventId { seq: 17, part: 2 } && whole < EventId { seq: 18, part: 0 });
        for wrong in ["", "-", "a-1", "1-", "-1", "1-2-3"] {
            assert!(wrong.parse::<EventId>().is_err(), "{wrong}");
        }
    }
}
