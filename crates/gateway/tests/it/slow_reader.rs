//! A reader that does not read, beside one that does, while a lot is said.

use ccpool_scripted_model::Scene;
use reqwest::Method;
use serde_json::{Value, json};

use crate::gateway::{Gateway, Setup, accepted};
use crate::proc::resident_bytes;
use crate::sse::{Message, SseReader};

/// Each block of text: 1 MiB.
const BLOCK: usize = 1 << 20;
const BLOCKS: usize = 16;
/// What the gateway may need on top of what it had before.
const MORE: u64 = 64 << 20;

#[tokio::test]
async fn a_reader_that_does_not_read_costs_no_memory_and_nobody_else() {
    let room = json!({"outputBuffer": 10_000, "outputBufferBytes": 128 << 20});
    let [reading, idle] = flood(room).await;
    assert_eq!((reading.gaps, idle.gaps), (0, 0), "all of it is kept");
    let wanted: String = blocks().concat();
    assert!(reading.text == wanted, "{} bytes", reading.text.len());
    assert!(idle.text == wanted, "{} bytes", idle.text.len());
}

#[tokio::test]
async fn a_reader_that_comes_too_late_is_told_what_it_missed() {
    let room = json!({"outputBuffer": 1000, "outputBufferBytes": 2 << 20});
    let [_, idle] = flood(room).await;
    assert!(idle.gaps > 0, "{} bytes", idle.text.len());
}

fn blocks() -> Vec<String> {
    let block = |n| format!("{n:07} ").repeat(BLOCK / 8);
    (0..BLOCKS).map(block).collect()
}

/// What two readers get of a turn that says a lot: one reads it as it comes, one when it is over.
async fn flood(room: Value) -> [Read; 2] {
    let gateway = Gateway::start(Setup::default().with("redis", room)).await;
    gateway.claim("s1").await;
    // So that everything is there that a turn needs.
    let (status, answer) = gateway.turn("s1", &json!({"prompt": "hello"})).await;
    assert_eq!(status, 200, "{answer}");
    let blocks = blocks().into_iter().map(|text| json!({"text": text}));
    let scene = json!({"blocks": blocks.collect::<Vec<_>>(), "chunk": 4096});
    gateway
        .model
        .push(Scene::from_value(&scene).expect("a scene"));

    let before = resident_bytes(gateway.pid());
    let mut reader = gateway.stream("s1", "say a lot").await;
    let path = format!("/api/docker-cc/sessions/s1/events?turn={}", reader.turn);
    let request = gateway.request(Method::GET, &path).send().await;
    let mut idler = SseReader::of(accepted(request.expect("an answer")).await);
    let mut most = before;
    let mut reading = Read::default();
    while let Some(message) = reader.next().await {
        most = most.max(resident_bytes(gateway.pid()));
        reading.take(message);
    }
    let mut idle = Read::default();
    while let Some(message) = idler.next().await {
        most = most.max(resident_bytes(gateway.pid()));
        idle.take(message);
    }
    assert_eq!(reading.endings, ["completed"]);
    assert_eq!(idle.endings, ["completed"]);
    assert!(
        most <= before + MORE,
        "the gateway grew from {before} to {most} bytes"
    );
    gateway.stop().await;
    [reading, idle]
}

/// What a reader has got. Memory is the test's own too, so no message is kept.
#[derive(Debug, Default)]
struct Read {
    text: String,
    gaps: usize,
    endings: Vec<String>,
    last: (u64, u64),
}

impl Read {
    fn take(&mut self, message: Message) {
        let (seq, part) = message.id.split_once('-').expect("an event id");
        let number = |text: &str| text.parse::<u64>().expect("a number");
        let place = (number(seq), number(part));
        assert!(place > self.last, "{place:?} after {:?}", self.last);
        self.last = place;
        match &*message.event {
            "text_delta" => self
                .text
                .push_str(message.data["text"].as_str().expect("text")),
            "gap" => self.gaps += 1,
            "completed" | "failed" => self.endings.push(message.event),
            _ => {}
        }
    }
}
