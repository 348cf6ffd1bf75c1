//! Reply events as server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, KeepAliveStream, Sse};
use ccpool::{EventStream, PoolError, StreamedEvent};
use futures::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;

use super::problem::{Problem, ProblemBody};

/// A silent stream says so this often, so that neither side takes the connection for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// An SSE response of these events: `event` is the type, `id` is what `Last-Event-ID` takes, `data`
/// is the event as JSON.
///
/// An error ends the stream with an `problem` event that holds a problem. So does nothing else: a
/// stream that ends without a terminal event was cut by `stop`, or its session has ended.
pub(crate) fn respond(
    events: EventStream,
    stop: CancellationToken,
) -> Sse<KeepAliveStream<impl Stream<Item = Result<Event, Infallible>>>> {
    let events = events
        .map(|item| Ok(encode(item)))
        .take_until(stop.cancelled_owned());
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

fn encode(item: Result<StreamedEvent, PoolError>) -> Event {
    match item {
        Ok(streamed) => Event::default()
            .event(streamed.event.event.type_name())
            .id(streamed.id.to_string())
            .json_data(&streamed.event)
            .expect("events have string keys and no line breaks in their JSON"),
        Err(error) => Event::default()
            .event("problem")
            .json_data(ProblemBody::from(Problem::from(error)))
            .expect("a problem has string keys"),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use axum::response::IntoResponse;
    use ccpool::{EventId, ReplyEvent, TurnId};
    use ccpool_protocol::Event as Reply;

    use super::*;

    async fn text_of(item: Result<StreamedEvent, PoolError>) -> String {
        let stream = futures::stream::iter([Ok::<_, Infallible>(encode(item))]);
        let body = Sse::new(stream).into_response().into_body();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
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
        let text = text_of(Ok(StreamedEvent {
            id: EventId { seq: 17, part: 2 },
            event,
        }))
        .await;
        assert_eq!(
            text,
            "event: text_delta\nid: 17-2\ndata: {\"type\":\"text_delta\",\"messageId\":\"m\",\
             \"block\":0,\"text\":\"two\\nlines\\r and more\",\"turn\":\"t1\",\"seq\":17,\"at\":9}\n\n"
        );
    }

    #[tokio::test]
    async fn an_error_is_a_problem_without_an_id() {
        let text = text_of(Err(PoolError::Internal("lost".into()))).await;
        assert!(
            text.starts_with("event: problem\ndata: {\"type\":\"urn:ccpool:problem:internal\"")
        );
        assert!(!text.contains("\nid:"));
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
