//! A client that tells its whole conversation each time, and writes down what comes as clients do.

use nix::unistd::Pid;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::chat::{Came, Chunks, Piece, chunks_of, post};
use crate::gateway::{Gateway, accepted};
use crate::proc::children;

/// A conversation of a client's.
#[derive(Clone)]
pub(super) struct Talk<'a> {
    gateway: &'a Gateway,
    /// What is sent.
    pub(super) body: Value,
    pub(super) headers: Vec<(&'static str, String)>,
}

/// An answer, streamed or not.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) session: String,
    pub(super) model: String,
    /// As it is sent back.
    pub(super) message: Value,
    pub(super) finish: String,
    pub(super) usage: Value,
}

/// Where a session is.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Place {
    pub(super) session: String,
    pub(super) container: String,
    /// The process of `claude`.
    pub(super) claude: Pid,
}

impl<'a> Talk<'a> {
    pub(super) fn of(gateway: &'a Gateway) -> Self {
        let body = json!({"model": "sonnet", "messages": []});
        Self {
            gateway,
            body,
            headers: Vec::new(),
        }
    }

    pub(super) fn streamed(mut self, stream: bool) -> Self {
        self.body["stream"] = json!(stream);
        if stream {
            self.body["stream_options"] = json!({"include_usage": true});
        }
        self
    }

    pub(super) fn with(mut self, key: &str, value: Value) -> Self {
        self.body[key] = value;
        self
    }

    pub(super) fn with_header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// With functions of these names.
    pub(super) fn with_functions(self, names: &[&str]) -> Self {
        let tools = names.iter().map(|name| {
            json!({"type": "function", "function": {
                "name": name,
                "description": format!("What {name} does."),
                "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
            }})
        });
        let tools = tools.collect();
        self.with("tools", tools)
    }

    pub(super) fn messages(&mut self) -> &mut Vec<Value> {
        self.body["messages"].as_array_mut().expect("messages")
    }

    pub(super) fn request(&self) -> RequestBuilder {
        let request = post(self.gateway, &self.body);
        let add = |request: RequestBuilder, (name, value): &(&'static str, String)| {
            request.header(*name, value)
        };
        self.headers.iter().fold(request, add)
    }

    /// Says something, and writes down the answer.
    pub(super) async fn say(&mut self, text: &str) -> Answer {
        self.messages()
            .push(json!({"role": "user", "content": text}));
        self.go_on().await
    }

    /// Brings the results of calls, and writes down the answer.
    pub(super) async fn give(&mut self, results: &[(&str, &str)]) -> Answer {
        for (id, content) in results {
            let result = json!({"role": "tool", "tool_call_id": id, "content": content});
            self.messages().push(result);
        }
        self.go_on().await
    }

    /// Asks, and writes down the answer.
    pub(super) async fn go_on(&mut self) -> Answer {
        let answer = self.ask().await;
        self.messages().push(answer.message.clone());
        answer
    }

    /// Asks.
    pub(super) async fn ask(&self) -> Answer {
        if self.body["stream"] == true {
            let chunks = Chunks::of(self.request()).await;
            let session = chunks.response["x-ccpool-session"].to_str().expect("ASCII");
            let session = session.to_owned();
            return assembled(session, &chunks.rest().await);
        }
        let came = Came::of(self.request()).await;
        assert_eq!(came.status, 200, "{came:?}");
        let answer = came.json();
        let choice = &answer["choices"][0];
        let mut message = choice["message"].clone();
        let fields = message.as_object_mut().expect("a message");
        fields.retain(|key, _| ["role", "content", "tool_calls"].contains(&key.as_str()));
        Answer {
            session: came.header("x-ccpool-session").to_owned(),
            model: text_of(&answer["model"]),
            message,
            finish: text_of(&choice["finish_reason"]),
            usage: answer["usage"].clone(),
        }
    }
}

impl Answer {
    pub(super) fn text(&self) -> &str {
        self.message["content"].as_str().unwrap_or_default()
    }

    /// Ids and names of what was called, with the arguments.
    pub(super) fn calls(&self) -> Vec<(String, String, Value)> {
        let calls = self.message["tool_calls"].as_array();
        let calls = calls.into_iter().flatten().map(|call| {
            assert_eq!(call["type"], "function", "{call}");
            let function = &call["function"];
            let arguments = function["arguments"].as_str().expect("text");
            let arguments = serde_json::from_str(arguments).expect("JSON");
            (text_of(&call["id"]), text_of(&function["name"]), arguments)
        });
        calls.collect()
    }

    /// The ids of what was called.
    pub(super) fn ids(&self) -> Vec<String> {
        self.calls().into_iter().map(|(id, _, _)| id).collect()
    }
}

/// The message that the chunks are, put together as the official clients do.
fn assembled(session: String, pieces: &[Piece]) -> Answer {
    assert_eq!(pieces.last(), Some(&Piece::Done), "{pieces:?}");
    let (mut role, mut content, mut finish) = (String::new(), String::new(), String::new());
    let (mut model, mut calls, mut usage) = (String::new(), Vec::new(), Value::Null);
    for chunk in chunks_of(pieces) {
        model = text_of(&chunk["model"]);
        usage = chunk["usage"].clone();
        let Some(choice) = chunk["choices"].get(0) else {
            continue;
        };
        let delta = &choice["delta"];
        role += &text_of(&delta["role"]);
        content += &text_of(&delta["content"]);
        finish += &text_of(&choice["finish_reason"]);
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            assert_eq!(call["index"], calls.len(), "{call}");
            let mut call = call.clone();
            call.as_object_mut().expect("a call").remove("index");
            calls.push(call);
        }
    }
    assert_eq!(role, "assistant");
    let mut message = json!({"role": role, "content": content});
    if !calls.is_empty() {
        if content.is_empty() {
            message["content"] = Value::Null;
        }
        message["tool_calls"] = json!(calls);
    }
    Answer {
        session,
        model,
        message,
        finish,
        usage,
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Where a session that lives is.
pub(super) async fn place(gateway: &Gateway, session: &str) -> Place {
    let info = gateway
        .get(&format!("/api/docker-cc/sessions/{session}"))
        .await;
    let container = info["container"].as_str().expect("a container").to_owned();
    let wrapper = gateway.wrapper_of(&container).await;
    let children = children(wrapper);
    let [claude] = children[..] else {
        panic!("one process is expected: {children:?}");
    };
    Place {
        session: session.to_owned(),
        container,
        claude,
    }
}

/// Ends a session, with its container.
pub(super) async fn end(gateway: &Gateway, session: &str) {
    let path = format!("/api/docker-cc/sessions/{session}");
    let ended = gateway.request(Method::DELETE, &path).send().await;
    accepted(ended.expect("an answer")).await;
}

/// All that the user says in the newest request for an answer that the model has got.
pub(super) fn told(gateway: &Gateway) -> String {
    let asked = gateway.model.requests();
    let newest = asked.iter().rfind(|request| request.stream);
    newest.expect("a request").texts_of_role("user").concat()
}
