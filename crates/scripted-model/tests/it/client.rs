//! A small Messages API client.

use std::time::Duration;

use ccpool_scripted_model::ScriptedModel;
use futures::StreamExt;
use serde_json::{Value, json};

pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

pub(crate) async fn started() -> ScriptedModel {
    ScriptedModel::start("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap()
}

pub(crate) fn prompt(text: &str) -> Value {
    json!({"role": "user", "content": [
        {"type": "text", "text": "<system-reminder>\nnot the user\n</system-reminder>\n"},
        {"type": "text", "text": text}]})
}

pub(crate) fn body(messages: &[Value], stream: bool) -> Value {
    json!({
        "model": "claude-test", "max_tokens": 100, "stream": stream, "messages": messages,
        "system": [{"type": "text", "text": "Be brief."}],
        "tools": [{"name": "Bash", "input_schema": {}}],
        "unknown_field": {"a": [1]},
    })
}

pub(crate) async fn post(base: &str, body: &Value) -> reqwest::Result<reqwest::Response> {
    let url = format!("{base}/v1/messages?beta=true");
    reqwest::Client::new()
        .post(url)
        .header("x-api-key", "sk-ant-fake")
        .json(body)
        .send()
        .await
}

/// A non-streaming answer to a single prompt.
pub(crate) async fn ask(base: &str, text: &str) -> (u16, Value) {
    let response = post(base, &body(&[prompt(text)], false)).await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

/// The events of a stream, and the error that broke it.
#[derive(Debug)]
pub(crate) struct Streamed {
    pub(crate) events: Vec<Value>,
    pub(crate) error: Option<reqwest::Error>,
}

impl Streamed {
    pub(crate) fn kinds(&self) -> Vec<&str> {
        self.events
            .iter()
            .map(|event| event["type"].as_str().unwrap())
            .collect()
    }

    /// All texts of one kind of delta, joined.
    pub(crate) fn joined(&self, field: &str) -> String {
        self.events
            .iter()
            .filter_map(|event| event["delta"][field].as_str())
            .collect()
    }

    pub(crate) fn deltas(&self) -> usize {
        self.kinds()
            .iter()
            .filter(|kind| **kind == "content_block_delta")
            .count()
    }
}

pub(crate) async fn stream(base: &str, messages: &[Value]) -> Streamed {
    let response = post(base, &body(messages, true)).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    read_stream(response).await
}

pub(crate) async fn read_stream(response: reqwest::Response) -> Streamed {
    let mut bytes = response.bytes_stream();
    let mut text = Vec::new();
    let mut error = None;
    while let Some(part) = bytes.next().await {
        match part {
            Ok(part) => text.extend_from_slice(&part),
            Err(broken) => error = Some(broken),
        }
    }
    Streamed {
        events: events(std::str::from_utf8(&text).unwrap()),
        error,
    }
}

pub(crate) fn events(text: &str) -> Vec<Value> {
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap())
        .collect()
}
