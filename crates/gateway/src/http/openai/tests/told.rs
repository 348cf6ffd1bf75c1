//! A provider that does what a test says, and the routes on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::body::{Body, to_bytes};
use axum::response::Response;
use axum::{Router, routing};
use ccpool::config::{Config, Http, OpenAi, Secret};
use ccpool::provider::{Conversation, Provider, ProviderHealth, Refused, Reply};
use ccpool::{HealthStatus, SessionId, TurnId};
use futures::StreamExt;
use http::{HeaderMap, Request};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::super::answerer::Answerer;
use super::super::said::tests::events;
use super::super::{chat, models};
use crate::http::auth::Gate;
use crate::http::router::dressed;

/// What [`Told`] does when it is asked.
#[derive(Debug, Clone)]
pub(super) enum Does {
    Refuse(Refused),
    /// Tells these events, and no more.
    Tell(Vec<Value>),
    /// Tells these events, and is silent then.
    Hang(Vec<Value>),
    /// Thinks about it for so long, and then does that.
    Late(Duration, Box<Does>),
}

/// A provider that does as it is told.
#[derive(Debug)]
pub(super) struct Told {
    does: Does,
    models: Vec<String>,
    pub(super) asked: std::sync::Mutex<Vec<Conversation>>,
    /// The answer was given up by whoever asked for it.
    pub(super) is_dropped: Arc<AtomicBool>,
}

/// Says that it is dropped.
struct Dropping(Arc<AtomicBool>);

impl Drop for Dropping {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[async_trait]
impl Provider for Told {
    fn name(&self) -> &str {
        "docker-claude-code"
    }

    fn models(&self) -> Vec<String> {
        self.models.clone()
    }

    async fn reply(&self, conversation: Conversation) -> Result<Reply, Refused> {
        self.asked.lock().unwrap().push(conversation);
        let mut does = self.does.clone();
        if let Does::Late(late, then) = does {
            tokio::time::sleep(late).await;
            does = *then;
        }
        let events = match does {
            Does::Refuse(refused) => return Err(refused),
            Does::Tell(told) => events(told),
            Does::Hang(told) => events(told).chain(futures::stream::pending()).boxed(),
            Does::Late(..) => unreachable!("once is enough"),
        };
        let dropping = Dropping(Arc::clone(&self.is_dropped));
        let events = events.inspect(move |_| {
            let _held = &dropping;
        });
        Ok(Reply {
            provider: self.name().to_owned(),
            model: "opus".to_owned(),
            session: Some(SessionId::new("s1").unwrap()),
            turn: TurnId::new("t1").unwrap(),
            passed: Vec::new(),
            events: events.boxed(),
        })
    }

    async fn health(&self) -> ProviderHealth {
        ProviderHealth {
            status: HealthStatus::Ok,
            reasons: Vec::new(),
        }
    }
}

/// The routes, with everything that stands around them.
pub(super) struct App {
    routes: Router,
    pub(super) told: Arc<Told>,
    pub(super) stop: CancellationToken,
}

impl App {
    pub(super) fn new(does: Does) -> Self {
        Self::with(does, &["opus", "sonnet"], None)
    }

    pub(super) fn with(does: Does, models: &[&str], token: Option<&str>) -> Self {
        let told = Arc::new(Told {
            does,
            models: models.iter().map(|&model| model.to_owned()).collect(),
            asked: std::sync::Mutex::default(),
            is_dropped: Arc::default(),
        });
        let stop = CancellationToken::new();
        let settings = OpenAi {
            keep_alive: Duration::from_secs(15),
            ..Config::default().openai
        };
        let routes = Router::new()
            .route("/v1/models", routing::get(models::list))
            .route("/v1/models/{model}", routing::get(models::show))
            .route(
                "/v1/models/{provider}/{model}",
                routing::get(models::show_of),
            )
            .route("/v1/chat/completions", routing::post(chat::complete))
            .with_state(Answerer {
                provider: Arc::clone(&told) as Arc<dyn Provider>,
                settings: Arc::new(settings),
                stop: stop.clone(),
            });
        let listen = "127.0.0.1:18789".parse().unwrap();
        let token = token.map(Secret::new);
        let gate = Gate::new(&Http { listen, token }, listen);
        let routes = dressed(routes, gate);
        Self { routes, told, stop }
    }

    pub(super) async fn ask(&self, request: Request<Body>) -> Response {
        self.routes.clone().oneshot(request).await.unwrap()
    }

    pub(super) async fn get(&self, path: &str) -> Seen {
        let request = Request::get(path).header("host", "localhost");
        Seen::of(self.ask(request.body(Body::empty()).unwrap()).await).await
    }

    pub(super) async fn post(&self, body: &Value) -> Seen {
        Seen::of(self.ask(post(body)).await).await
    }
}

pub(super) fn post(body: &Value) -> Request<Body> {
    Request::post("/v1/chat/completions")
        .header("host", "localhost")
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .unwrap()
}

pub(super) fn hi(stream: bool) -> Value {
    json!({"model": "opus", "stream": stream, "messages": [{"role": "user", "content": "hi"}]})
}

/// What a client sees.
pub(super) struct Seen {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Seen {
    pub(super) async fn of(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        Self {
            status: parts.status.as_u16(),
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{}", self.text))
    }

    /// The error, which must have its four fields.
    pub(super) fn error(&self) -> Value {
        let error = self.json()["error"].take();
        let fields = error.as_object().unwrap_or_else(|| panic!("{}", self.text));
        for field in ["message", "type", "param", "code"] {
            assert!(fields.contains_key(field), "{field} is missing: {error}");
        }
        error
    }

    /// The chunks of a stream that ends well or does not.
    pub(super) fn chunks(&self) -> Vec<Value> {
        assert_eq!(self.headers["content-type"], "text/event-stream");
        let datas = self.text.split_terminator("\n\n");
        let datas = datas.map(|data| data.strip_prefix("data: ").expect("data"));
        let chunks = datas.filter(|data| *data != "[DONE]");
        chunks
            .map(|data| serde_json::from_str(data).expect("JSON"))
            .collect()
    }
}
