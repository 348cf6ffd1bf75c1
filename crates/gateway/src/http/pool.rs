//! `/api/docker-cc/pool`: what there is, other limits, and draining.

use axum::Json;
use axum::extract::State;
use ccpool::{Limits, LimitsChange, PoolSnapshot};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::JsonBody;
use super::problem::{Problem, ProblemBody};
use super::schema;
use super::state::AppState;

/// Counts, limits, containers and recent failures.
#[utoipa::path(
    get,
    path = "/api/docker-cc/pool",
    tag = "pool",
    responses(
        (status = 200, description = "The pool", body = schema::PoolSnapshot),
        (status = 503, description = "Redis is out of reach", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn snapshot(State(state): State<AppState>) -> Result<Json<PoolSnapshot>, Problem> {
    Ok(Json(state.pool.snapshot().await?))
}

/// Change limits of the whole pool while it runs, until they are changed again. Left out: stays;
/// `null`: as configured. Sessions are never cut: above a smaller `maxTotal` only spares go at once.
#[utoipa::path(
    patch,
    path = "/api/docker-cc/pool",
    tag = "pool",
    request_body = schema::LimitsChange,
    responses(
        (status = 200, description = "The limits as they are now", body = schema::Limits),
        (status = 400, description = "Not what this route takes, or limits that cannot be", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Redis is out of reach", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn resize(
    State(state): State<AppState>,
    JsonBody(change): JsonBody<LimitsChange>,
) -> Result<Json<Limits>, Problem> {
    Ok(Json(state.pool.resize(change).await?))
}

/// Whether to drain.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DrainBody {
    /// `false` ends the draining.
    #[serde(default = "yes")]
    #[schema(default = true)]
    drain: bool,
}

fn yes() -> bool {
    true
}

/// Whether the pool drains now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Draining {
    draining: bool,
}

/// Claim and refill no more, or again.
#[utoipa::path(
    post,
    path = "/api/docker-cc/pool/drain",
    tag = "pool",
    request_body = Option<DrainBody>,
    responses(
        (status = 200, description = "Done", body = Draining),
        (status = 400, description = "Not what this route takes", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Redis is out of reach", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn drain(
    State(state): State<AppState>,
    JsonBody(body): JsonBody<DrainBody>,
) -> Result<Json<Draining>, Problem> {
    state.pool.drain(body.drain).await?;
    tracing::info!(draining = body.drain, "drain");
    Ok(Json(Draining {
        draining: body.drain,
    }))
}
