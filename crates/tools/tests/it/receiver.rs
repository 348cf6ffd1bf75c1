//! A server that takes what is posted, and answers as a test wants it.
//!
//! The gateway's tests take this file in too.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, Uri};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// Listens until it is dropped.
#[derive(Debug)]
pub(crate) struct Receiver {
    base: String,
    shared: Arc<Shared>,
    _serving: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Shared {
    received: Mutex<Vec<Received>>,
    answers: Mutex<VecDeque<Reply>>,
}

/// Status, a header, a body.
pub(crate) type Reply = (u16, Option<(&'static str, &'static str)>, &'static str);

impl Receiver {
    /// Answers with these in turn, then with 200.
    pub(crate) async fn start(answers: impl IntoIterator<Item = Reply>) -> Self {
        let shared = Arc::new(Shared {
            received: Mutex::default(),
            answers: Mutex::new(answers.into_iter().collect()),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let router = Router::new().fallback(take).with_state(Arc::clone(&shared));
        let mut serving = JoinSet::new();
        serving.spawn(async {
            axum::serve(listener, router).await.expect("it serves");
        });
        Self {
            base,
            shared,
            _serving: serving,
        }
    }

    pub(crate) fn url(&self, target: &str) -> String {
        format!("{}{target}", self.base)
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.received.lock().expect("no panic").clone()
    }
}

impl Received {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).expect("the header is there");
        value.to_str().expect("text")
    }
}

async fn take(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> Response {
    let target = uri.to_string();
    shared.received.lock().expect("no panic").push(Received {
        target,
        headers,
        body,
    });
    let answer = shared.answers.lock().expect("no panic").pop_front();
    let (status, header, body) = answer.unwrap_or((200, None, "ok"));
    let status = StatusCode::from_u16(status).expect("a status");
    match header {
        Some(header) => (status, [header], body).into_response(),
        None => (status, body).into_response(),
    }
}
