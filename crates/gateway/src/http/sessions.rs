//! `/api/docker-cc/sessions`: claim, list, show, interrupt, end.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use ccpool::{AgentId, ClaimRequest, Claimed, OutputSchema, SessionId, SessionInfo};
use http::header::LOCATION;
use http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::body::{InPath, JsonBody};
use super::problem::{Problem, ProblemBody};
use super::schema;
use super::state::AppState;
use crate::traces;

/// What a claim may say; all of it may be left out.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct ClaimBody {
    /// The session's name: 1 to 128 characters of `[A-Za-z0-9._:@-]`; made up when left out.
    #[schema(value_type = Option<String>, example = "agent:main:explicit:t1")]
    session: Option<SessionId>,
    /// On whose behalf, `main` when left out; limits are counted by it.
    #[schema(value_type = Option<String>, example = "main")]
    agent: Option<AgentId>,
    /// Another model than the configured one: an alias such as `opus`, or a full id.
    model: Option<String>,
    /// Text added to the system prompt of this session.
    append_system_prompt: Option<String>,
    /// A JSON Schema of an object: each turn ends with a `structuredOutput` that fits it.
    #[schema(value_type = Option<Object>)]
    output_schema: Option<Map<String, Value>>,
}

/// A claimed session and where to go on.
#[derive(Debug, Serialize)]
pub(crate) struct ClaimAnswer {
    #[serde(flatten)]
    claimed: Claimed,
    links: Links,
}

/// Where to go on with a session.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Links {
    /// Show it, end it.
    #[serde(rename = "self")]
    this: String,
    /// Send a prompt.
    turns: String,
    /// Follow its events.
    events: String,
    /// End its running turn.
    interrupt: String,
    /// What it asks before it acts.
    permissions: String,
}

impl Links {
    /// Session ids hold nothing that a path would need escaped.
    fn of(session: &SessionId) -> Self {
        let this = format!("/api/docker-cc/sessions/{session}");
        Self {
            turns: format!("{this}/turns"),
            events: format!("{this}/events"),
            interrupt: format!("{this}/interrupt"),
            permissions: format!("{this}/permissions"),
            this,
        }
    }
}

/// Bind a warm container to a session.
///
/// Waits for a container if none is warm, at most `pool.claimTimeoutMs`. Claiming a live session
/// again finds it as it is.
#[utoipa::path(
    post,
    path = "/api/docker-cc/sessions",
    tag = "sessions",
    request_body = Option<ClaimBody>,
    responses(
        (status = 201, description = "Claimed", body = schema::Claimed),
        (status = 200, description = "The session was live already", body = schema::Claimed),
        (status = 400, description = "Not a claim", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "The body is no JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "No container in time (`exhausted`), or Redis or the runtime out of reach (`unavailable`)",
            body = ProblemBody, content_type = "application/problem+json",
            headers(("Retry-After" = u64, description = "Seconds"))),
    )
)]
pub(crate) async fn claim(
    State(state): State<AppState>,
    JsonBody(body): JsonBody<ClaimBody>,
) -> Result<impl IntoResponse, Problem> {
    let schema = body.output_schema.map(OutputSchema::new).transpose();
    let output_schema =
        schema.map_err(|error| Problem::bad_request(format!("outputSchema {error}")))?;
    let claimed = state
        .pool
        .claim(ClaimRequest {
            session: body.session,
            agent: body.agent.unwrap_or_default(),
            model: body.model,
            system_prompt: None,
            append_system_prompt: body.append_system_prompt,
            output_schema,
            parent: None,
        })
        .await?;
    traces::record("session", &claimed.session);
    let links = Links::of(&claimed.session);
    let status = if claimed.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let location = HeaderValue::from_str(&links.this).expect("session ids are visible ASCII");
    Ok((
        status,
        [(LOCATION, location)],
        Json(ClaimAnswer { claimed, links }),
    ))
}

/// All live sessions.
#[utoipa::path(
    get,
    path = "/api/docker-cc/sessions",
    tag = "sessions",
    responses(
        (status = 200, description = "The sessions", body = schema::SessionList),
        (status = 503, description = "Redis is out of reach", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(State(state): State<AppState>) -> Result<Json<SessionList>, Problem> {
    let sessions = state.pool.sessions().await?;
    Ok(Json(SessionList { sessions }))
}

/// An object, so that there is room beside the list.
#[derive(Debug, Serialize)]
pub(crate) struct SessionList {
    sessions: Vec<SessionInfo>,
}

/// One session.
#[utoipa::path(
    get,
    path = "/api/docker-cc/sessions/{id}",
    tag = "sessions",
    params(("id" = String, Path, description = "The session")),
    responses(
        (status = 200, description = "The session", body = schema::SessionInfo),
        (status = 404, description = "There is none of this name", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Redis is out of reach", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show(
    State(state): State<AppState>,
    InPath(session): InPath,
) -> Result<Json<SessionInfo>, Problem> {
    Ok(Json(state.pool.session(&session).await?))
}

/// End a session; answers once its container is gone.
#[utoipa::path(
    delete,
    path = "/api/docker-cc/sessions/{id}",
    tag = "sessions",
    params(("id" = String, Path, description = "The session")),
    responses(
        (status = 204, description = "Ended, its container is gone"),
        (status = 404, description = "There is none of this name", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Redis or the runtime is out of reach", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn end(
    State(state): State<AppState>,
    InPath(session): InPath,
) -> Result<StatusCode, Problem> {
    state.pool.end(&session).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// End the running turn. The turn's own events tell its end; without a running turn nothing happens.
#[utoipa::path(
    post,
    path = "/api/docker-cc/sessions/{id}/interrupt",
    tag = "sessions",
    params(("id" = String, Path, description = "The session")),
    responses(
        (status = 200, description = "The session has been told", body = Interrupted),
        (status = 404, description = "There is none of this name", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Redis is out of reach", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn interrupt(
    State(state): State<AppState>,
    InPath(session): InPath,
) -> Result<Json<Interrupted>, Problem> {
    state.pool.interrupt(&session).await?;
    Ok(Json(Interrupted { session }))
}

/// Which session was told.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Interrupted {
    #[schema(value_type = String)]
    session: SessionId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_the_session() {
        let links = Links::of(&SessionId::new("agent:main@x").unwrap());
        let json = serde_json::to_value(links).unwrap();
        assert_eq!(json["self"], "/api/docker-cc/sessions/agent:main@x");
        assert_eq!(json["turns"], "/api/docker-cc/sessions/agent:main@x/turns");
    }
}
