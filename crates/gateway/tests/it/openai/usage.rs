//! What an answer says to have used: what the model has read last, and what it has written.

use reqwest::Method;
use serde_json::{Value, json};

use super::talk::Talk;
use crate::gateway::{Gateway, Setup, accepted};
use crate::sse::SseReader;

fn script(replies: &Value) -> String {
    format!("[[do: {replies}]]")
}

/// What one request uses.
fn usage(input: u64, cached: u64, written: u64, output: u64) -> Value {
    json!({"inputTokens": input, "cacheReadInputTokens": cached,
        "cacheCreationInputTokens": written, "outputTokens": output})
}

fn weather() -> Value {
    json!({"name": "mcp__client__weather", "input": {"city": "Rome"}})
}

fn bash() -> Value {
    json!({"name": "Bash", "input": {"command": "true", "description": "wait"}})
}

fn tokens(prompt: u64, cached: u64, written: u64, completion: u64) -> Value {
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
    })
}

/// Takes what the whole turn has used out of what was told. Its cost goes: it is a matter of prices.
fn turn_of(used: &mut Value) -> Value {
    let fields = used.as_object_mut().expect("usage");
    let mut turn = fields.remove("turn").expect("the turn has ended");
    let cost = turn.as_object_mut().expect("usage").remove("cost_usd");
    assert!(cost.and_then(|cost| cost.as_f64()) > Some(0.0), "{turn}");
    turn
}

/// A gateway where `Bash` may run.
async fn gateway() -> Gateway {
    let setup = Setup::default().with("permissions", json!({"allow": ["Bash"]}));
    Gateway::start(setup).await
}

#[tokio::test]
async fn each_answer_of_a_turn_tells_of_itself() {
    let gateway = gateway().await;
    for stream in [true, false] {
        let talk = Talk::of(&gateway).streamed(stream);
        let mut talk = talk.with_functions(&["weather"]);
        talk.body["user"] = json!(format!("stream-{stream}"));
        let replies = json!([
            {"toolUse": weather(), "usage": usage(10, 3000, 200, 20)},
            {"text": "It rains.", "usage": usage(30, 3200, 40, 7)},
        ]);
        let first = talk.say(&script(&replies)).await;
        assert_eq!(first.finish, "tool_calls");
        assert_eq!(first.usage, tokens(3210, 3000, 200, 20));
        let mut second = talk.give(&[(&first.ids()[0], "rain")]).await;
        assert_eq!(second.text(), "It rains.");
        let turn = turn_of(&mut second.usage);
        assert_eq!(second.usage, tokens(3270, 3200, 40, 7));
        assert_eq!(turn, tokens(6480, 6200, 240, 27));
    }
    gateway.stop().await;
}

/// A client takes the prompt for the size of the context, and shortens the conversation by it.
#[tokio::test]
async fn rounds_of_the_agents_own_do_not_add_to_the_prompt() {
    let gateway = gateway().await;
    let mut talk = Talk::of(&gateway)
        .streamed(true)
        .with_functions(&["weather"]);
    let replies = json!([
        {"toolUse": bash(), "usage": usage(1000, 0, 0, 20)},
        {"toolUse": bash(), "usage": usage(1500, 0, 0, 30)},
        {"text": "Done.", "usage": usage(2000, 0, 0, 7)},
    ]);
    let mut answer = talk.say(&script(&replies)).await;
    let turn = turn_of(&mut answer.usage);
    assert_eq!(answer.usage, tokens(2000, 0, 0, 57));
    assert_eq!(turn, tokens(4500, 0, 0, 57));

    // Both kinds of rounds in one turn.
    let replies = json!([
        {"toolUse": bash(), "usage": usage(2100, 0, 0, 1)},
        {"text": "I ask.", "toolUse": weather(), "usage": usage(2200, 0, 0, 2)},
        {"toolUse": bash(), "usage": usage(2300, 0, 0, 4)},
        {"text": "Done.", "usage": usage(2400, 0, 0, 8)},
    ]);
    let first = talk.say(&script(&replies)).await;
    assert_eq!(first.usage, tokens(2200, 0, 0, 3));
    let path = format!("/api/docker-cc/sessions/{}", first.session);
    let waiting = gateway.get(&path).await["turn"].clone();
    let mut second = talk.give(&[(&first.ids()[0], "rain")]).await;
    let turn = turn_of(&mut second.usage);
    assert_eq!(second.usage, tokens(2400, 0, 0, 12));
    assert_eq!(turn, tokens(9000, 0, 0, 15));

    // The gateway's own routes tell both too.
    let waited = waiting.as_str().expect("a turn that waited");
    let path = format!("{path}/events?turn={waited}");
    let events = gateway.request(Method::GET, &path);
    let mut events = SseReader::of(accepted(events.send().await.expect("an answer")).await);
    let called = events.wait_for("function_calls").await.data;
    assert_eq!(called["usage"]["inputTokens"], 2200, "{called}");
    assert_eq!(called["usage"]["outputTokens"], 3, "{called}");
    let completed = events.wait_for("completed").await.data;
    assert_eq!(completed["usage"]["inputTokens"], 9000, "{completed}");
    assert_eq!(completed["answerUsage"]["inputTokens"], 2400, "{completed}");
    assert_eq!(completed["answerUsage"]["outputTokens"], 12, "{completed}");
    gateway.stop().await;
}

/// They were written in one request.
#[tokio::test]
async fn calls_told_one_by_one_are_paid_for_once() {
    let gateway = gateway().await;
    let talk = Talk::of(&gateway).streamed(false);
    let mut talk = talk
        .with_functions(&["weather"])
        .with("parallel_tool_calls", json!(false));
    let replies = json!([
        {"toolUse": [weather(), weather()], "usage": usage(100, 0, 0, 20)},
        {"text": "ok", "usage": usage(200, 0, 0, 7)},
    ]);
    let first = talk.say(&script(&replies)).await;
    assert_eq!(first.usage, tokens(100, 0, 0, 20));
    let second = talk.give(&[(&first.ids()[0], "rain")]).await;
    assert_eq!(second.ids().len(), 1, "{second:?}");
    assert_eq!(second.usage, tokens(100, 0, 0, 0));
    let mut third = talk.give(&[(&second.ids()[0], "sun")]).await;
    let turn = turn_of(&mut third.usage);
    assert_eq!(third.usage, tokens(200, 0, 0, 7));
    assert_eq!(turn, tokens(300, 0, 0, 27));
    gateway.stop().await;
}
