//! Conversations of OpenClaw 2026.9.6, as it sent them to a stand-in; system prompts and lists of tools
//! are cut, names of places are others.
//!
//! It adds a message of context to the end of each request, gives ids back without their signs, and
//! sends the images of a result as a message of the user's.

use ccpool_scripted_model::Scene;
use serde_json::{Value, json};

use super::talk::{Talk, place};
use crate::gateway::{Gateway, Setup};

/// Stands once in each of the messages that are not kept.
const CONTEXT: &str = "Active exec sessions";

const RECORDED: [(&str, &str); 4] = [
    ("basic", include_str!("openclaw/basic.json")),
    ("tool", include_str!("openclaw/tool.json")),
    ("parallel", include_str!("openclaw/parallel.json")),
    ("image", include_str!("openclaw/image.json")),
];

#[tokio::test]
async fn what_it_sent_goes_on_in_one_process() {
    let pool = json!({"minWarm": 1, "maxTotal": 4, "maxPerAgent": 4});
    let gateway = Gateway::start(Setup::default().with("pool", pool)).await;
    for (name, recorded) in RECORDED {
        let recorded: Value = serde_json::from_str(recorded).expect("JSON");
        let told = recorded["told"].as_array().expect("requests");
        let mut talk = Talk::of(&gateway);
        talk.body = recorded["request"].clone();
        let mut first = None;
        for (at, messages) in told.iter().enumerate() {
            let said = told.get(at + 1).map(newest_of_the_model);
            let scene = said.as_ref().map_or(json!({"text": "That is all."}), scene);
            let scene = Scene::parse(&scene.to_string()).expect("a scene");
            gateway.model.push(scene);
            talk.body["messages"] = messages.clone();
            let answer = talk.ask().await;
            if let Some(said) = said {
                assert_eq!(told_of(&answer.message), told_of(&said), "{name} {at}");
            }
            let place = place(&gateway, &answer.session).await;
            assert_eq!(*first.get_or_insert(place.clone()), place, "{name} {at}");
        }
        let requests = gateway.model.requests();
        let asked = requests
            .iter()
            .rfind(|request| request.stream)
            .expect("a request");
        let body = asked.body().expect("the body is kept")["messages"].to_string();
        assert_eq!(body.matches("<conversation>").count(), 0, "{name}");
        // Once with each question, and never beside results.
        let last = told.last().and_then(Value::as_array).expect("messages");
        let is_question = |message: &&Value| {
            let said = message["content"].as_str().unwrap_or_default();
            message["role"] == "user" && said.starts_with("[Sat ")
        };
        let questions = last.iter().filter(is_question).count();
        assert_eq!(body.matches(CONTEXT).count(), questions, "{name}: {body}");
        for message in last.iter().filter(|message| message["role"] == "tool") {
            let content = json!(message["content"].as_str().expect("text").trim_end());
            let content = content.to_string();
            let content = content.trim_matches('"');
            assert_eq!(body.matches(content).count(), 1, "{name}: {content}");
        }
    }
    gateway.stop().await;
}

fn newest_of_the_model(messages: &Value) -> Value {
    let mut messages = messages.as_array().expect("messages").iter();
    let newest = messages.rfind(|message| message["role"] == "assistant");
    newest.expect("an answer").clone()
}

/// A scene in which the model says this, with ids as they come from it.
fn scene(message: &Value) -> Value {
    let calls = message["tool_calls"].as_array().into_iter().flatten();
    let calls = calls.map(|call| {
        let function = &call["function"];
        let name = function["name"].as_str().expect("a name");
        let arguments = function["arguments"].as_str().expect("text");
        let id = call["id"].as_str().expect("an id");
        json!({
            "id": id.replacen("toolu", "toolu_", 1),
            "name": format!("mcp__client__{name}"),
            "input": serde_json::from_str::<Value>(arguments).expect("JSON"),
        })
    });
    let calls: Vec<Value> = calls.collect();
    let mut scene = json!({});
    if let Some(text) = message["content"].as_str() {
        scene["text"] = json!(text);
    }
    if !calls.is_empty() {
        scene["toolUse"] = json!(calls);
    }
    scene
}

/// What OpenClaw keeps of an answer, with arguments as they are read.
fn told_of(message: &Value) -> Value {
    let calls = message["tool_calls"].as_array().into_iter().flatten();
    let calls = calls.map(|call| {
        let arguments = call["function"]["arguments"].as_str().expect("text");
        let arguments: Value = serde_json::from_str(arguments).expect("JSON");
        json!([call["id"], call["function"]["name"], arguments])
    });
    json!({"content": message["content"], "calls": calls.collect::<Vec<_>>()})
}
