//! What went wrong, as clients of the OpenAI API are told.
//!
//! What they make of it, by their own sources:
//! - The official clients try again after 408, 409, 429 and every 5xx, wait for `retry-after` if it
//!   is no longer than two minutes, and leave it when `x-should-retry` is `false`.
//! - LiteLLM takes any body with `invalid_request_error` in it for a bad request and any with
//!   `rate limit` for a rate limit, before it looks at the status. So these words are in no other
//!   error's type.
//! - OpenClaw goes to the next model after 401 and 404 at once, after 429 and every 5xx when it has
//!   asked several times, or at once if `retry-after` is longer than it would. It takes a 5xx with
//!   `invalid_request_error` for a bad request, knows the codes `rate_limited` and `overloaded`, and
//!   reads the words of what breaks off in a stream, which has no status.

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use ccpool::provider::{Passed, Refused};
use ccpool_protocol::FailureKind;
use ccpool_protocol::event::Failed;
use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::head::passed_header;
use crate::http::problem::{Problem, UNAUTHORIZED};

/// How long to wait where nobody knows better.
const SOME_TIME: Duration = Duration::from_secs(5);

/// The official clients obey it, and read it before `Retry-After`.
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// The official clients obey it.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// What went wrong.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ApiError(Box<Told>);

#[derive(Debug, Clone, PartialEq)]
struct Told {
    status: StatusCode,
    body: ErrorBody,
    retry_after: Option<Duration>,
    /// Asking the same again by itself would do something twice, or nothing for as long.
    is_final: bool,
    passed: Vec<Passed>,
}

/// The body of every answer under `/v1` that is none.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = OpenAiError)]
pub(crate) struct ErrorBody {
    error: Details,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = OpenAiErrorDetails)]
struct Details {
    /// For a person.
    message: String,
    /// What sort of error it is.
    #[serde(rename = "type")]
    #[schema(example = "server_error")]
    error_type: &'static str,
    /// Where in the request.
    param: Option<String>,
    /// What a program acts on: the kind of failure, or something narrower, such as
    /// `model_not_found`.
    #[schema(example = "exhausted")]
    code: Option<String>,
}

impl ApiError {
    fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self(Box::new(Told {
            status,
            body: ErrorBody {
                error: Details {
                    message: message.into(),
                    error_type: type_of(status),
                    param: None,
                    code: Some(code.to_owned()),
                },
            },
            retry_after: None,
            is_final: false,
            passed: Vec::new(),
        }))
    }

    /// A request that cannot be answered as it is, and where.
    pub(crate) fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::of_kind(FailureKind::InvalidRequest, message).at(param)
    }

    /// Nobody here serves this model.
    pub(crate) fn unknown_model(model: &str) -> Self {
        let shown: String = model.chars().take(100).collect();
        // OpenClaw knows such an error by these words, and goes on to the next model.
        let message =
            format!("the model {shown:?} does not exist; GET /v1/models lists those there are");
        Self::new(StatusCode::NOT_FOUND, "model_not_found", message).at("model")
    }

    /// A failure of this kind, under the status that belongs to it.
    pub(crate) fn of_kind(kind: FailureKind, message: impl Into<String>) -> Self {
        let status = status_of(kind);
        let waits = matches!(
            status,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
        );
        let error = Self::new(status, kind.as_str(), message);
        error.after(waits.then_some(SOME_TIME))
    }

    /// A turn that failed.
    pub(crate) fn of_turn(failed: &Failed) -> Self {
        let message = if failed.tool_effects {
            format!(
                "{}; a tool may have acted before, so asking again may do something twice",
                failed.message
            )
        } else {
            failed.message.clone()
        };
        let wait = failed.retry_after_ms.map(Duration::from_millis);
        let mut error = Self::of_kind(failed.kind, message).after(wait);
        // What took too long once does so again.
        let is_too_long = failed.kind == FailureKind::Timeout;
        error.0.is_final = failed.tool_effects || is_too_long;
        error
    }

    /// While nobody can answer: with this time to wait in place of what is guessed, where it is given.
    pub(crate) fn while_unavailable(self, wait: Option<Duration>) -> Self {
        let unavailable = FailureKind::Unavailable.as_str();
        if self.0.body.error.code.as_deref() == Some(unavailable) {
            self.after(wait)
        } else {
            self
        }
    }

    /// With the time to wait, where one is known.
    fn after(mut self, wait: Option<Duration>) -> Self {
        self.0.retry_after = wait.or(self.0.retry_after);
        self
    }

    fn at(mut self, param: impl Into<String>) -> Self {
        self.0.body.error.param = Some(param.into()).filter(|param| !param.is_empty());
        self
    }

    /// As it is sent within a stream.
    pub(crate) fn body(&self) -> &ErrorBody {
        &self.0.body
    }

    /// What is said for a person.
    #[cfg(test)]
    pub(crate) fn message(&self) -> &str {
        &self.0.body.error.message
    }

    /// Where in the request it is.
    #[cfg(test)]
    pub(crate) fn param(&self) -> Option<&str> {
        self.0.body.error.param.as_deref()
    }
}

/// The status of each kind of failure. Unlike the gateway's own routes, what must not be asked again
/// by itself, here or elsewhere, is 422.
fn status_of(kind: FailureKind) -> StatusCode {
    match kind {
        FailureKind::Exhausted
        | FailureKind::Unavailable
        | FailureKind::Overloaded
        | FailureKind::Stalled
        | FailureKind::ContainerLost => StatusCode::SERVICE_UNAVAILABLE,
        FailureKind::Auth => StatusCode::UNAUTHORIZED,
        FailureKind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        FailureKind::InvalidRequest => StatusCode::BAD_REQUEST,
        FailureKind::MaxTurns | FailureKind::Interrupted => StatusCode::UNPROCESSABLE_ENTITY,
        FailureKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        FailureKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Clients go by the type before they look at the status, so it says nothing else.
fn type_of(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_server_error() => "server_error",
        _ => "invalid_request_error",
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        let error = Self::of_kind(refused.kind, refused.message);
        let mut error = error.after(refused.retry_after);
        error.0.passed = refused.passed;
        error
    }
}

/// What was refused before a route of this interface had a look at it.
impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        let message = match problem.mend {
            Some(mend) => format!("{}; {mend}", problem.detail),
            None => problem.detail,
        };
        let code = match problem.word {
            UNAUTHORIZED => "invalid_api_key".to_owned(),
            word => word.replace('-', "_"),
        };
        let wait = problem.retry_after_ms.map(Duration::from_millis);
        Self::new(problem.status, &code, message).after(wait)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.0.status, Json(&self.0.body)).into_response();
        let headers = response.headers_mut();
        if let Some(wait) = self.0.retry_after {
            let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            headers.insert(RETRY_AFTER, HeaderValue::from(millis.div_ceil(1000)));
            headers.insert(RETRY_AFTER_MS, HeaderValue::from(millis));
        }
        if self.0.is_final {
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        headers.extend(passed_header(&self.0.passed));
        response
    }
}

#[cfg(test)]
mod tests {
    use ccpool::store::StoreError;
    use ccpool::{PoolError, SessionId};
    use ccpool_protocol::event::Timings;
    use serde_json::{Value, json};

    use super::*;

    /// What a client sees: the status, the headers that it acts on, and the body.
    async fn seen(error: ApiError) -> Value {
        let response = error.into_response();
        let status = response.status().as_u16();
        let mut headers = serde_json::Map::new();
        for name in [
            "retry-after",
            "retry-after-ms",
            "x-should-retry",
            "x-ccpool-passed",
        ] {
            if let Some(value) = response.headers().get(name) {
                headers.insert(name.to_owned(), json!(value.to_str().unwrap()));
            }
        }
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20)
            .await
            .unwrap();
        let body: Value = serde_json::from_slice(&bytes).unwrap();
        json!({"status": status, "headers": headers, "body": body})
    }

    #[tokio::test]
    async fn every_kind_has_its_status_type_and_code() {
        let mut table = Vec::new();
        for kind in FailureKind::ALL {
            let seen = seen(ApiError::of_kind(kind, "why")).await;
            let error = &seen["body"]["error"];
            assert_eq!(error["code"], kind.as_str());
            let wait = seen["headers"]["retry-after"].as_str().unwrap_or("-");
            table.push(format!(
                "{kind}: {} {} {wait}",
                seen["status"], error["type"]
            ));
        }
        insta::assert_json_snapshot!(table);
    }

    /// The words by which LiteLLM decides before it looks at the status.
    #[test]
    fn no_error_reads_like_another_one() {
        for kind in FailureKind::ALL {
            let body = serde_json::to_string(ApiError::of_kind(kind, "").body()).unwrap();
            let is_4xx = matches!(status_of(kind).as_u16(), 400 | 422);
            assert_eq!(body.contains("invalid_request_error"), is_4xx, "{body}");
            let is_limit = kind == FailureKind::RateLimited;
            assert_eq!(body.contains("rate_limit"), is_limit, "{body}");
        }
    }

    #[tokio::test]
    async fn a_failed_turn_says_when_to_try_again() {
        let mut failed = Failed {
            kind: FailureKind::RateLimited,
            message: "slow down".to_owned(),
            visible_output: false,
            tool_effects: false,
            retry_after_ms: Some(1500),
            usage: None,
            answer_usage: None,
            cost_usd: None,
            timings: Timings::default(),
        };
        assert_eq!(
            seen(ApiError::of_turn(&failed)).await,
            json!({
                "status": 429,
                "headers": {"retry-after": "2", "retry-after-ms": "1500"},
                "body": {"error": {
                    "message": "slow down",
                    "type": "rate_limit_error",
                    "param": null,
                    "code": "rate_limited",
                }},
            })
        );
        failed.tool_effects = true;
        let seen = seen(ApiError::of_turn(&failed)).await;
        assert_eq!(seen["headers"]["x-should-retry"], "false");
        let message = seen["body"]["error"]["message"].as_str().unwrap();
        assert!(
            message.starts_with("slow down; a tool may have acted"),
            "{message}"
        );
    }

    #[tokio::test]
    async fn a_refusal_names_those_who_were_asked_before() {
        let refused = Refused {
            retry_after: Some(Duration::from_secs(7)),
            passed: vec![Passed {
                provider: "docker-claude-code/opus".to_owned(),
                kind: FailureKind::Exhausted,
                message: "all in use".to_owned(),
            }],
            ..Refused::new(FailureKind::Unavailable, "no route to the model")
        };
        let seen = seen(refused.into()).await;
        assert_eq!(seen["status"], 503);
        assert_eq!(
            seen["headers"],
            json!({
                "retry-after": "7",
                "retry-after-ms": "7000",
                "x-ccpool-passed": "docker-claude-code/opus: exhausted (all in use)",
            })
        );
    }

    #[tokio::test]
    async fn problems_of_the_gateway_keep_their_mend() {
        let problem = Problem::unauthorized("the bearer token is wrong").mend("send the right one");
        let seen = seen(problem.into()).await;
        assert_eq!(
            (&seen["status"], &seen["body"]["error"]),
            (
                &json!(401),
                &json!({
                    "message": "the bearer token is wrong; send the right one",
                    "type": "authentication_error",
                    "param": null,
                    "code": "invalid_api_key",
                })
            )
        );
        let problem = Problem::refused(StatusCode::NOT_FOUND, "unknown-route", "no route");
        let error = ApiError::from(problem);
        assert_eq!(error.body().error.code.as_deref(), Some("unknown_route"));
    }

    #[tokio::test]
    async fn how_long_nobody_can_answer_can_be_configured() {
        let wait = |kind: FailureKind, known: Option<u64>, configured: Option<u64>| {
            let refused = Refused {
                retry_after: known.map(Duration::from_secs),
                ..Refused::new(kind, "why")
            };
            let error = ApiError::from(refused);
            let error = error.while_unavailable(configured.map(Duration::from_secs));
            async { seen(error).await["headers"]["retry-after"].clone() }
        };
        let unavailable = FailureKind::Unavailable;
        assert_eq!(wait(unavailable, None, None).await, "5");
        assert_eq!(wait(unavailable, Some(1), None).await, "1");
        assert_eq!(wait(unavailable, Some(1), Some(121)).await, "121");
        assert_eq!(wait(FailureKind::Exhausted, Some(2), Some(121)).await, "2");
        let auth = wait(FailureKind::Auth, None, Some(121)).await;
        assert_eq!(auth, Value::Null);
    }

    /// OpenClaw reads the words of what breaks off in a stream, LiteLLM all words.
    #[test]
    fn what_the_pool_says_is_not_taken_for_something_else() {
        let unreachable = std::io::Error::other("connection refused").into();
        let unreachable = StoreError::Unreachable {
            source: unreachable,
        };
        let exhausted = PoolError::Exhausted {
            message: "all 20 containers are in use".to_owned(),
            retry_after: Duration::from_secs(2),
        };
        for error in [
            exhausted,
            PoolError::UnknownSession(SessionId::new("s1").unwrap()),
            unreachable.into(),
            StoreError::Emptied.into(),
        ] {
            let error = ApiError::from(Refused::from(error));
            let body = serde_json::to_string(error.body()).unwrap().to_lowercase();
            for words in [
                "rate limit",
                "rate_limit",
                "usage limit",
                "quota",
                "overloaded",
                "expired",
                "unauthorized",
                "forbidden",
                "authentication",
                "timeout",
                "timed out",
                "not found",
                "does not exist",
                "too large",
                "too long",
                "429",
                "401",
            ] {
                assert!(!body.contains(words), "{words}: {body}");
            }
        }
    }

    #[test]
    fn an_error_says_where() {
        let error = ApiError::invalid("messages[1].role", "is missing");
        assert_eq!(
            serde_json::to_value(error.body()).unwrap(),
            json!({"error": {
                "message": "is missing",
                "type": "invalid_request_error",
                "param": "messages[1].role",
                "code": "invalid_request",
            }})
        );
    }
}
