//! A service that is none: whatever bytes come, the answer ends, with a kind, and in bounded memory.

use std::time::Duration;

use ccpool::FailureKind;
use ccpool::protocol::event::Event;
use ccpool::provider::{Conversation, Message, Provider, Refused};

use crate::anthropic::{provider, settings};
use crate::raw_server::{RawServer, Says};
use ccpool_testing::PATIENCE;

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
const START: &str =
    "data: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"model\":\"c\"}}\n\n";
const WORD: &str = "data: {\"type\":\"content_block_delta\",\"index\":0,\
                    \"delta\":{\"type\":\"text_delta\",\"text\":\"a\"}}\n\n";

fn head_and(body: impl AsRef<[u8]>) -> Vec<u8> {
    [HEAD.as_bytes(), body.as_ref()].concat()
}

/// The refusal, or the failure with which the answer ended, and whether something was visible.
async fn end_of(says: Says, stall: Duration) -> (FailureKind, bool, String) {
    let server = RawServer::start(says).await;
    let provider = provider(|settings| {
        settings.url = format!("{}/v1/messages", server.url())
            .parse()
            .expect("a URL");
        settings.stall = stall;
    });
    let conversation = Conversation {
        messages: vec![Message::user("hello")],
        ..Conversation::default()
    };
    let end = async {
        let reply = match provider.reply(conversation).await {
            Ok(reply) => reply,
            Err(Refused { kind, message, .. }) => return (kind, false, message),
        };
        let events = crate::anthropic::all(reply).await;
        let Some(Event::Failed(failed)) = events.last() else {
            panic!("no failure: {events:?}");
        };
        (failed.kind, failed.visible_output, failed.message.clone())
    };
    tokio::time::timeout(PATIENCE, end).await.expect("it ends")
}

#[tokio::test]
async fn lines_and_bodies_without_an_end_are_bounded() {
    let word = WORD.replace("\"a\"", &format!("{:?}", "a".repeat(50_000)));
    for (more, is_visible) in [
        (
            b"data: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx".to_vec(),
            false,
        ),
        (
            b"data: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n".to_vec(),
            false,
        ),
        (word.into_bytes(), true),
    ] {
        let end = end_of(Says::Endless(head_and(START), more), PATIENCE).await;
        assert_eq!(
            (end.0, end.1),
            (FailureKind::Unavailable, is_visible),
            "{end:?}"
        );
        assert!(end.2.contains("longer than"), "{end:?}");
    }
}

#[tokio::test]
async fn bytes_that_are_no_events_are_told() {
    for body in [
        b"data: \xff\xfe\n\n".to_vec(),
        b"data: {\n\n".to_vec(),
        b"data: {\"type\":\"message_start\"}\n\n".to_vec(),
        format!("data: {}\n\n", "[".repeat(100_000)).into_bytes(),
    ] {
        let end = end_of(Says::Bytes(head_and(body)), PATIENCE).await;
        assert_eq!((end.0, end.1), (FailureKind::Unavailable, false), "{end:?}");
    }
}

#[tokio::test]
async fn what_is_no_http_or_another_service_is_told() {
    for says in [
        b"\x16\x03\x01\x02\x00".to_vec(),
        b"".to_vec(),
        b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 2\r\n\r\nhi".to_vec(),
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec(),
        b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
            .to_vec(),
        format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(1 << 20)).into_bytes(),
    ] {
        let shown = String::from_utf8_lossy(&says[..says.len().min(60)]).into_owned();
        let end = end_of(Says::Bytes(says), PATIENCE).await;
        assert_eq!(
            (end.0, end.1),
            (FailureKind::Unavailable, false),
            "{shown}: {end:?}"
        );
    }
}

#[tokio::test]
async fn silence_has_stalled_whenever_it_begins() {
    for (said, is_visible) in [
        (Vec::new(), false),
        (head_and(""), false),
        (head_and(START), false),
        (head_and(format!("{START}{WORD}data: {{")), true),
    ] {
        let end = end_of(Says::Stall(said), Duration::from_secs(1)).await;
        assert_eq!(
            (end.0, end.1),
            (FailureKind::Stalled, is_visible),
            "{end:?}"
        );
    }
}

#[tokio::test]
async fn an_answer_that_never_ends_meets_its_limit() {
    let ping = b"data: {\"type\":\"ping\"}\n\n".to_vec();
    let server = RawServer::start(Says::Endless(head_and(START), ping)).await;
    let mut settings = settings();
    settings.url = format!("{}/v1/messages", server.url())
        .parse()
        .expect("a URL");
    settings.longest = Some(Duration::from_secs(2));
    let provider = ccpool_providers::Anthropic::new(settings);
    let conversation = Conversation {
        messages: vec![Message::user("hello")],
        ..Conversation::default()
    };
    let reply = provider.reply(conversation).await.expect("it begins");
    let events = tokio::time::timeout(PATIENCE, crate::anthropic::all(reply)).await;
    let events = events.expect("it ends");
    let Some(Event::Failed(failed)) = events.last() else {
        panic!("no failure: {events:?}");
    };
    assert_eq!(failed.kind, FailureKind::Timeout, "{failed:?}");
}
