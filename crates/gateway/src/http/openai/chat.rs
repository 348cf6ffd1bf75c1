//! `POST /v1/chat/completions`: a conversation, and what is said to it.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use http::HeaderMap;
use serde_json::Value;

use super::answer::gather;
use super::answerer::Answerer;
use super::error::{ApiError, ErrorBody};
use super::head::Head;
use super::models::could_serve;
use super::request::Asked;
use super::said::said;
use super::{schema, stream};
use crate::http::body::JsonBody;
use crate::http::problem::Problem;
use crate::traces;

/// Answer a conversation.
///
/// A client that disconnects interrupts the turn. What is honoured, let pass and refused:
/// `docs/openai.md`.
#[utoipa::path(
    post,
    path = "/v1/chat/completions",
    tag = "openai",
    params(
        ("X-Session-Id" = Option<String>, Header, description = "The caller's name for the conversation; before `metadata.session_id`, `prompt_cache_key`, `X-Session-Affinity` and `X-OpenWebUI-Chat-Id`"),
        ("X-Agent-Id" = Option<String>, Header, description = "On whose behalf, `main` when left out; limits are counted by it"),
        ("X-Request-Id" = Option<String>, Header, description = "Given back; made up when left out"),
    ),
    request_body = schema::ChatCompletionRequest,
    responses(
        (status = 200, description = "With `stream`: chunks as server-sent events, then `data: [DONE]`; an error chunk without it if the answer breaks off. Without: the answer",
            content((schema::ChatCompletionChunk = "text/event-stream"), (schema::ChatCompletion = "application/json")),
            headers(
                ("X-Request-Id" = String, description = "The request"),
                ("X-Ccpool-Provider" = String, description = "Who answers"),
                ("X-Ccpool-Session" = String, description = "The session that it happens in, where there is one"),
                ("X-Ccpool-Turn" = String, description = "The turn"),
                ("X-Ccpool-Passed" = String, description = "Who was asked before and did not answer, and why"),
            )),
        (status = 400, description = "The request cannot be answered (`invalid_request`)", body = ErrorBody),
        (status = 401, description = "This gateway's token (`invalid_api_key`), or the model's credential (`auth`), is missing or refused", body = ErrorBody),
        (status = 404, description = "No such provider (`model_not_found`)", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 415, description = "The body is no JSON", body = ErrorBody),
        (status = 422, description = "The turn was interrupted, or met a limit that was set on it (`interrupted`, `max_turns`)", body = ErrorBody),
        (status = 429, description = "The model's service asks to wait (`rate_limited`)", body = ErrorBody, headers(("Retry-After" = u64, description = "Seconds"))),
        (status = 500, description = "Anything else (`internal`)", body = ErrorBody),
        (status = 503, description = "Try elsewhere, or later (`exhausted`, `unavailable`, `overloaded`, `stalled`, `container_lost`)", body = ErrorBody, headers(("Retry-After" = u64, description = "Seconds"))),
        (status = 504, description = "The turn took too long (`timeout`)", body = ErrorBody),
    )
)]
pub(crate) async fn complete(
    State(answerer): State<Answerer>,
    headers: HeaderMap,
    body: Result<JsonBody<Value>, Problem>,
) -> Result<Response, ApiError> {
    let JsonBody(body) = body?;
    let settings = &answerer.settings;
    let asked = Asked::read(&headers, body, settings)?;
    let model = asked.conversation.model.clone();
    if let Some(model) = model
        .as_deref()
        .filter(|m| !could_serve(&*answerer.provider, m))
    {
        return Err(ApiError::unknown_model(model));
    }
    let at_worst = |error: ApiError| error.while_unavailable(settings.unavailable_retry_after);
    let reply = answerer.provider.reply(asked.conversation).await;
    let reply = reply.map_err(|refused| at_worst(refused.into()))?;
    traces::record("turn", &reply.turn);
    if let Some(session) = &reply.session {
        traces::record("session", session);
    }
    let mut head = Head::of(&reply, model.as_deref());
    let events = reply.events.take_until(answerer.stop.cancelled_owned());
    let said = said(events.boxed(), settings.reasoning);
    let answered = if asked.stream {
        stream::respond(said, &mut head, asked.include_usage, settings.keep_alive).await
    } else {
        let whole = gather(said, &mut head).await;
        whole.map(|answer| Json(answer).into_response())
    };
    let mut response = answered.map_err(at_worst).into_response();
    response.headers_mut().extend(head.headers());
    Ok(response)
}
