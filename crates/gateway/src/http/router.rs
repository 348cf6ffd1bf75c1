//! All routes, and what stands in front of them.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use axum::{Router, routing};
use http::{Method, StatusCode, Uri};
use tower_http::trace::TraceLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{Gate, guard};
use super::openai::{chat, models, shape};
use super::problem::Problem;
use super::state::AppState;
use super::{events, health, mcp_token, openapi, permissions, pool, sessions, turns};
use crate::traces;

/// The described routes. Handlers and their descriptions stand together, so that neither is there
/// without the other.
pub(crate) fn described() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(openapi::frame())
        .routes(routes!(health::health))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
        .routes(routes!(sessions::list, sessions::claim))
        .routes(routes!(sessions::show, sessions::end))
        .routes(routes!(sessions::interrupt))
        .routes(routes!(mcp_token::issue))
        .routes(routes!(turns::send))
        .routes(routes!(events::follow))
        .routes(routes!(permissions::list))
        .routes(routes!(permissions::answer))
        .routes(routes!(pool::snapshot, pool::resize))
        .routes(routes!(pool::drain))
        .routes(routes!(models::list))
        .routes(routes!(models::show))
        .routes(routes!(models::show_of))
        .routes(routes!(chat::complete))
        .routes(routes!(openapi::serve))
}

/// The gateway's HTTP service; `mcp` is the router that answers `/mcp`.
pub(crate) fn router(state: AppState, gate: Gate, mcp: Router) -> Router {
    let (routes, _) = described().split_for_parts();
    let app = routes.with_state(state).merge(mcp);
    dressed(app, gate)
}

/// Puts what is the same for every route around `app`.
pub(super) fn dressed(app: Router, gate: Gate) -> Router {
    app.fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .route_layer(from_fn(count))
        .layer(from_fn_with_state(gate, guard))
        .layer(from_fn(shape))
        .layer(
            TraceLayer::new_for_http()
                .make_span_with(traces::span)
                .on_response(traces::answered),
        )
}

async fn unknown_route(uri: Uri) -> Problem {
    let detail = format!("there is no route {}", uri.path());
    Problem::refused(StatusCode::NOT_FOUND, "unknown-route", detail).mend("see GET /openapi.json")
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} does not take {method}", uri.path());
    Problem::refused(StatusCode::METHOD_NOT_ALLOWED, "wrong-method", detail)
        .mend("see GET /openapi.json")
}

/// Counts requests by route, never by path: session ids are no label.
async fn count(request: Request, next: Next) -> Response {
    let began = Instant::now();
    let path = request.extensions().get::<MatchedPath>();
    let route = path.map_or_else(|| "other".to_owned(), |path| path.as_str().to_owned());
    let method = request.method().as_str().to_owned();
    let response = next.run(request).await;
    let status = response.status().as_str().to_owned();
    let labels = [("method", method), ("route", route), ("status", status)];
    metrics::counter!("ccpool_http_requests_total", &labels).increment(1);
    metrics::histogram!("ccpool_http_response_seconds", &labels)
        .record(began.elapsed().as_secs_f64());
    response
}

/// A router that answers only `/mcp`, for the listener on the containers' network.
pub(crate) fn mcp_only(mcp: Router) -> Router {
    mcp.fallback(unknown_route)
        .route("/livez", routing::get(|| async { "ok\n" }))
        .layer(
            TraceLayer::new_for_http()
                .make_span_with(traces::span)
                .on_response(traces::answered),
        )
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::body::{Body, to_bytes};
    use ccpool::config::{Http, Secret};
    use serde_json::Value;
    use tower::ServiceExt;

    use super::*;

    fn app(token: Option<&str>) -> Router {
        let listen: SocketAddr = "127.0.0.1:18789".parse().unwrap();
        let gate = Gate::new(
            &Http {
                listen,
                token: token.map(Secret::new),
            },
            listen,
        );
        dressed(
            Router::new().route("/here", routing::get(|| async { "here" })),
            gate,
        )
    }

    async fn ask(app: Router, method: &str, path: &str) -> (Response<Value>, String) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost");
        let response = app
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let json = serde_json::from_str(&text).unwrap_or_default();
        (Response::from_parts(parts, json), text)
    }

    #[tokio::test]
    async fn unknown_routes_and_methods_are_problems() {
        let (response, _) = ask(app(None), "GET", "/nowhere").await;
        assert_eq!(response.status(), 404);
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json"
        );
        assert_eq!(response.body()["type"], "urn:ccpool:problem:unknown-route");
        let (response, _) = ask(app(None), "DELETE", "/here").await;
        assert_eq!(response.status(), 405);
        assert_eq!(response.headers()["allow"], "GET,HEAD");
        assert_eq!(response.body()["type"], "urn:ccpool:problem:wrong-method");
        let (response, text) = ask(app(None), "GET", "/here").await;
        assert_eq!((response.status().as_u16(), text.as_str()), (200, "here"));
    }

    #[tokio::test]
    async fn the_gate_stands_before_everything() {
        for path in ["/here", "/nowhere"] {
            let (response, _) = ask(app(Some("t")), "GET", path).await;
            assert_eq!(response.status(), 401, "{path}");
            assert_eq!(response.body()["kind"], "auth");
        }
    }
}
