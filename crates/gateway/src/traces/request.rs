//! The span of an HTTP request, in the log and, where a collector takes them, in traces.

use std::time::Duration;

use axum::extract::MatchedPath;
use ccpool::SessionId;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::Status;
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tower_http::trace::{DefaultOnResponse, OnResponse};
use tracing::field::{Empty, display};
use tracing::{Span, debug_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::export::are_on;

/// Asked all the time by machines; nobody wants to read that.
const PROBES: [&str; 3] = ["/livez", "/readyz", "/metrics"];

/// A span per request, without query, headers or body: those may hold prompts and tokens. A trace
/// that the caller has begun (W3C `traceparent`) goes on in it.
pub(crate) fn span<B>(request: &http::Request<B>) -> Span {
    let path = request.uri().path();
    if PROBES.contains(&path) {
        return Span::none();
    }
    let method = request.method();
    let span = debug_span!(
        "request",
        %method,
        path,
        session = session_in(path).map(display),
        turn = Empty,
        otel.kind = Empty,
        otel.name = Empty,
    );
    if are_on() {
        let route = request.extensions().get::<MatchedPath>();
        let route = route.map_or("other", MatchedPath::as_str);
        span.record("otel.kind", "server");
        span.record("otel.name", format!("{method} {route}"));
        span.set_attribute("http.request.method", method.as_str().to_owned());
        span.set_attribute("http.route", route.to_owned());
        let caller = TraceContextPropagator::new().extract(&HeaderExtractor(request.headers()));
        // A span that nobody takes has no parent either.
        let _ = span.set_parent(caller);
    }
    span
}

/// The session that a path is about.
fn session_in(path: &str) -> Option<SessionId> {
    let rest = path.strip_prefix("/api/docker-cc/sessions/")?;
    let id = rest.split_once('/').map_or(rest, |(id, _)| id);
    SessionId::new(id).ok()
}

/// Writes down what a request is about, once it is known: its `session` or its `turn`.
pub(crate) fn record(field: &'static str, value: impl std::fmt::Display) {
    Span::current().record(field, display(value));
}

/// Writes down how a request was answered, in its span and in the log.
pub(crate) fn answered<B>(response: &http::Response<B>, took: Duration, span: &Span) {
    if are_on() {
        let status = response.status();
        span.set_attribute("http.response.status_code", i64::from(status.as_u16()));
        if status.is_server_error() {
            span.set_status(Status::error(status.as_str().to_owned()));
        }
    }
    DefaultOnResponse::default().on_response(response, took, span);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_its_session() {
        let session = |path: &str| session_in(path).map(|session| session.to_string());
        for path in [
            "/api/docker-cc/sessions/a:b",
            "/api/docker-cc/sessions/a:b/turns",
        ] {
            assert_eq!(session(path).as_deref(), Some("a:b"));
        }
        for path in [
            "/api/docker-cc/sessions",
            "/api/docker-cc/sessions/",
            "/mcp",
            "/a%20b",
        ] {
            assert_eq!(session(path), None, "{path}");
        }
    }
}
