//! Taking requests in: JSON bodies, session ids in the path, queries. Every refusal is a
//! [`Problem`] that says where the request is wrong.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use bytes::{Bytes, BytesMut};
use ccpool::{RequestId, SessionId};
use ccpool_protocol::ids::IdError;
use futures::StreamExt;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// The largest request body, in bytes: room for a prompt with several images.
pub(crate) const LARGEST: usize = 32 * 1024 * 1024;

/// How long the rest of a body that is too large is read.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// A JSON object from the body. An empty body is `{}`, so that a request without options needs
/// neither body nor content type.
#[derive(Debug)]
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let media_type = request.headers().get(CONTENT_TYPE).cloned();
        let body = collect(request.into_body(), LARGEST).await?;
        if body.is_empty() {
            return parse("{}").map(Self);
        }
        if !media_type
            .as_ref()
            .is_some_and(|value| is_json(value.as_bytes()))
        {
            return Err(Problem::refused(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "the body must be JSON",
            )
            .mend("send the header `Content-Type: application/json`"));
        }
        let text = std::str::from_utf8(&body).map_err(|error| {
            let at = error.valid_up_to();
            Problem::bad_request(format!("the body is not UTF-8: byte {at} is not valid"))
        })?;
        parse(text).map(Self)
    }
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    serde_json::from_str(text).map_err(|error| {
        let what = match error.classify() {
            serde_json::error::Category::Data => "the body is not what this route takes",
            serde_json::error::Category::Syntax
            | serde_json::error::Category::Eof
            | serde_json::error::Category::Io => "the body is not JSON",
        };
        Problem::bad_request(format!("{what}: {error}"))
    })
}

/// `application/json` or `application/…+json`, whatever its parameters.
fn is_json(value: &[u8]) -> bool {
    let essence = value.split(|byte| *byte == b';').next().unwrap_or_default();
    let essence = String::from_utf8_lossy(essence).trim().to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// The whole body. Of one that is larger than `limit` the rest is read and dropped, for a while:
/// a client that is still sending does not look for an answer.
async fn collect(body: Body, limit: usize) -> Result<Bytes, Problem> {
    let mut stream = body.into_data_stream();
    let mut kept = BytesMut::new();
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|error| {
            Problem::bad_request(format!("the body could not be read: {error}"))
        })?;
        if kept.len() + piece.len() > limit {
            drop(kept);
            let rest = stream.take_while(|piece| std::future::ready(piece.is_ok()));
            // Whoever has not finished by then is cut off.
            let _ = tokio::time::timeout(DRAIN_TIMEOUT, rest.for_each(|_| async {})).await;
            return Err(too_large(limit));
        }
        kept.extend_from_slice(&piece);
    }
    Ok(kept.freeze())
}

fn too_large(limit: usize) -> Problem {
    Problem::refused(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body-too-large",
        format!("the body is larger than {limit} bytes"),
    )
    .mend("send less; let the agent read large inputs from files")
}

/// The session named in the path.
#[derive(Debug)]
pub(crate) struct InPath(pub(crate) SessionId);

impl<S: Send + Sync> FromRequestParts<S> for InPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|error| Problem::bad_request(error.body_text()))?;
        SessionId::new(text)
            .map(Self)
            .map_err(|error| Problem::bad_request(error.to_string()))
    }
}

/// The session and the permission request named in the path.
#[derive(Debug)]
pub(crate) struct RequestInPath(pub(crate) SessionId, pub(crate) RequestId);

impl<S: Send + Sync> FromRequestParts<S> for RequestInPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path((session, request)) = Path::<(String, String)>::from_request_parts(parts, state)
            .await
            .map_err(|error| Problem::bad_request(error.body_text()))?;
        let wrong = |error: IdError| Problem::bad_request(error.to_string());
        let session = SessionId::new(session).map_err(wrong)?;
        Ok(Self(session, RequestId::new(request).map_err(wrong)?))
    }
}

/// The query, as `T`.
#[derive(Debug)]
pub(crate) struct InQuery<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for InQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(query) = Query::<T>::from_request_parts(parts, state)
            .await
            .map_err(|error| Problem::bad_request(error.body_text()))?;
        Ok(Self(query))
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::to_bytes;
    use axum::response::IntoResponse;
    use axum::routing::{get, post};
    use serde::Deserialize;
    use serde_json::Value;
    use tower::ServiceExt;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Taken {
        #[serde(default)]
        word: String,
    }

    async fn answer(request: http::request::Builder, body: impl Into<Body>) -> (u16, Value) {
        let routes = Router::new()
            .route(
                "/",
                post(|JsonBody(taken): JsonBody<Taken>| async move { taken.word }),
            )
            .route(
                "/of/{session}",
                get(|InPath(id): InPath| async move { id.to_string() }),
            );
        let request = request.body(body.into()).unwrap();
        let response = routes.oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let bytes = to_bytes(response.into_body(), LARGEST).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        (
            status,
            serde_json::from_str(&text).unwrap_or(Value::String(text)),
        )
    }

    fn json_post() -> http::request::Builder {
        http::Request::post("/").header(CONTENT_TYPE, "application/json; charset=utf-8")
    }

    #[tokio::test]
    async fn good_bodies_and_no_body() {
        let (status, body) = answer(json_post(), r#"{"word":"x"}"#).await;
        assert_eq!((status, body), (200, Value::from("x")));
        let (status, _) = answer(http::Request::post("/"), "").await;
        assert_eq!(status, 200);
    }

    #[tokio::test]
    async fn refusals_say_where() {
        let (status, body) = answer(json_post(), b"{\"word\":\"\xff\"}".to_vec()).await;
        assert_eq!(status, 400);
        assert_eq!(body["detail"], "the body is not UTF-8: byte 9 is not valid");
        let (status, body) = answer(json_post(), "{\"word\":").await;
        assert_eq!(status, 400);
        assert!(
            body["detail"].as_str().unwrap().contains("line 1 column 8"),
            "{body}"
        );
        let (status, body) = answer(json_post(), r#"{"wrod":"x"}"#).await;
        assert_eq!(status, 400);
        assert!(
            body["detail"]
                .as_str()
                .unwrap()
                .contains("unknown field `wrod`"),
            "{body}"
        );
        assert_eq!(body["kind"], "invalid_request");
    }

    #[tokio::test]
    async fn wrong_type_and_size() {
        let (status, body) = answer(http::Request::post("/"), "word=x").await;
        assert_eq!(
            (status, &body["type"]),
            (415, &"urn:ccpool:problem:unsupported-media-type".into())
        );
    }

    #[tokio::test]
    async fn a_body_may_be_as_large_as_the_limit_and_no_larger() {
        assert_eq!(
            collect(Body::from("12345678"), 8).await.unwrap(),
            "12345678"
        );
        let pieces = futures::stream::iter(["1234", "5678", "9"].map(Ok::<_, std::io::Error>));
        let problem = collect(Body::from_stream(pieces), 8).await.unwrap_err();
        assert_eq!(problem.into_response().status(), 413);
    }

    #[tokio::test]
    async fn sessions_in_the_path_follow_their_rule() {
        let of = |path: &'static str| answer(http::Request::get(path), "");
        assert_eq!(of("/of/agent:main:t1").await.1, "agent:main:t1");
        assert_eq!(of("/of/agent%3Amain%40x").await.1, "agent:main@x");
        let (status, body) = of("/of/a%20b").await;
        assert_eq!(status, 400);
        assert!(
            body["detail"].as_str().unwrap().contains("letters, digits"),
            "{body}"
        );
        assert_eq!(of("/of/pool:x").await.0, 400);
        assert_eq!(of("/of/%ff").await.0, 400);
    }
}
