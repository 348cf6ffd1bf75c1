//! Who calls: told by the bearer token of every request, never by arguments.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ccpool::{FailureKind, Pool};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use serde_json::json;

/// Puts the [`ccpool::Caller`] into the request, or refuses it.
pub(crate) async fn identify(
    State(pool): State<Pool>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(token) = bearer(request.headers()) else {
        return unauthorized("tools are for containers: a bearer token is missing");
    };
    match pool.caller(token).await {
        Ok(Some(caller)) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Ok(None) => unauthorized("the bearer token belongs to no container and to no live session"),
        Err(error) => problem(
            StatusCode::SERVICE_UNAVAILABLE,
            error.kind(),
            &error.to_string(),
        ),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn unauthorized(detail: &str) -> Response {
    problem(StatusCode::UNAUTHORIZED, FailureKind::Auth, detail)
}

fn problem(status: StatusCode, kind: FailureKind, detail: &str) -> Response {
    let body = json!({
        "type": format!("urn:ccpool:problem:{}", kind.as_str()),
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": detail,
        "kind": kind,
    });
    let json = [(CONTENT_TYPE, "application/problem+json")];
    (status, json, body.to_string()).into_response()
}
