//! Answers in the form of a JSON Schema.

use reqwest::Method;
use serde_json::{Value, json};

use super::chat::{Came, post, user};
use super::continuing::roomy;
use super::talk::{Talk, end, place, told};
use crate::gateway::{Gateway, Setup};

/// As `pydantic` writes it and the official client sends it, with a value twice, which the CLI would not
/// take.
fn town() -> Value {
    json!({"type": "json_schema", "json_schema": {"name": "Answer", "strict": true, "schema": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$defs": {"Town": {"type": "object", "title": "Town", "additionalProperties": false,
            "properties": {"name": {"type": "string", "title": "Name",
                "enum": ["Bonn", "Ulm", "Bonn"]}}, "required": ["name"]}},
        "type": "object", "properties": {"town": {"$ref": "#/$defs/Town"}},
        "required": ["town"], "additionalProperties": false,
    }}})
}

/// The model says this town.
fn answers(name: &str) -> String {
    let output = json!({"name": "StructuredOutput", "input": {"town": {"name": name}}});
    format!(
        "[[do: {}]]",
        json!({"text": "Let me see.", "toolUse": output})
    )
}

/// What the model says beside it is not told, and the conversation goes on where it was.
#[tokio::test]
async fn an_answer_has_the_form_that_was_asked_for() {
    let gateway = Gateway::start(Setup::default()).await;
    for (stream, name) in [(false, None), (true, None), (true, Some("chat"))] {
        let mut talk = Talk::of(&gateway)
            .streamed(stream)
            .with("response_format", town());
        if let Some(name) = name {
            talk = talk.with_header("x-session-id", name);
        }
        let first = talk.say(&answers("Bonn")).await;
        assert_eq!(first.text(), r#"{"town":{"name":"Bonn"}}"#, "{first:?}");
        assert_eq!(first.finish, "stop");
        assert!(
            first.usage["completion_tokens"].as_u64() > Some(0),
            "{first:?}"
        );
        let before = place(&gateway, &first.session).await;
        let second = talk.say(&answers("Ulm")).await;
        assert_eq!(second.text(), r#"{"town":{"name":"Ulm"}}"#, "{second:?}");
        assert_eq!(place(&gateway, &second.session).await, before);
        end(&gateway, &first.session).await;
    }
    gateway.stop().await;
}

/// A session answers in one form: for another one there is a fresh session that is told the history.
#[tokio::test]
async fn another_form_is_another_session() {
    let gateway = Gateway::start(roomy()).await;
    for name in [None, Some("chat")] {
        let mut talk = Talk::of(&gateway);
        if let Some(name) = name {
            talk = talk.with_header("x-session-id", name);
        }
        let first = talk.say("My favourite colour is teal.").await;
        let mut formed = talk.with("response_format", town());
        let second = formed.say(&answers("Bonn")).await;
        assert_eq!(second.text(), r#"{"town":{"name":"Bonn"}}"#, "{second:?}");
        assert_ne!(second.session, first.session);
        assert!(told(&gateway).contains("teal"));
        // In words again: the object that was said is part of the history.
        let mut words = formed.with("response_format", Value::Null);
        let third = words.say("Where was that?").await;
        assert!(third.text().contains("Where was that?"), "{third:?}");
        assert_ne!(third.session, second.session);
        let told = told(&gateway);
        let object = r#"{"town":{"name":"Bonn"}}"#;
        // Once in the prompt that asked for it, and once as the answer.
        assert_eq!(told.matches(object).count(), 2, "{told}");
    }
    gateway.stop().await;
}

/// Functions of the client's come first, and then the form.
#[tokio::test]
async fn a_form_after_a_call() {
    let gateway = Gateway::start(Setup::default()).await;
    let call = json!({"id": "toolu_a", "name": "mcp__client__weather", "input": {"city": "Bonn"}});
    let output = json!({"name": "StructuredOutput", "input": {"town": {"name": "Bonn"}}});
    let scene = json!([{"text": "I ask.", "toolUse": call}, {"toolUse": output}]);
    let mut talk = Talk::of(&gateway)
        .streamed(true)
        .with("response_format", town())
        .with_functions(&["weather"]);
    let called = talk.say(&format!("[[do: {scene}]]")).await;
    assert_eq!((called.finish.as_str(), called.text()), ("tool_calls", ""));
    let answer = talk.give(&[(&called.ids()[0], "fog")]).await;
    assert_eq!(answer.text(), r#"{"town":{"name":"Bonn"}}"#, "{answer:?}");
    assert_eq!(answer.session, called.session);
    gateway.stop().await;
}

/// No form, no answer; and what nobody could keep is refused.
#[tokio::test]
async fn what_does_not_fit_is_a_failure() {
    let gateway = Gateway::start(Setup::default()).await;
    let mut body = user("just words");
    body["response_format"] = town();
    let came = Came::of(post(&gateway, &body)).await;
    assert_eq!(came.failure(), (500, "internal".to_owned()), "{came:?}");
    body["response_format"]["json_schema"]["schema"]["type"] = json!("array");
    let came = Came::of(post(&gateway, &body)).await;
    assert_eq!(came.failure(), (400, "invalid_request".to_owned()));
    let error = &came.json()["error"];
    assert_eq!(error["param"], "response_format.json_schema");
    gateway.stop().await;
}

/// The gateway's own route takes a schema too.
#[tokio::test]
async fn a_session_of_the_gateways_own_has_a_form() {
    let gateway = Gateway::start(Setup::default()).await;
    let schema = town()["json_schema"]["schema"].take();
    let claim = json!({"session": "formed", "outputSchema": schema});
    let (status, claimed) = gateway.post("/api/docker-cc/sessions", &claim).await;
    assert_eq!(status, 201, "{claimed}");
    let prompt = json!({"text": answers("Bonn"), "stream": false});
    let (_, answer) = gateway.turn("formed", &prompt).await;
    let ending = &answer["result"];
    assert_eq!(
        ending["structuredOutput"],
        json!({"town": {"name": "Bonn"}}),
        "{ending}"
    );
    let wrong = json!({"outputSchema": {"type": "object", "prefixItems": []}});
    let request = gateway.request(Method::POST, "/api/docker-cc/sessions");
    let came = Came::of(request.json(&wrong)).await;
    assert_eq!(came.status, 400);
    assert!(
        came.text.contains("outputSchema uses `prefixItems`"),
        "{came:?}"
    );
    gateway.stop().await;
}
