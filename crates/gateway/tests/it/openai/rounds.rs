//! Rounds of the client's own functions: a turn that waits, and goes on in the same process.

use futures::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};

use super::talk::{Talk, place};
use crate::gateway::{Gateway, Setup, accepted};
use crate::parts::eventually;
use crate::proc::marked;
use crate::sse::SseReader;

fn call(id: &str, name: &str, city: &str) -> Value {
    json!({"id": id, "name": format!("mcp__client__{name}"), "input": {"city": city}})
}

fn scene(replies: &Value) -> String {
    format!("[[do: {replies}]]")
}

/// What the model was given as results in its newest request, with whether they are errors.
fn results(gateway: &Gateway) -> Vec<(String, bool)> {
    let requests = gateway.model.requests();
    let newest = requests.iter().rfind(|request| request.stream);
    let body = newest.expect("a request").body().expect("the body is kept");
    let messages = body["messages"].as_array().expect("messages").clone();
    let blocks = messages
        .iter()
        .filter_map(|message| message["content"].as_array());
    let results = blocks
        .flatten()
        .filter(|block| block["type"] == "tool_result");
    let told = results.map(|block| {
        let text = match &block["content"] {
            Value::String(text) => text.clone(),
            parts => parts[0]["text"].as_str().expect("text").to_owned(),
        };
        (text, block["is_error"] == true)
    });
    told.collect()
}

#[tokio::test]
async fn two_rounds_with_one_call_and_with_two() {
    let gateway = Gateway::start(Setup::default()).await;
    for stream in [true, false] {
        let talk = Talk::of(&gateway).streamed(stream);
        let mut talk = talk.with_functions(&["weather", "time"]);
        let user = format!("stream-{stream}");
        talk.body["user"] = json!(user);
        let hello = talk.say("hello").await;
        assert_eq!(hello.finish, "stop");
        let before = place(&gateway, &hello.session).await;

        let replies = json!([
            {"text": "Let me ask.", "toolUse": call("toolu_01-A", "weather", "Paris")},
            {"toolUse": [call("toolu_02_B", "weather", "Rome"), call("toolu_03_C", "time", "Rome")]},
            {"text": "That is all."},
        ]);
        let first = talk.say(&scene(&replies)).await;
        assert_eq!(
            (first.text(), first.finish.as_str()),
            ("Let me ask.", "tool_calls")
        );
        let paris = json!({"city": "Paris"});
        let expected = ("toolu01A".to_owned(), "weather".to_owned(), paris);
        assert_eq!(first.calls(), [expected]);
        let path = format!("/api/docker-cc/sessions/{}", first.session);
        // The turn waits meanwhile.
        assert!(gateway.get(&path).await["turn"].is_string());

        let second = talk.give(&[("toolu01A", "rain")]).await;
        assert_eq!((second.text(), second.finish.as_str()), ("", "tool_calls"));
        assert_eq!(second.message["content"], Value::Null);
        assert_eq!(second.ids(), ["toolu02B", "toolu03C"]);
        assert_eq!(results(&gateway), [("rain".to_owned(), false)]);

        let third = talk
            .give(&[("toolu03C", "noon"), ("toolu02B", "sun")])
            .await;
        assert_eq!(
            (third.text(), third.finish.as_str()),
            ("That is all.", "stop")
        );
        let told = results(&gateway);
        for text in ["rain", "sun", "noon"] {
            assert!(told.contains(&(text.to_owned(), false)), "{told:?}");
        }
        assert!(third.usage["prompt_tokens"].as_u64() > Some(0), "{third:?}");

        let fourth = talk.say("thanks").await;
        let answers = [&first, &second, &third, &fourth];
        assert_eq!(answers.map(|answer| &answer.session), [&hello.session; 4]);
        assert_eq!(answers.map(|answer| &answer.model), [&hello.model; 4]);
        assert_eq!(place(&gateway, &hello.session).await, before);
        // The greeting, all rounds together, and the thanks.
        assert_eq!(gateway.get(&path).await["turns"], 3);
    }
    gateway.stop().await;
}

/// What OpenClaw makes of an answer: ids without their signs, numbers in its own spelling.
#[tokio::test]
async fn what_a_client_rewrites_finds_its_turn() {
    let gateway = Gateway::start(Setup::default()).await;
    let mut talk = Talk::of(&gateway)
        .streamed(true)
        .with_functions(&["weather"]);
    let input = json!({"city": "Rome", "days": 1.0, "b": 2, "a": 1e3});
    let named = json!({"id": "toolu_01-A", "name": "mcp__client__weather", "input": input});
    let replies = json!([{"toolUse": named}, {"text": "ok"}]);
    let first = talk.say(&scene(&replies)).await;
    let last = talk.messages().last_mut().expect("an answer");
    last["tool_calls"][0]["function"]["arguments"] =
        json!(r#"{"city":"Rome","days":1,"b":2,"a":1000}"#);
    last["content"] = json!("");
    let second = talk.give(&[(&first.ids()[0], "rain")]).await;
    assert_eq!((second.text(), &second.session), ("ok", &first.session));
    let third = talk.say("thanks").await;
    assert_eq!(third.session, first.session);
    gateway.stop().await;
}

#[tokio::test]
async fn who_never_comes_back_is_given_up_with_the_container() {
    let setup = Setup::default().with("timeouts", json!({"functionMs": 1000}));
    let gateway = Gateway::start(setup).await;
    let mut talk = Talk::of(&gateway)
        .streamed(true)
        .with_functions(&["weather"]);
    let hello = talk.say("hello").await;
    let at = place(&gateway, &hello.session).await;
    let path = format!("/api/docker-cc/sessions/{}", hello.session);
    let events = gateway.request(Method::GET, &format!("{path}/events"));
    let mut events = SseReader::of(accepted(events.send().await.expect("an answer")).await);
    let replies = json!([{"toolUse": call("toolu_01A", "weather", "Paris")}, {"text": "ok"}]);
    let first = talk.say(&scene(&replies)).await;
    assert_eq!(
        (first.finish.as_str(), &first.session),
        ("tool_calls", &hello.session)
    );
    let failed = events.wait_for("failed").await;
    assert_eq!(failed.data["kind"], "timeout", "{failed:?}");
    eventually("the session has ended", async || {
        let live = gateway.get("/api/docker-cc/sessions").await;
        (!live.to_string().contains(&hello.session)).then_some(())
    })
    .await;
    eventually("the container has gone", async || {
        marked(&at.container).is_empty().then_some(())
    })
    .await;
    // Whoever comes back all the same is answered: a fresh session is told everything.
    let late = talk.give(&[(&first.ids()[0], "hailstones")]).await;
    assert_ne!(late.session, first.session);
    let asked = gateway.model.requests();
    let asked = asked
        .iter()
        .rfind(|request| request.stream)
        .expect("a request");
    let texts = asked.texts_of_role("user").concat();
    assert!(texts.contains("hailstones"), "{texts}");
    gateway.stop().await;
}

/// The stream ends at the calls; whoever reads on finds nothing, and nothing is interrupted.
#[tokio::test]
async fn a_client_that_leaves_after_the_calls_can_come_back() {
    let gateway = Gateway::start(Setup::default()).await;
    let mut talk = Talk::of(&gateway)
        .streamed(true)
        .with_functions(&["weather"]);
    let replies = json!([{"toolUse": call("toolu_01A", "weather", "Paris")}, {"text": "ok"}]);
    talk.messages()
        .push(json!({"role": "user", "content": scene(&replies)}));
    let response = talk.request().send().await.expect("an answer");
    let session = response.headers()["x-ccpool-session"].clone();
    let mut bytes = response.bytes_stream();
    let mut read = String::new();
    while !read.contains("\"finish_reason\":\"tool_calls\"") {
        let more = bytes.next().await.expect("it goes on").expect("it holds");
        read += std::str::from_utf8(&more).expect("chunks are whole");
    }
    drop(bytes);
    talk.messages().push(json!({
        "role": "assistant",
        "content": null,
        "tool_calls": [{"id": "toolu01A", "type": "function",
            "function": {"name": "weather", "arguments": "{\"city\":\"Paris\"}"}}],
    }));
    let second = talk.give(&[("toolu01A", "rain")]).await;
    assert_eq!(second.text(), "ok");
    assert_eq!(second.session, session.to_str().expect("ASCII"));
    gateway.stop().await;
}
