//! A gateway that goes and comes back. What it knew is in Redis and in the runtime, so a reader
//! goes on where it was.

use reqwest::Method;
use serde_json::{Value, json};

use crate::gateway::{Gateway, Setup, accepted, answer};
use crate::ledger::{Ledger, only_ending};
use crate::network::Network;
use crate::parts::eventually;
use crate::sse::{Message, SseReader};

const WORDS: &str = "one two three four five six seven eight nine ten eleven twelve";

/// A prompt that is answered with [`WORDS`], in some seconds.
fn slow() -> String {
    let scene = json!({"text": WORDS, "delayMs": 400});
    format!("[[do: {scene}]]")
}

/// A reader that goes on after `last`.
async fn resume(gateway: &Gateway, session: &str, query: &str, last: &Message) -> SseReader {
    let path = format!("/api/docker-cc/sessions/{session}/events{query}");
    let request = gateway
        .request(Method::GET, &path)
        .header("last-event-id", &last.id);
    SseReader::of(accepted(request.send().await.expect("an answer")).await)
}

/// Reads up to the second word.
async fn begin(stream: &mut SseReader) -> Vec<Message> {
    let mut read = Vec::new();
    while read
        .iter()
        .filter(|m: &&Message| m.event == "text_delta")
        .count()
        < 2
    {
        read.push(stream.next().await.expect("it goes on"));
    }
    read
}

fn text_of(messages: &[Message]) -> String {
    let deltas = messages.iter().filter(|m| m.event == "text_delta");
    deltas.filter_map(|m| m.data["text"].as_str()).collect()
}

/// Ids rise, so nothing came twice.
fn assert_each_once(messages: &[Message]) {
    let place = |message: &Message| {
        let (seq, part) = message.id.split_once('-').expect("an event id");
        let number = |text: &str| text.parse::<u64>().expect("a number");
        (number(seq), number(part))
    };
    let places: Vec<(u64, u64)> = messages.iter().map(place).collect();
    assert!(
        places.windows(2).all(|pair| pair[0] < pair[1]),
        "{places:?}"
    );
    assert!(messages.iter().all(|m| m.event != "gap"), "{messages:#?}");
}

#[tokio::test]
async fn a_turn_outlives_a_gateway_that_was_killed() {
    let network = Network::create("restart").await;
    let mut gateway = Gateway::start(network.setup(&json!({"minWarm": 1, "maxTotal": 3}))).await;
    let claimed = gateway.claim("s1").await;
    let path = "/api/docker-cc/sessions/s1/turns";
    let send = |gateway: &Gateway, stream: bool| {
        let body = json!({"prompt": format!("only once {}", slow()), "stream": stream});
        gateway
            .request(Method::POST, path)
            .header("idempotency-key", "k1")
            .json(&body)
    };
    let response = send(&gateway, true).send().await.expect("an answer");
    let mut stream = SseReader::of(accepted(response).await);
    let turn = stream.turn.clone();
    let mut first = begin(&mut stream).await;
    gateway.crash().await;
    drop(stream);
    gateway.restart().await;

    // A reader of the session, one of the turn, and the prompt sent again.
    let last = first.last().expect("an event").clone();
    let session = resume(&gateway, "s1", "", &last).await;
    let of_turn = resume(&gateway, "s1", &format!("?turn={turn}"), &last).await;
    let response = send(&gateway, true).send().await.expect("an answer");
    let repeated = SseReader::of(accepted(response).await);
    assert_eq!(repeated.turn, turn);
    let up_to_its_end = async |mut reader: SseReader| {
        let mut read = Vec::new();
        while read
            .last()
            .is_none_or(|m: &Message| m.event != "completed" && m.event != "failed")
        {
            read.push(reader.next().await.expect("it goes on"));
        }
        read
    };
    let (rest, same, whole) = tokio::join!(up_to_its_end(session), of_turn.rest(), repeated.rest());
    assert_eq!(rest, same);
    first.extend(rest);
    assert_eq!(whole, first, "who reads from the beginning reads the same");
    assert_each_once(&first);
    assert_eq!(text_of(&first), WORDS);
    let lists = Ledger::of(&gateway, "s1").await.lists().await;
    let shown = lists.shown(&turn);
    let ending = only_ending(&first, &shown);
    assert_eq!(
        (&ending["type"], &ending["text"]),
        (&json!("completed"), &json!(WORDS))
    );
    lists.assert_gapless();

    // Nothing was lost but the gateway: the container is the same, and its conversation.
    let (status, again) = answer(send(&gateway, false)).await;
    assert_eq!((status, &again["repeated"]), (200, &json!(true)), "{again}");
    assert_eq!(again["turn"], json!(turn));
    let info = gateway.get("/api/docker-cc/sessions/s1").await;
    assert_eq!(
        (&info["container"], &info["turns"]),
        (&claimed["container"], &json!(1)),
        "{info}"
    );
    let (status, next) = gateway.turn("s1", &json!({"prompt": "hello"})).await;
    assert_eq!(status, 200, "{next}");
    let asked = gateway.model.requests();
    let asked = asked
        .iter()
        .filter(|request| request.stream && request.last_user_text.contains("only once"));
    assert_eq!(asked.count(), 1);
    gateway.wait_warm(1).await;
    gateway.stop().await;
    network.remove().await;
}

/// On the process runtime containers end with their gateway; the next one says so.
#[tokio::test]
async fn a_turn_that_ended_with_its_gateway_is_told_once() {
    let setup = Setup::default().with("permissions", json!({"allow": ["Bash"]}));
    let mut gateway = Gateway::start(setup).await;
    gateway.claim("s1").await;
    let mut stream = gateway.stream("s1", &slow()).await;
    let turn = stream.turn.clone();
    let mut first = begin(&mut stream).await;
    let waiting = json!({"prompt": "this one waits", "turn": "waiting"});
    let path = "/api/docker-cc/sessions/s1/turns";
    let waiting = gateway.request(Method::POST, path).json(&waiting);
    let waiting = SseReader::of(accepted(waiting.send().await.expect("an answer")).await);
    gateway.crash().await;
    drop((stream, waiting));
    gateway.restart().await;

    let last = first.last().expect("an event").clone();
    let rest = resume(&gateway, "s1", &format!("?turn={turn}"), &last).await;
    first.extend(rest.rest().await);
    assert_each_once(&first);
    let path = "/api/docker-cc/sessions/s1/events?turn=waiting";
    let request = gateway.request(Method::GET, path).send().await;
    let waiting = SseReader::of(accepted(request.expect("an answer")).await);
    let waiting = waiting.rest().await;
    eventually("the session has ended", async || {
        let info = gateway.get("/api/docker-cc/sessions/s1").await;
        (info["status"] == "ended").then_some(())
    })
    .await;
    let lists = Ledger::of(&gateway, "s1").await.lists().await;
    lists.assert_gapless();
    for (turn, messages, visible) in [(&*turn, &first, true), ("waiting", &waiting, false)] {
        let shown = lists.shown(turn);
        let ending = only_ending(messages, &shown);
        assert_eq!(ending["type"], "failed", "{ending}");
        // The container's last word if it still had one, or else the gateway's.
        assert_eq!(ending["kind"], "container_lost", "{ending}");
        assert_eq!(ending["visibleOutput"], json!(visible), "{ending}");
    }
    gateway.claim("s2").await;
    let (status, next) = gateway.turn("s2", &json!({"prompt": "hello"})).await;
    assert_eq!(status, 200, "{next}");
    gateway.stop().await;
}

/// A gateway that is told to stop ends its sessions; whoever reads is told how.
#[tokio::test]
async fn a_gateway_that_stops_tells_its_readers() {
    let setup = Setup::default().with("timeouts", json!({"stopMs": 1000}));
    let mut gateway = Gateway::start(setup).await;
    gateway.claim("s1").await;
    let scene = json!({"text": WORDS, "stallAfter": 3});
    let mut stream = gateway.stream("s1", &format!("[[do: {scene}]]")).await;
    let turn = stream.turn.clone();
    let mut read = begin(&mut stream).await;
    let ((), rest) = tokio::join!(gateway.terminate(), stream.rest());
    read.extend(rest);
    let lists = Ledger::of(&gateway, "s1").await.lists().await;
    let shown = lists.shown(&turn);
    let ending = only_ending(&read, &shown);
    assert_eq!(
        (&ending["kind"], &ending["visibleOutput"]),
        (&json!("interrupted"), &json!(true)),
        "{ending}"
    );
    // Also whoever asks the next gateway.
    gateway.restart().await;
    let path = format!("/api/docker-cc/sessions/s1/events?turn={turn}");
    let request = gateway.request(Method::GET, &path).send().await;
    let later = SseReader::of(accepted(request.expect("an answer")).await);
    assert_eq!(later.rest().await, read);
    let info: Value = gateway.get("/api/docker-cc/sessions/s1").await;
    assert_eq!(info["status"], "ended", "{info}");
    gateway.stop().await;
}
