//! `message`, to a server on loopback.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use ccpool::config::{Channel, ChannelKind, Config, Secret};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::call::{by, call, call_by, eventually, refused, worked};
use crate::receiver::{Received, Receiver};

const SECRET: &str = "the secret of a test, 4417";
/// Part of every URL, as that of a real one is.
const TOKEN: &str = "xylophone9052";

fn webhook() -> ChannelKind {
    ChannelKind::Webhook {
        secret: Secret::new(SECRET),
    }
}

fn config(url: &str, kind: ChannelKind) -> Config {
    let mut config = Config::default();
    config.tools.message.timeout = Duration::from_secs(20);
    let channel = Channel {
        url: Secret::new(url),
        kind,
        description: Some("people on call".to_owned()),
    };
    let channels = &mut config.tools.message.channels;
    channels.insert("ops".to_owned(), channel);
    config
}

fn hello(channel: &str) -> Value {
    json!({"channel": channel, "text": "hello, ä & <b>"})
}

async fn send(
    receiver: &Receiver,
    kind: ChannelKind,
) -> Result<ccpool_tools::Answer, ccpool_tools::Refusal> {
    let config = config(&receiver.url(&format!("/{TOKEN}?x=y")), kind);
    call(&config, "message", hello("ops")).await
}

fn now() -> u128 {
    let now = std::time::UNIX_EPOCH.elapsed();
    now.expect("the clock is right").as_millis()
}

/// Runs the example of the manual on what was received.
async fn verified(received: &Received) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let manual = std::fs::read_to_string(root.join("docs/tools.md")).expect("the manual");
    let (_, after) = manual.split_once("```python\n").expect("an example");
    let (example, _) = after.split_once("```").expect("its end");
    let script = format!(
        "{example}\nimport json, sys\ngiven = json.load(sys.stdin)\nprint(verify(given['secret'], \
         given['headers'], given['body'].encode()))\n"
    );
    let mut python = Command::new("python3")
        .args(["-I", "-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 starts; cargo xtask test gets all parts");
    let headers: serde_json::Map<String, Value> = received
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), json!(value.to_str().unwrap())))
        .collect();
    let given = json!({"secret": SECRET, "headers": headers, "body": received.body});
    let mut stdin = python.stdin.take().unwrap();
    stdin.write_all(given.to_string().as_bytes()).await.unwrap();
    drop(stdin);
    let output = python.wait_with_output().await.unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn a_webhook_can_tell_who_sent_it() {
    let receiver = Receiver::start([]).await;
    let before = now();
    let said = worked(send(&receiver, webhook()).await);
    assert_eq!(said, "The message was sent to `ops`.");
    let [received] = &receiver.received()[..] else {
        panic!("not one: {:?}", receiver.received())
    };
    assert_eq!(received.target, format!("/{TOKEN}?x=y"));
    assert_eq!(received.header("content-type"), "application/json");
    let body = received.json();
    assert_eq!(body["id"], received.header("ccpool-id"));
    for (key, value) in [
        ("channel", "ops"),
        ("text", "hello, ä & <b>"),
        ("session", "s1"),
        ("agent", "main"),
    ] {
        assert_eq!(body[key], value);
    }
    let sent_at = body["sentAt"].as_u64().unwrap();
    assert!((before..=now()).contains(&u128::from(sent_at)), "{sent_at}");
    assert_eq!(verified(received).await, "True");
    let mut changed = received.clone();
    changed.body = received.body.replace("hello", "hullo");
    assert_eq!(verified(&changed).await, "False");
    let mut old = received.clone();
    old.headers
        .insert("ccpool-timestamp", "1700000000".parse().unwrap());
    assert_eq!(verified(&old).await, "False");
}

#[tokio::test]
async fn what_may_not_have_arrived_is_sent_again_as_the_same() {
    let slow = (429, Some(("retry-after", "1")), "");
    let receiver = Receiver::start([(500, None, ""), slow, (503, None, "")]).await;
    worked(send(&receiver, webhook()).await);
    let received = receiver.received();
    assert_eq!(received.len(), 4);
    for again in &received[1..] {
        assert_eq!(again.body, received[0].body);
        assert_eq!(again.header("ccpool-id"), received[0].header("ccpool-id"));
        assert_eq!(verified(again).await, "True");
    }
    // Another message is another one.
    worked(send(&receiver, webhook()).await);
    let other = receiver.received().pop().unwrap();
    assert_ne!(other.header("ccpool-id"), received[0].header("ccpool-id"));
}

#[tokio::test]
async fn a_receiver_is_given_the_time_that_it_asks_for() {
    let limited = r#"{"ok":false,"error_code":429,"parameters":{"retry_after":1}}"#;
    let receiver = Receiver::start([(429, None, limited)]).await;
    let kind = ChannelKind::Telegram {
        chat_id: "-100".to_owned(),
    };
    worked(send(&receiver, kind).await);
    assert_eq!(receiver.received().len(), 2);
    // One that asks for more than anybody waits gets no second attempt.
    let limited = r#"{"parameters":{"retry_after":3600}}"#;
    for answer in [
        (429, None, limited),
        (503, Some(("retry-after", "3600")), ""),
    ] {
        let receiver = Receiver::start([answer]).await;
        let said = refused(send(&receiver, webhook()).await);
        assert!(said.contains("wait 3600 s"), "{said}");
        assert_eq!(receiver.received().len(), 1);
    }
}

#[tokio::test]
async fn what_will_not_be_taken_is_sent_once() {
    for status in [302, 400, 401, 404, 413] {
        let elsewhere = Some(("location", "/elsewhere"));
        let receiver = Receiver::start([(status, elsewhere, TOKEN)]).await;
        let said = refused(send(&receiver, webhook()).await);
        assert!(said.contains(&format!("it answered {status}")), "{said}");
        assert!(!said.contains(TOKEN) && !said.contains(SECRET), "{said}");
        assert_eq!(receiver.received().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_receiver_that_fails_for_good_is_told() {
    let receiver = Receiver::start([(500, None, TOKEN); 9]).await;
    let said = refused(send(&receiver, webhook()).await);
    assert!(said.contains("it answered 500, at attempt 4"), "{said}");
    assert_eq!(receiver.received().len(), 4);
    // Nobody listens there any more.
    let url = receiver.url(&format!("/{TOKEN}"));
    drop(receiver);
    let mut config = config(&url, webhook());
    config.tools.message.retries = 1;
    let said = refused(call(&config, "message", hello("ops")).await);
    assert!(
        said.contains("it cannot be reached, at attempt 2"),
        "{said}"
    );
    assert!(
        !said.contains(TOKEN) && !said.contains("127.0.0.1"),
        "{said}"
    );
}

#[tokio::test]
async fn a_receiver_that_falls_silent_is_given_up_in_time() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/{TOKEN}", silent.local_addr().unwrap());
    let mut config = config(&url, webhook());
    config.tools.message.timeout = Duration::from_millis(200);
    config.tools.message.retries = 1;
    let said = refused(call(&config, "message", hello("ops")).await);
    assert!(said.contains("within 200 ms, at attempt 2"), "{said}");
}

#[tokio::test]
async fn a_cancelled_call_sends_nothing_more() {
    let receiver = Receiver::start([(503, Some(("retry-after", "50")), "")]).await;
    let config = config(&receiver.url("/"), webhook());
    let cancelled = by("main");
    let token = cancelled.cancelled.clone();
    let (answer, ()) = tokio::join!(
        call_by(&config, cancelled, "message", hello("ops")),
        async {
            let first = async || (receiver.received().len() == 1).then_some(());
            eventually("the first attempt", first).await;
            token.cancel();
        }
    );
    let said = refused(answer);
    assert!(said.contains("cancelled"), "{said}");
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test]
async fn each_service_gets_what_it_takes() {
    let receiver = Receiver::start([]).await;
    let telegram = ChannelKind::Telegram {
        chat_id: "-100".to_owned(),
    };
    for kind in [ChannelKind::Slack, ChannelKind::Discord, telegram] {
        worked(send(&receiver, kind).await);
    }
    let received = receiver.received();
    let bodies: Vec<Value> = received.iter().map(Received::json).collect();
    assert_eq!(
        bodies,
        [
            json!({"text": "hello, ä &amp; &lt;b&gt;"}),
            json!({"content": "hello, ä & <b>", "allowed_mentions": {"parse": []}}),
            json!({"chat_id": -100, "text": "hello, ä & <b>"}),
        ]
    );
    // What is signed is our own JSON.
    assert!(
        received
            .iter()
            .all(|one| !one.headers.contains_key("ccpool-signature"))
    );
}

#[tokio::test]
async fn an_unknown_channel_and_a_long_text_are_refused_with_what_is_possible() {
    let receiver = Receiver::start([]).await;
    let config = config(&receiver.url("/"), ChannelKind::Discord);
    let said = refused(call(&config, "message", hello("pos")).await);
    assert_eq!(
        said,
        "There is no channel `pos`. There are: `ops` (people on call)."
    );
    let long = json!({"channel": "ops", "text": "x".repeat(2_001)});
    let said = refused(call(&config, "message", long).await);
    assert!(
        said.contains("2001") && said.contains("takes 2000"),
        "{said}"
    );
    let misspelt = json!({"chanel": "ops", "text": "hi"});
    let said = refused(call(&config, "message", misspelt).await);
    assert!(
        said.contains("`channel` (needed), `text` (needed)"),
        "{said}"
    );
    assert!(receiver.received().is_empty());
}
