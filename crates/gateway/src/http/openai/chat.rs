//! `POST /v1/chat/completions`: a conversation, and what is said to it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use ccpool::config::OpenAi;
use ccpool::provider::{Conversation, Refused, Reply, Spoken};
use ccpool_protocol::FailureKind;
use futures::{Stream, StreamExt};
use http::HeaderMap;
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::answer::gather;
use super::answerer::Answerer;
use super::error::{ApiError, ErrorBody};
use super::head::Head;
use super::models::could_serve;
use super::request::Asked;
use super::said::{Ended, Said, said};
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
    let asked = Asked::read(&headers, body, &answerer.settings)?;
    let model = asked.conversation.model.as_deref();
    if let Some(model) = model.filter(|m| !could_serve(&*answerer.provider, m)) {
        return Err(ApiError::unknown_model(model));
    }
    if asked.stream {
        streamed(answerer, asked).await
    } else {
        whole(answerer, asked).await
    }
}

/// An answer in one piece.
async fn whole(answerer: Answerer, asked: Asked) -> Result<Response, ApiError> {
    let model = asked.conversation.model.clone();
    let settings = Arc::clone(&answerer.settings);
    let stop = answerer.stop.clone();
    let spoken = Spoken::of(&asked.conversation);
    let reply = reply(answerer, asked.conversation).await?;
    note(&reply);
    let head = Head::of(&reply, model.as_deref());
    let answer = gather(told(reply, spoken, stop, &settings), &head).await;
    let wait = settings.unavailable_retry_after;
    let answer = answer.map_err(|error| error.while_unavailable(wait));
    let mut response = answer.map(Json).into_response();
    response.headers_mut().extend(head.headers());
    Ok(response)
}

/// An answer as it comes.
async fn streamed(answerer: Answerer, asked: Asked) -> Result<Response, ApiError> {
    let model = asked.conversation.model.clone();
    let settings = Arc::clone(&answerer.settings);
    let stop = answerer.stop.clone();
    let keep_alive = settings.keep_alive;
    let until = Instant::now() + keep_alive;
    let usage = asked.include_usage;
    let spoken = Spoken::of(&asked.conversation);
    let mut replying = Box::pin(reply(answerer, asked.conversation));
    // Cancelling the wait does not cancel the reply.
    let Ok(reply) = tokio::time::timeout_at(until, &mut replying).await else {
        // A head that comes later still is too late for clients. Who answers is not known.
        let late = futures::stream::once(replying).flat_map(move |reply| match reply {
            Ok(reply) => told(reply, spoken.clone(), stop.clone(), &settings).left_stream(),
            Err(error) => {
                let broken = Said::Ended(Ended::Broken(error));
                futures::stream::iter([broken]).right_stream()
            }
        });
        let head = Head::of_nobody(model.as_deref().unwrap_or_default());
        return stream::respond(late, &head, usage, until, keep_alive).await;
    };
    let reply = reply?;
    note(&reply);
    let head = Head::of(&reply, model.as_deref());
    let wait = settings.unavailable_retry_after;
    let said = told(reply, spoken, stop, &settings);
    let answer = stream::respond(said, &head, usage, until, keep_alive).await;
    let answer = answer.map_err(|error| error.while_unavailable(wait));
    let mut response = answer.into_response();
    response.headers_mut().extend(head.headers());
    Ok(response)
}

/// Somebody who begins to answer.
async fn reply(answerer: Answerer, conversation: Conversation) -> Result<Reply, ApiError> {
    let reply = answerer.provider.reply(conversation);
    let reply = answerer.stop.run_until_cancelled(reply).await;
    let stops = || Refused::new(FailureKind::Unavailable, "the gateway stops");
    let reply = reply.unwrap_or_else(|| Err(stops()));
    let wait = answerer.settings.unavailable_retry_after;
    reply.map_err(|refused| ApiError::from(refused).while_unavailable(wait))
}

fn told(
    reply: Reply,
    spoken: Spoken,
    stop: CancellationToken,
    settings: &OpenAi,
) -> impl Stream<Item = Said> + Send + use<> {
    let events = reply.events.take_until(stop.cancelled_owned());
    said(events.boxed(), spoken, settings.reasoning)
}

fn note(reply: &Reply) {
    traces::record("turn", &reply.turn);
    if let Some(session) = &reply.session {
        traces::record("session", session);
    }
}
