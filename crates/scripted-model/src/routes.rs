//! The HTTP surface: the stand-in's API and its control routes.

use std::{
    future::pending,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    Json, Router,
    body::Body,
    extract::{ConnectInfo, DefaultBodyLimit, Query, State, rejection::BytesRejection},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header as names},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    api_error::ApiError,
    conversation::ApiRequest,
    director::{Asker, Director},
    frames::{self, Envelope},
    record::{Auth, Outcome, RecordedRequest, header},
    request_log::RequestLog,
    scene::{Answer, Ending, Message, Scene},
    sse_body::{self, Answering},
    wire::WireCutter,
};

/// The API itself refuses bodies over 32 MB; a stand-in should not be the first to say no.
const LARGEST_BODY: usize = 256 * 1024 * 1024;

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) log: Arc<RequestLog>,
    director: Mutex<Director>,
    /// Makes ids differ between runs.
    run: u32,
    answers: AtomicU64,
}

impl Stage {
    pub(crate) fn new(director: Director) -> Self {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            log: Arc::new(RequestLog::new()),
            director: Mutex::new(director),
            run: now.subsec_nanos(),
            answers: AtomicU64::new(1),
        }
    }

    pub(crate) fn director(&self) -> MutexGuard<'_, Director> {
        // The director changes its state in single steps, so a panic leaves it usable.
        self.director.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_serial(&self) -> String {
        format!(
            "{:08x}{:08x}",
            self.run,
            self.answers.fetch_add(1, Ordering::Relaxed)
        )
    }
}

pub(crate) fn router(stage: Arc<Stage>) -> Router {
    Router::new()
        .route("/_scripted/script", post(queue_script).delete(clear_script))
        .route(
            "/_scripted/requests",
            get(list_requests).delete(clear_requests),
        )
        .fallback(api)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(stage)
}

async fn api(
    State(stage): State<Arc<Stage>>,
    ConnectInfo(wire): ConnectInfo<WireCutter>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let serial = stage.next_serial();
    let (body, rejection) = match body {
        Ok(body) => (body, None),
        Err(rejection) => (Bytes::new(), Some(rejection)),
    };
    let takes_request = method == Method::POST
        && matches!(uri.path(), "/v1/messages" | "/v1/messages/count_tokens");
    let parsed = takes_request.then(|| serde_json::from_slice::<ApiRequest>(&body));
    let mut record = recorded(&method, &uri, &headers, &body);
    if let Some(Ok(request)) = &parsed {
        record.describe(request);
    }
    let record = stage.log.add(record);
    let answering = Answering::new(Arc::clone(&stage.log), Arc::clone(&record));
    if let Some(rejection) = rejection {
        let error = ApiError::new(rejection.status().as_u16()).with_message(rejection.body_text());
        return now(&answering, error_response(&error, &[], &serial));
    }
    match (parsed, uri.path()) {
        (Some(Err(error)), _) => {
            let error = ApiError::new(400).with_message(error.to_string());
            now(&answering, error_response(&error, &[], &serial))
        }
        (Some(Ok(_)), "/v1/messages/count_tokens") => {
            let counted = json!({"input_tokens": frames::estimated_tokens(body.len())});
            now(&answering, Json(counted).into_response())
        }
        (Some(Ok(request)), _) => {
            let user_id = request
                .metadata
                .as_ref()
                .and_then(|metadata| metadata.user_id.clone());
            let session = record.session_id.clone().or(user_id).unwrap_or_default();
            let asker = Asker {
                session: &session,
                agent: record.agent_id.as_deref(),
            };
            let answer = stage.director().choose(&request, asker);
            let envelope = Envelope {
                model: &request.model,
                serial: &serial,
                input_tokens: frames::estimated_tokens(body.len()),
            };
            play(
                answer,
                request.stream == Some(true),
                envelope,
                wire,
                answering,
            )
            .await
        }
        (None, "/" | "/api/hello") if matches!(method, Method::GET | Method::HEAD) => now(
            &answering,
            Json(json!({"message": "hello"})).into_response(),
        ),
        (None, path) => {
            let error = ApiError::new(404).with_message(format!("no route {method} {path}"));
            now(&answering, error_response(&error, &[], &serial))
        }
    }
}

/// Gives an answer in the form that the request asked for.
async fn play(
    answer: Answer,
    stream: bool,
    envelope: Envelope<'_>,
    wire: WireCutter,
    answering: Answering,
) -> Response {
    match answer {
        Answer::Hang => pending().await,
        Answer::Drop => dropped(&wire, &answering),
        Answer::Error {
            error,
            headers,
            first_byte,
        } => {
            tokio::time::sleep(first_byte).await;
            now(
                &answering,
                error_response(&error, &headers, envelope.serial),
            )
        }
        Answer::Message(message) if stream => {
            tokio::time::sleep(message.first_byte).await;
            let plan = frames::stream(&message, envelope);
            let mut response = sse_body::body(plan, wire, answering).into_response();
            let headers = response.headers_mut();
            headers.insert(
                names::CONTENT_TYPE,
                HeaderValue::from_static("text/event-stream"),
            );
            headers.insert(names::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            with_headers(response, &message.headers, envelope.serial)
        }
        Answer::Message(message) => play_whole(&message, envelope, &wire, answering).await,
    }
}

/// A message without streaming: broken endings break the whole answer.
async fn play_whole(
    message: &Message,
    envelope: Envelope<'_>,
    wire: &WireCutter,
    answering: Answering,
) -> Response {
    tokio::time::sleep(frames::speaking_time(message)).await;
    match &message.ending {
        Ending::Complete => {
            let response = Json(frames::whole(message, envelope)).into_response();
            now(
                &answering,
                with_headers(response, &message.headers, envelope.serial),
            )
        }
        Ending::Stall { .. } => pending().await,
        Ending::Disconnect { .. } => dropped(wire, &answering),
        Ending::Error { error, .. } => now(
            &answering,
            error_response(error, &message.headers, envelope.serial),
        ),
    }
}

/// The response is complete in memory, so it counts as sent.
fn now(answering: &Answering, response: Response) -> Response {
    answering.ended(Outcome::Sent);
    response
}

/// Cuts the connection; the response is never written.
fn dropped(wire: &WireCutter, answering: &Answering) -> Response {
    answering.ended(Outcome::Cut);
    wire.cut();
    Body::empty().into_response()
}

fn error_response(error: &ApiError, headers: &[(String, String)], serial: &str) -> Response {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = Json(error.body(&format!("req_{serial}")));
    let mut response = with_headers((status, body).into_response(), headers, serial);
    if let Some(wait) = error.retry_after {
        response
            .headers_mut()
            .insert(names::RETRY_AFTER, HeaderValue::from(wait.as_secs()));
    }
    response
}

fn with_headers(mut response: Response, extra: &[(String, String)], serial: &str) -> Response {
    let request_id = ("request-id".to_owned(), format!("req_{serial}"));
    for (name, value) in std::iter::once(&request_id).chain(extra) {
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(value)) => drop(response.headers_mut().insert(name, value)),
            _ => tracing::warn!(%name, "not a possible HTTP header, left out"),
        }
    }
    response
}

fn recorded(method: &Method, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> RecordedRequest {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    RecordedRequest {
        seq: 0,
        received_at_unix_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
        method: method.to_string(),
        path: uri.path().to_owned(),
        query: uri.query().map(str::to_owned),
        auth: Auth::of(headers),
        session_id: header(headers, "x-claude-code-session-id"),
        agent_id: header(headers, "x-claude-code-agent-id"),
        user_agent: header(headers, "user-agent"),
        model: None,
        stream: false,
        max_tokens: None,
        tool_names: Vec::new(),
        message_count: 0,
        last_user_text: String::new(),
        body_bytes: body.len(),
        body: (!body.is_empty()).then(|| body.clone()),
        outcome: Arc::default(),
    }
}

async fn queue_script(State(stage): State<Arc<Stage>>, body: String) -> Response {
    match Scene::parse(&body) {
        Ok(scene) => Json(json!({"queued": stage.director().push(scene)})).into_response(),
        Err(error) => {
            let error = ApiError::new(400).with_message(error.to_string());
            error_response(&error, &[], "control")
        }
    }
}

async fn clear_script(State(stage): State<Arc<Stage>>) -> StatusCode {
    stage.director().clear();
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
struct Since {
    #[serde(default)]
    since: u64,
}

#[derive(Serialize)]
struct Listed<'a> {
    last: u64,
    requests: Vec<&'a RecordedRequest>,
}

async fn list_requests(
    State(stage): State<Arc<Stage>>,
    Query(Since { since }): Query<Since>,
) -> Response {
    let requests = stage.log.since(since);
    let last = requests.last().map_or(since, |request| request.seq);
    Json(Listed {
        last,
        requests: requests.iter().map(AsRef::as_ref).collect(),
    })
    .into_response()
}

async fn clear_requests(State(stage): State<Arc<Stage>>) -> StatusCode {
    stage.log.clear();
    StatusCode::NO_CONTENT
}
