//! Puts what the rest of the gateway refuses into the shape of the OpenAI API, and names requests.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

use super::error::ApiError;
use crate::http::problem::Problem;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longer ones are not worth an echo.
const LONGEST_ID: usize = 200;

/// Around everything else: requests below `/v1` are answered as clients of the OpenAI API expect,
/// by whomever.
pub(crate) async fn shape(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if path != "/v1" && !path.starts_with("/v1/") {
        return next.run(request).await;
    }
    let id = request_id(request.headers());
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = in_this_shape(problem, response.headers());
    }
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// The caller's own, or a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(&REQUEST_ID).filter(|id| {
        let is_short = (1..=LONGEST_ID).contains(&id.len());
        is_short && id.to_str().is_ok()
    });
    given.cloned().unwrap_or_else(|| {
        let id = format!("req_{}", Uuid::new_v4().simple());
        HeaderValue::from_str(&id).expect("it is visible ASCII")
    })
}

fn in_this_shape(problem: Problem, was: &HeaderMap) -> Response {
    let mut response = ApiError::from(problem).into_response();
    // `Allow`, `WWW-Authenticate`, ….
    for (name, value) in was {
        if name != CONTENT_TYPE && name != CONTENT_LENGTH {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}
