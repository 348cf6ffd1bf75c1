//! `GET /api/docker-cc/health`, `/livez`, `/readyz`, `/metrics`.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use ccpool::{Health, HealthStatus};
use ccpool_protocol::FailureKind;
use http::StatusCode;
use http::header::CONTENT_TYPE;

use super::problem::{Problem, ProblemBody};
use super::schema;
use super::state::AppState;

/// Health of the pool and of what it needs, with reasons.
#[utoipa::path(
    get,
    path = "/api/docker-cc/health",
    tag = "health",
    responses(
        (status = 200, description = "`ok`, or `degraded` with reasons", body = schema::Health),
        (status = 503, description = "`unavailable`, with reasons", body = schema::Health),
    )
)]
pub(crate) async fn health(State(state): State<AppState>) -> (StatusCode, Json<Health>) {
    let health = state.pool.health().await;
    let status = match health.status {
        HealthStatus::Ok | HealthStatus::Degraded => StatusCode::OK,
        HealthStatus::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(health))
}

/// The process lives. Needs no token.
#[utoipa::path(
    get,
    path = "/livez",
    tag = "health",
    responses((status = 200, description = "`ok`", body = String, content_type = "text/plain"))
)]
pub(crate) async fn livez() -> &'static str {
    "ok\n"
}

/// A claim can be served now.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "health",
    responses(
        (status = 200, description = "`ok`", body = String, content_type = "text/plain"),
        (status = 503, description = "Not now; `detail` says why", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn readyz(State(state): State<AppState>) -> Response {
    let health = state.pool.health().await;
    if health.can_claim && !state.stop.is_cancelled() {
        return "ok\n".into_response();
    }
    let why = match health.reasons.is_empty() {
        true => "no container is warm".to_owned(),
        false => health.reasons.join("; "),
    };
    Problem::of_kind(FailureKind::Unavailable, why)
        .mend("see GET /api/docker-cc/health")
        .into_response()
}

/// Counters, gauges and histograms in Prometheus' text format.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "health",
    responses((status = 200, description = "Metrics", body = String, content_type = "text/plain"))
)]
pub(crate) async fn metrics(State(state): State<AppState>) -> impl IntoResponse {
    (
        [(CONTENT_TYPE, "text/plain; version=0.0.4")],
        state.metrics.render(),
    )
}
