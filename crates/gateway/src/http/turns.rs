//! `POST /api/docker-cc/sessions/{id}/turns`: a prompt, and its reply as a stream or in one piece.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use ccpool::{EventStream, Prompt, ReplyEvent, TurnId};
use ccpool_protocol::input::Mode;
use ccpool_protocol::{Event, FailureKind};
use futures::StreamExt;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use super::body::{InPath, JsonBody};
use super::problem::{Problem, ProblemBody};
use super::state::AppState;
use super::{schema, sse};
use crate::traces;

/// Names the turn in the response's head, before its first event.
const TURN_HEADER: HeaderName = HeaderName::from_static("x-ccpool-turn");

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Longer keys are a mistake, and would be kept in Redis.
const LONGEST_KEY: usize = 255;

/// A prompt. It reaches the model verbatim, whatever it begins with, unless `command` is set.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TurnBody {
    /// The prompt as text; `text` is another name for it.
    #[serde(alias = "text")]
    prompt: Option<String>,
    /// The prompt as Messages API content blocks (text, image, document), instead of `prompt`.
    #[schema(value_type = Option<Vec<Object>>)]
    content: Option<Vec<Value>>,
    /// The turn's name; made up when left out.
    #[schema(value_type = Option<String>)]
    turn: Option<TurnId>,
    /// When a prompt that comes during a running turn gets its turn: `queue` after what waits
    /// already, `steer` into the running turn at its next tool call, `interrupt` ends the running
    /// one first.
    #[serde(default)]
    #[schema(value_type = schema::Mode)]
    mode: Mode,
    /// A text such as `/compact` is a command of the CLI.
    #[serde(default)]
    command: bool,
    /// Server-sent events (the default), or one JSON answer once the turn has ended.
    #[serde(default = "yes")]
    #[schema(default = true)]
    stream: bool,
    /// Without `stream`: also list the events in the answer.
    #[serde(default)]
    events: bool,
}

fn yes() -> bool {
    true
}

/// A turn that has ended well.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TurnAnswer {
    #[schema(value_type = String)]
    turn: TurnId,
    /// The `Idempotency-Key` was seen before: this is the answer to the first prompt that had it.
    repeated: bool,
    /// The terminal event, `completed`.
    #[schema(value_type = schema::ReplyEvent)]
    result: ReplyEvent,
    /// All events, the terminal one included, when they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<schema::ReplyEvent>>)]
    events: Option<Vec<ReplyEvent>>,
}

/// Send a prompt to a claimed session.
///
/// The turn goes on when the client disconnects; `GET …/events?turn=` picks it up again.
#[utoipa::path(
    post,
    path = "/api/docker-cc/sessions/{id}/turns",
    tag = "turns",
    params(
        ("id" = String, Path, description = "The session"),
        ("Idempotency-Key" = Option<String>, Header, description = "A prompt with a key seen before in this session is not sent again; its turn's events are"),
    ),
    request_body = TurnBody,
    responses(
        (status = 200, description = "With `stream`: reply events, `event: <type>`, `id: <seq>-<part>`, `data: <ReplyEvent>`, exactly one of `completed` and `failed` at the end. Without: the answer",
            content((schema::ReplyEvent = "text/event-stream"), (TurnAnswer = "application/json")),
            headers(("X-Ccpool-Turn" = String, description = "The turn's name"))),
        (status = 400, description = "Not a prompt; without `stream` also: the model's service refused the request", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "Without `stream`: the model's credential is missing or refused", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "The session was never claimed, or has ended", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "Without `stream`: the turn was interrupted", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "The body is no JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "Without `stream`: a limit set on the turn was reached", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "Without `stream`: the model's service asks to wait", body = ProblemBody, content_type = "application/problem+json"),
        (status = 500, description = "Without `stream`: any other failure of the turn", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Redis is out of reach; without `stream` also: the turn failed as `overloaded`, `stalled` or `container_lost`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 504, description = "Without `stream`: the turn took too long", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn send(
    State(state): State<AppState>,
    InPath(session): InPath,
    headers: HeaderMap,
    JsonBody(body): JsonBody<TurnBody>,
) -> Result<Response, Problem> {
    let prompt = Prompt {
        turn: body.turn,
        text: body.prompt,
        content: body.content,
        mode: body.mode,
        command: body.command,
        functions: None,
        model: None,
        on: None,
        idempotency_key: idempotency_key(&headers)?,
    };
    let sent = state.pool.send(&session, prompt).await?;
    traces::record("turn", &sent.turn);
    let name = HeaderValue::from_str(sent.turn.as_str()).expect("turn ids are visible ASCII");
    let head = [(TURN_HEADER, name)];
    if body.stream {
        return Ok((head, sse::respond(sent.events, state.stop)).into_response());
    }
    let kept = body.events.then(Vec::new);
    let (result, events) = gather(&sent.turn, sent.events, kept, &state.stop).await?;
    let answer = TurnAnswer {
        turn: sent.turn,
        repeated: sent.repeated,
        result,
        events,
    };
    Ok((head, Json(answer)).into_response())
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(&IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    let key = value
        .to_str()
        .ok()
        .filter(|key| (1..=LONGEST_KEY).contains(&key.len()));
    match key {
        Some(key) => Ok(Some(key.to_owned())),
        None => Err(Problem::bad_request(format!(
            "an Idempotency-Key has 1 to {LONGEST_KEY} visible ASCII characters"
        ))),
    }
}

/// Waits for the terminal event. A failure is the problem that belongs to it.
async fn gather(
    turn: &TurnId,
    mut stream: EventStream,
    mut kept: Option<Vec<ReplyEvent>>,
    stop: &CancellationToken,
) -> Result<(ReplyEvent, Option<Vec<ReplyEvent>>), Problem> {
    loop {
        // Both are cancel-safe: an event not taken stays in Redis' buffer.
        let item = tokio::select! {
            item = stream.next() => item,
            () = stop.cancelled() => None,
        };
        let Some(item) = item else {
            let detail = format!("the gateway stopped following turn {turn}; the turn goes on");
            return Err(Problem::of_kind(FailureKind::Unavailable, detail)
                .mend("follow it with GET …/events?turn= on another gateway"));
        };
        let event = item?.event;
        if let Event::Failed(failed) = &event.event {
            return Err(Problem::of_turn(turn.clone(), failed));
        }
        if let Some(kept) = &mut kept {
            kept.push(event.clone());
        }
        if event.event.is_terminal() {
            return Ok((event, kept));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_by_either_name() {
        let body: TurnBody = serde_json::from_str(r#"{"text":"hi","mode":"steer"}"#).unwrap();
        assert_eq!(
            (body.prompt.as_deref(), body.mode, body.stream),
            (Some("hi"), Mode::Steer, true)
        );
        let body: TurnBody = serde_json::from_str(r#"{"prompt":"hi","stream":false}"#).unwrap();
        assert_eq!(
            (body.prompt.as_deref(), body.stream, body.command),
            (Some("hi"), false, false)
        );
        assert!(serde_json::from_str::<TurnBody>(r#"{"prompt":"a","text":"b"}"#).is_err());
        assert!(serde_json::from_str::<TurnBody>(r#"{"prompt":"a","mode":"later"}"#).is_err());
    }

    #[test]
    fn idempotency_keys_are_bounded() {
        let with = |value: &str| {
            let headers = HeaderMap::from_iter([(IDEMPOTENCY_KEY, value.parse().unwrap())]);
            idempotency_key(&headers)
        };
        assert_eq!(with("k-1").unwrap().as_deref(), Some("k-1"));
        assert_eq!(idempotency_key(&HeaderMap::new()).unwrap(), None);
        assert!(with("").is_err());
        assert!(with(&"k".repeat(256)).is_err());
    }
}
