//! Tokens for people, by which any MCP client calls the tools as a session does.

use std::time::{Duration, UNIX_EPOCH};

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::{InPath, JsonBody};
use super::problem::{Problem, ProblemBody};
use super::state::AppState;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// What is asked of a token.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct TokenBody {
    /// How many seconds it lasts, 1 to 86400; an hour when left out.
    lasts_seconds: Option<u64>,
}

/// A token.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TokenIssued {
    /// For the header `Authorization: Bearer …`. Secret.
    token: String,
    /// Where the tools are, on this gateway.
    path: &'static str,
    /// When it ends (Unix ms); with its session, if that ends before.
    expires_at: u64,
}

/// Make a token by which an MCP client calls the tools as this session does. Dead with the session.
#[utoipa::path(
    post,
    path = "/api/docker-cc/sessions/{id}/mcp-token",
    tag = "sessions",
    params(("id" = String, Path, description = "The session")),
    request_body = TokenBody,
    responses(
        (status = 201, description = "The token", body = TokenIssued),
        (status = 400, description = "The body is not as described", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is no live session of this name", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Redis is out of reach", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn issue(
    State(state): State<AppState>,
    InPath(session): InPath,
    JsonBody(body): JsonBody<TokenBody>,
) -> Result<(http::StatusCode, Json<TokenIssued>), Problem> {
    let lasts = Duration::from_secs(body.lasts_seconds.unwrap_or(HOUR).clamp(1, DAY));
    let pass = state.pool.issue_pass(&session, lasts).await?;
    let until = pass
        .expires_at
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let issued = TokenIssued {
        token: pass.token.expose().to_owned(),
        path: "/mcp",
        expires_at: u64::try_from(until.as_millis()).unwrap_or(u64::MAX),
    };
    Ok((http::StatusCode::CREATED, Json(issued)))
}
