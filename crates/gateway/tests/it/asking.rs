//! An agent that asks before it acts, as a client of the gateway meets it.

use std::path::PathBuf;

use reqwest::Method;
use serde_json::{Value, json};

use crate::gateway::{Gateway, Setup, accepted, answer};
use crate::sse::{Message, SseReader};

/// A gateway whose agents ask, with more in its `permissions`.
pub(crate) fn setup(permissions: &Value) -> Setup {
    Setup::default().with("permissions", permissions.clone())
}

/// A prompt to which the model plays this scene.
pub(crate) fn play(scene: &Value) -> String {
    format!("[[do: {scene}]]")
}

/// A prompt that makes the agent create a file, which it asks about.
pub(crate) fn touch(file: &str) -> String {
    let input = json!({"command": format!("touch {file}"), "description": "make it"});
    play(&json!([
        {"toolUse": {"name": "Bash", "input": input}},
        {"text": "The tool said: {{toolResult}}"},
    ]))
}

/// A claimed session of a gateway.
pub(crate) struct Session<'a> {
    pub(crate) gateway: &'a Gateway,
    pub(crate) name: &'a str,
    container: String,
}

impl<'a> Session<'a> {
    pub(crate) async fn claim(gateway: &'a Gateway, name: &'a str) -> Self {
        let claimed = gateway.claim(name).await;
        let container = claimed["container"].as_str().expect("a container");
        Self {
            gateway,
            name,
            container: container.to_owned(),
        }
    }

    /// The container that serves it.
    pub(crate) fn container(&self) -> &str {
        &self.container
    }

    /// Where its agent works, on the process runtime.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        let containers = self.gateway.dir.path().join("data/containers");
        containers
            .join(&self.container)
            .join("workspace")
            .join(name)
    }

    pub(crate) async fn say(&self, prompt: &str) -> SseReader {
        self.gateway.stream(self.name, prompt).await
    }

    /// Sends a prompt and reads until the agent asks.
    pub(crate) async fn asked(&self, prompt: &str) -> (SseReader, Value) {
        let mut stream = self.say(prompt).await;
        let request = stream.wait_for("permission_request").await;
        (stream, request.data)
    }

    /// The requests that wait.
    pub(crate) async fn pending(&self) -> Vec<Value> {
        pending(self.gateway, self.name).await
    }

    /// Answers a request, which must be taken.
    pub(crate) async fn answer(&self, request: &Value, body: Value) -> Value {
        let (status, told) = respond(self.gateway, self.name, request, &body).await;
        assert_eq!(status, 200, "{told}");
        told
    }

    /// What the model was told last.
    pub(crate) fn told_model(&self) -> String {
        let requests = self.gateway.model.requests();
        let asked = requests.iter().rfind(|request| request.stream);
        json!(asked.expect("the model was asked").messages()).to_string()
    }
}

/// The requests of a session that wait, by any gateway.
pub(crate) async fn pending(gateway: &Gateway, session: &str) -> Vec<Value> {
    let path = format!("/api/docker-cc/sessions/{session}/permissions");
    let mut listed = gateway.get(&path).await;
    match listed["permissions"].take() {
        Value::Array(permissions) => permissions,
        other => panic!("no list: {other}"),
    }
}

/// Answers a request, named by its event or its entry in the list; status and body.
pub(crate) async fn respond(
    gateway: &Gateway,
    session: &str,
    request: &Value,
    body: &Value,
) -> (u16, Value) {
    let request = request["requestId"].as_str().expect("a request");
    let path = format!("/api/docker-cc/sessions/{session}/permissions/{request}");
    gateway.post(&path, body).await
}

/// Goes on reading a session after an event.
pub(crate) async fn resume(gateway: &Gateway, session: &str, last: &Message) -> SseReader {
    let path = format!(
        "/api/docker-cc/sessions/{session}/events?turn={}",
        turn(last)
    );
    let request = gateway
        .request(Method::GET, &path)
        .header("last-event-id", &last.id);
    SseReader::of(accepted(request.send().await.expect("an answer")).await)
}

/// The turn of an event.
pub(crate) fn turn(message: &Message) -> &str {
    message.data["turn"].as_str().expect("a turn")
}

/// The last event, which ends the turn, and what was told of requests before it: outcome and who
/// ended them.
pub(crate) async fn ending(stream: SseReader) -> (Value, Vec<Value>) {
    let mut events = stream.rest().await;
    let last = events.pop().expect("an ending").data;
    let resolved = events.iter().filter(|m| m.event == "permission_resolved");
    let resolved = resolved.map(|m| json!([m.data["outcome"], m.data["by"]]));
    (last, resolved.collect())
}

/// Deletes a session.
pub(crate) async fn end(gateway: &Gateway, session: &str) {
    let path = format!("/api/docker-cc/sessions/{session}");
    let (status, told) = answer(gateway.request(Method::DELETE, &path)).await;
    assert_eq!(status, 204, "{told}");
}
