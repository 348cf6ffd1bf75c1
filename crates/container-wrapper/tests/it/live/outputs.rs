//! Answers in the form of a JSON Schema.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::play::{Afterwards, Play};
use crate::support::Rig;

async fn play() -> Play {
    let schema = json!({
        "type": "object",
        "properties": {"town": {"type": "string"}},
        "required": ["town"],
        "additionalProperties": false,
    });
    Play::assigned(json!({"outputSchema": schema}), |_| {}).await
}

/// The model answers with this.
fn output(answer: &Value) -> Value {
    json!({"toolUse": {"name": "StructuredOutput", "input": answer}})
}

/// It comes with the ending, and what does not fit is corrected before.
#[tokio::test]
async fn the_answer_is_an_object_that_fits() {
    let mut play = play().await;
    let bonn =
        json!({"text": "Let me see.", "toolUse": output(&json!({"town": "Bonn"}))["toolUse"]});
    let ending = play.acted("t1", bonn).await;
    assert_eq!(
        ending["structuredOutput"],
        json!({"town": "Bonn"}),
        "{ending}"
    );
    let corrected = json!([output(&json!({"twon": 3})), output(&json!({"town": "Ulm"}))]);
    let ending = play.acted("t2", corrected).await;
    assert_eq!(
        ending["structuredOutput"],
        json!({"town": "Ulm"}),
        "{ending}"
    );
    let told = &play.asked_model().body().expect("a body")["tools"];
    let tools = told.as_array().expect("tools");
    assert!(tools.iter().any(|tool| tool["name"] == "StructuredOutput"));
    insta::assert_snapshot!(play.finish_as(Afterwards::Completes).await, @r#"
    t1: started text_delta text tool_use(StructuredOutput) tool_result completed "{\"town\":\"Bonn\"}"
    t2: started tool_use(StructuredOutput) tool_result(error) tool_use(StructuredOutput) tool_result completed "{\"town\":\"Ulm\"}"
    "#);
}

/// A model that answers in words is reminded once, and then its words are all there is.
#[tokio::test]
async fn words_are_no_answer() {
    let mut play = play().await;
    let ending = play.said("t1", "hello").await;
    assert_eq!(ending["type"], "completed");
    assert_eq!(ending.get("structuredOutput"), None, "{ending}");
    let text = ending["text"].as_str().expect("words");
    assert!(text.contains("[structured-output-enforce]"), "{ending}");
    play.finish_as(Afterwards::Completes).await;
}

/// Who could not answer has done nothing by trying.
#[tokio::test]
async fn trying_is_no_effect() {
    let mut play = play().await;
    let scene = json!([output(&json!({"twon": 3})), {"error": 400}]);
    let ending = play.acted("t1", scene).await;
    assert_eq!(ending["kind"], "invalid_request", "{ending}");
    assert_eq!(ending["toolEffects"], false, "{ending}");
    let scene =
        json!([{"toolUse": {"name": "Bash", "input": {"command": "true"}}}, {"error": 400}]);
    let ending = play.acted("t2", scene).await;
    assert_eq!(ending["toolEffects"], true, "{ending}");
    play.finish_as(Afterwards::Completes).await;
}

/// The CLI gives up after the fifth.
#[tokio::test]
async fn an_answer_that_never_fits() {
    let mut play = play().await;
    let wrong = output(&json!({"town": 7}));
    play.acted("t1", json!(vec![wrong; 8])).await;
    insta::assert_snapshot!(play.finish_as(Afterwards::Completes).await, @"t1: started tool_use(StructuredOutput) tool_result(error) tool_use(StructuredOutput) tool_result(error) tool_use(StructuredOutput) tool_result(error) tool_use(StructuredOutput) tool_result(error) tool_use(StructuredOutput) tool_result(error) failed(internal)");
}

/// Another `claude` is told it again.
#[tokio::test]
async fn the_form_outlives_the_process() {
    let mut play = play().await;
    play.acted("t1", output(&json!({"town": "Bonn"}))).await;
    play.act("t2", json!({"text": "one two three", "delayMs": 2000}))
        .await;
    play.rig.line(r#""text":"one"#).await;
    Rig::signal(play.rig.claude_pid(), Signal::SIGKILL);
    assert_eq!(play.rig.ending("t2").await["kind"], "container_lost");
    let ending = play.acted("t3", output(&json!({"town": "Ulm"}))).await;
    assert_eq!(
        ending["structuredOutput"],
        json!({"town": "Ulm"}),
        "{ending}"
    );
    play.finish_as(Afterwards::Completes).await;
}
