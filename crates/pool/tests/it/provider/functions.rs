//! Turns that wait for functions of the caller's.

use std::collections::BTreeSet;
use std::time::Duration;

use ccpool::provider::{Content, FunctionCall, FunctionTool, Message};
use ccpool::{Event, FailureKind};
use serde_json::{Value, json};

use super::stage::{Stage, Talk, Told, count, told};
use crate::support::eventually;

fn function(name: &str) -> FunctionTool {
    FunctionTool {
        name: name.to_owned(),
        description: format!("What {name} does."),
        parameters: json!({"type": "object", "properties": {"city": {"type": "string"}}})
            .as_object()
            .cloned()
            .unwrap(),
    }
}

pub(super) fn weather(caller: &str) -> Talk {
    let mut talk = Talk::of(caller);
    talk.0.tools = vec![function("weather"), function("time")];
    talk
}

pub(super) fn tool(name: &str, city: &str) -> Value {
    json!({"name": format!("mcp__client__{name}"), "input": {"city": city}})
}

pub(super) fn scene(replies: &Value) -> String {
    format!("[[do: {replies}]]")
}

pub(super) fn calls(told: &Told) -> Vec<FunctionCall> {
    match &told.ending {
        Event::FunctionCalls { calls, .. } => calls.clone(),
        other => panic!("{other:?}"),
    }
}

pub(super) fn result(call: &FunctionCall, text: &str) -> Message {
    Message::Tool {
        call: call.id.clone(),
        content: vec![Content::Text(text.to_owned())],
    }
}

/// What the model got as results, in the newest request.
pub(super) fn results(stage: &Stage) -> Vec<(String, bool)> {
    let requests = stage.model.requests();
    let newest = requests.iter().rfind(|request| request.stream).unwrap();
    let body = newest.body().unwrap();
    let messages = body["messages"].as_array().unwrap().clone();
    let blocks = messages.iter().flat_map(|message| {
        let blocks = message["content"].as_array();
        blocks.cloned().unwrap_or_default()
    });
    let results = blocks.filter(|block| block["type"] == "tool_result");
    results
        .map(|block| {
            let text = match &block["content"] {
                Value::String(text) => text.clone(),
                Value::Array(parts) => parts[0]["text"].as_str().unwrap_or_default().to_owned(),
                other => panic!("{other}"),
            };
            (text, block["is_error"] == true)
        })
        .collect()
}

#[tokio::test]
async fn a_call_waits_and_its_result_goes_on_in_the_same_turn() {
    let stage = Stage::new().await;
    let mut talk = weather("a");
    let replies = json!([
        {"text": "Let me ask.", "toolUse": tool("weather", "Paris")},
        {"text": "It is {{toolResult}}.", "toolUse": tool("time", "Paris")},
        {"text": "Done at {{toolResult}}."},
    ]);
    let first = stage.say(&mut talk, &scene(&replies)).await;
    assert_eq!(first.text, "Let me ask.");
    let asked = calls(&first);
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].name, "weather");
    assert_eq!(asked[0].arguments, json!({"city": "Paris"}));
    talk.0.messages.push(result(&asked[0], "rain"));
    let second = stage.go_on(&mut talk).await;
    assert_eq!(second.text, "It is rain.");
    let asked = calls(&second);
    assert_eq!(asked[0].name, "time");
    talk.0.messages.push(result(&asked[0], "noon"));
    let third = stage.go_on(&mut talk).await;
    assert_eq!(third.text, "Done at noon.");
    assert!(matches!(third.ending, Event::Completed(_)), "{third:?}");
    assert_eq!(
        results(&stage),
        [("rain".to_owned(), false), ("noon".to_owned(), false)]
    );
    let fourth = stage.say(&mut talk, "thanks").await;
    let sessions = [&second, &third, &fourth].map(|told| &told.session);
    assert_eq!(sessions, [&first.session; 3]);
    // One turn for all the calls, one for the thanks.
    let info = stage.pool.session(&first.session).await.unwrap();
    assert_eq!(info.turns, 2);
    assert_eq!(count(&stage.asked("thanks"), "<conversation>"), 0);
    stage.stop().await;
}

#[tokio::test]
async fn parallel_calls_are_resolved_together_and_what_is_missing_is_told() {
    let stage = Stage::new().await;
    let mut talk = weather("a");
    let both = json!([
        {"toolUse": [tool("weather", "Paris"), tool("weather", "Rome")]},
        {"text": "ok"},
    ]);
    let first = stage.say(&mut talk, &scene(&both)).await;
    let asked = calls(&first);
    assert_eq!(asked.len(), 2);
    // In any order.
    talk.0.messages.push(result(&asked[1], "sun"));
    talk.0.messages.push(result(&asked[0], "rain"));
    let second = stage.go_on(&mut talk).await;
    assert_eq!(
        (second.text.as_str(), &second.session),
        ("ok", &first.session)
    );
    let told: BTreeSet<_> = results(&stage).into_iter().collect();
    let expected = [("rain".to_owned(), false), ("sun".to_owned(), false)];
    assert_eq!(told, expected.into());

    let third = stage.say(&mut talk, &scene(&both)).await;
    talk.0.messages.push(result(&calls(&third)[0], "fog"));
    let fourth = stage.go_on(&mut talk).await;
    assert_eq!(
        (fourth.text.as_str(), &fourth.session),
        ("ok", &first.session)
    );
    // The model gets them in the order in which they are ready.
    let told = &results(&stage)[2..];
    assert!(told.contains(&("fog".to_owned(), false)), "{told:?}");
    let missing = |(text, is_error): &&(String, bool)| text.contains("gave no result") && *is_error;
    assert_eq!(told.iter().filter(missing).count(), 1, "{told:?}");
    stage.stop().await;
}

#[tokio::test]
async fn calls_can_be_given_one_by_one() {
    let stage = Stage::new().await;
    let mut talk = weather("a");
    talk.0.single_calls = true;
    let three = ["Paris", "Rome", "Oslo"].map(|city| tool("weather", city));
    let replies = json!([{"text": "Three.", "toolUse": three}, {"text": "ok"}]);
    let mut told = stage.say(&mut talk, &scene(&replies)).await;
    let session = told.session.clone();
    for (number, city) in ["Paris", "Rome", "Oslo"].into_iter().enumerate() {
        let asked = calls(&told);
        assert_eq!(asked.len(), 1);
        assert_eq!(asked[0].arguments["city"], city);
        assert_eq!(told.text, ["Three.", "", ""][number]);
        talk.0.messages.push(result(&asked[0], city));
        told = stage.go_on(&mut talk).await;
        assert_eq!(told.session, session);
    }
    assert_eq!(told.text, "ok");
    let expected = ["Paris", "Rome", "Oslo"].map(|city| (city.to_owned(), false));
    assert_eq!(results(&stage), expected);
    stage.stop().await;
}

#[tokio::test]
async fn what_the_user_says_beside_results_is_answered_too() {
    let stage = Stage::new().await;
    let mut talk = weather("a");
    let replies = json!([{"toolUse": tool("weather", "Paris")}, {"text": "It is {{toolResult}}."}]);
    let first = stage.say(&mut talk, &scene(&replies)).await;
    talk.0.messages.push(result(&calls(&first)[0], "rain"));
    talk.0.messages.push(Message::user("and be brief"));
    let second = stage.go_on(&mut talk).await;
    assert!(second.text.starts_with("It is rain."), "{second:?}");
    let third = stage.say(&mut talk, "thanks").await;
    assert_eq!([&second.session, &third.session], [&first.session; 2]);
    let body = stage.asked("thanks").body().unwrap()["messages"].to_string();
    assert_eq!(body.matches("and be brief").count(), 1, "{body}");
    stage.stop().await;
}

#[tokio::test]
async fn a_caller_that_says_something_else_instead_is_answered_in_the_same_session() {
    let stage = Stage::new().await;
    let mut talk = weather("a");
    let replies = json!([{"toolUse": tool("weather", "Paris")}, {"text": "Never mind then."}]);
    let first = stage.say(&mut talk, &scene(&replies)).await;
    let second = stage.say(&mut talk, "forget it").await;
    assert!(second.text.starts_with("Never mind then."), "{second:?}");
    assert_eq!(second.session, first.session);
    let told = results(&stage);
    assert!(
        told[0].0.contains("gave no result") && told[0].1,
        "{told:?}"
    );
    stage.stop().await;
}

#[tokio::test]
async fn results_for_a_session_that_is_gone_are_told_a_fresh_one() {
    let stage = Stage::new().await;
    let mut talk = weather("a");
    let replies =
        json!([{"text": "Asking.", "toolUse": tool("weather", "Paris")}, {"text": "Hm."}]);
    let first = stage.say(&mut talk, &scene(&replies)).await;
    stage.pool.end(&first.session).await.unwrap();
    talk.0
        .messages
        .push(result(&calls(&first)[0], "hailstones"));
    let second = stage.go_on(&mut talk).await;
    assert_ne!(second.session, first.session);
    let asked = stage.asked("where it stands.");
    assert_eq!(count(&asked, "\nhailstones\n"), 1);
    assert_eq!(count(&asked, "called weather as"), 1);
    let functions = &asked.tool_names;
    assert!(functions.contains(&"mcp__client__weather".to_owned()));
    stage.stop().await;
}

#[tokio::test]
async fn who_never_comes_back_is_not_waited_for_for_ever() {
    let stage = Stage::with(|config| config.timeouts.function = Duration::from_secs(1)).await;
    let mut talk = weather("a");
    let replies = json!([{"toolUse": tool("weather", "Paris")}, {"text": "Hm."}]);
    let first = stage.say(&mut talk, &scene(&replies)).await;
    let failed = eventually("the turn is given up", async || {
        let ending = stage.pool.newest_ending(&first.session).await.unwrap()?;
        match ending.event {
            Event::Failed(failed) => Some(failed),
            other => panic!("{other:?}"),
        }
    })
    .await;
    assert_eq!(failed.kind, FailureKind::Timeout);
    stage.ended(&first.session).await;
    talk.0
        .messages
        .push(result(&calls(&first)[0], "hailstones"));
    let second = stage.go_on(&mut talk).await;
    assert_ne!(second.session, first.session);
    assert_eq!(count(&stage.asked("where it stands."), "\nhailstones\n"), 1);
    stage.stop().await;
}

#[tokio::test]
async fn functions_come_and_go_between_turns() {
    let stage = Stage::new().await;
    let mut talk = weather("a");
    let offered = |prompt: &str| -> Vec<String> {
        let names = stage.asked(prompt).tool_names.clone();
        let mut own: Vec<String> = names
            .iter()
            .filter_map(|name| name.strip_prefix("mcp__client"))
            .filter_map(|name| Some(name.split_once("__")?.1.to_owned()))
            .collect();
        own.sort();
        own
    };
    let first = stage.say(&mut talk, "first").await;
    assert_eq!(offered("first"), ["time", "weather"]);
    talk.0.tool_choice = ccpool::provider::ToolChoice::None;
    stage.say(&mut talk, "second").await;
    assert_eq!(offered("second"), Vec::<String>::new());
    talk.0.tool_choice = ccpool::provider::ToolChoice::Auto;
    talk.0.tools = vec![function("weather")];
    let third = stage.say(&mut talk, "third").await;
    assert_eq!(offered("third"), ["weather"]);
    assert_eq!(third.session, first.session);
    talk.0.tools = vec![function("no name")];
    talk.0.messages.push(Message::user("fourth"));
    let refused = stage.reply(&talk).await.unwrap_err();
    assert_eq!(refused.kind, FailureKind::InvalidRequest);
    talk.0.tools.clear();
    let fourth = told(stage.reply(&talk).await.unwrap()).await;
    assert_eq!(fourth.session, first.session);
    stage.stop().await;
}

#[tokio::test]
async fn a_replacing_system_prompt_stands_alone() {
    let stage = Stage::new().await;
    let mut talk = Talk::of("a");
    talk.0.system = Some("You are a teapot.".to_owned());
    talk.0.system_mode = ccpool::provider::SystemMode::Replace;
    stage.say(&mut talk, "hello").await;
    let system = stage.asked("hello").system_text();
    assert!(system.contains("You are a teapot."), "{system}");
    assert!(!system.contains("software engineering tasks"), "{system}");
    stage.stop().await;
}
