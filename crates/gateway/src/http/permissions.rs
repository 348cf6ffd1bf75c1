//! `/api/docker-cc/sessions/{id}/permissions`: what agents ask before they act, and answering it.

use axum::Json;
use axum::extract::State;
use ccpool::{Answer, PendingPermission, SessionId, SettledPermission};
use serde::Serialize;

use super::body::{InPath, JsonBody, RequestInPath};
use super::problem::{Problem, ProblemBody};
use super::schema;
use super::state::AppState;

/// An object, so that there is room beside the list.
#[derive(Debug, Serialize)]
pub(crate) struct PermissionList {
    session: SessionId,
    permissions: Vec<PendingPermission>,
}

/// What became of the request.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answered {
    session: SessionId,
    #[serde(flatten)]
    settled: SettledPermission,
}

/// The permission requests that wait for an answer, oldest first.
///
/// They are the same for every gateway, and stay when a gateway or a client goes away. A session
/// that has ended has none.
#[utoipa::path(
    get,
    path = "/api/docker-cc/sessions/{id}/permissions",
    tag = "permissions",
    params(("id" = String, Path, description = "The session")),
    responses(
        (status = 200, description = "The requests", body = schema::PermissionList),
        (status = 404, description = "There is no session of this name", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Redis is out of reach", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    InPath(session): InPath,
) -> Result<Json<PermissionList>, Problem> {
    let permissions = state.pool.permissions(&session).await?;
    Ok(Json(PermissionList {
        session,
        permissions,
    }))
}

/// Answer a permission request.
///
/// The first answer counts. The response comes once the session's container has taken it.
#[utoipa::path(
    post,
    path = "/api/docker-cc/sessions/{id}/permissions/{request}",
    tag = "permissions",
    params(
        ("id" = String, Path, description = "The session"),
        ("request" = String, Path, description = "The `requestId` of the `permission_request` event"),
    ),
    request_body = schema::PermissionAnswer,
    responses(
        (status = 200, description = "The answer was taken", body = schema::AnsweredPermission),
        (status = 400, description = "Not an answer, or not one to this request", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is no such session, or it has no such request", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It was answered, withdrawn or timed out before; `settled` says which", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "The body is no JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Redis is out of reach, or the container has not taken the answer yet", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn answer(
    State(state): State<AppState>,
    RequestInPath(session, request): RequestInPath,
    JsonBody(answer): JsonBody<Answer>,
) -> Result<Json<Answered>, Problem> {
    let mut settled = state.pool.answer(&session, &request, answer).await?;
    // It is between the pool and the container.
    settled.ticket = None;
    Ok(Json(Answered { session, settled }))
}
