//! `GET /openapi.json`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use http::header::CONTENT_TYPE;
use utoipa::OpenApi;
use utoipa::openapi::path::{HttpMethod, OperationBuilder};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{PathItem, ResponseBuilder};

use super::auth::MCP;
use super::router::described;
use super::state::AppState;
use super::{problem, schema};

/// What the description says besides its routes.
#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "ccpool",
        description = "A warm pool of Claude Code containers behind one gateway. With `http.token` \
            set, every route but `/livez` and `/mcp` asks for it as a bearer token."
    ),
    components(schemas(
        problem::ProblemBody,
        schema::ReplyEvent,
        schema::FailureKind,
    )),
    tags(
        (name = "sessions", description = "Claim, list, interrupt and end sessions"),
        (name = "turns", description = "Prompts and what answers them"),
        (name = "permissions", description = "What agents ask before they act"),
        (name = "pool", description = "The containers"),
        (name = "health", description = "Probes and metrics"),
        (name = "openai", description = "The OpenAI API, for clients that know no other"),
        (name = "tools", description = "Tools for the agents in the containers"),
    ),
    security((), ("token" = []))
)]
struct Frame;

/// The description before any route: with it, `/mcp`, which is no handler of ours.
pub(crate) fn frame() -> utoipa::openapi::OpenApi {
    let mut api = Frame::openapi();
    let token = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    api.components
        .get_or_insert_default()
        .security_schemes
        .insert("token".into(), token.into());
    let answer = |text: &str| ResponseBuilder::new().description(text).build();
    let mcp = OperationBuilder::new()
        .tag("tools")
        .summary(Some(
            "Model Context Protocol over streamable HTTP, stateless",
        ))
        .description(Some(
            "For containers: the bearer token is the container's own.",
        ))
        .response("200", answer("A JSON-RPC response"))
        .response("202", answer("A notification was taken"))
        .response("401", answer("The token belongs to no container"))
        .build();
    api.paths
        .paths
        .insert(MCP.into(), PathItem::new(HttpMethod::Post, mcp));
    api
}

/// The whole description as JSON text.
pub(crate) fn text() -> Arc<str> {
    let (_, api) = described().split_for_parts();
    serde_json::to_string(&api)
        .expect("the description has string keys")
        .into()
}

/// This description.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "health",
    responses((status = 200, description = "OpenAPI 3.1", body = Object))
)]
pub(crate) async fn serve(State(state): State<AppState>) -> impl IntoResponse {
    (
        [(CONTENT_TYPE, "application/json")],
        state.openapi.to_string(),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn described_json() -> Value {
        serde_json::from_str(&text()).unwrap()
    }

    #[test]
    fn every_route_is_described() {
        let api = described_json();
        let mut lines = Vec::new();
        for (path, methods) in api["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let answers: Vec<_> = operation["responses"]
                    .as_object()
                    .unwrap()
                    .keys()
                    .cloned()
                    .collect();
                lines.push(format!(
                    "{} {path}: {}",
                    method.to_uppercase(),
                    answers.join(" ")
                ));
            }
        }
        lines.sort();
        insta::assert_json_snapshot!(lines);
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let api = described_json();
        let mut references = Vec::new();
        collect(&api, &mut references);
        assert!(references.len() > 20, "{references:?}");
        for reference in references {
            let pointer = reference.strip_prefix('#').expect("references stay inside");
            assert!(api.pointer(pointer).is_some(), "{reference} leads nowhere");
        }
    }

    fn collect(value: &Value, references: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(reference)) = map.get("$ref") {
                    references.push(reference.clone());
                }
                map.values().for_each(|inner| collect(inner, references));
            }
            Value::Array(items) => items.iter().for_each(|inner| collect(inner, references)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}
