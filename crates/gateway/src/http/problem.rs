//! The one place that turns what went wrong into a response: `application/problem+json`, as RFC
//! 9457 has it, with the kind of failure that programs act on.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use ccpool::{PoolError, SettledPermission};
use ccpool_protocol::event::Failed;
use ccpool_protocol::{FailureKind, TurnId};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

/// The media type of RFC 9457.
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

const TYPE_PREFIX: &str = "urn:ccpool:problem:";

/// What went wrong.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Problem {
    /// The kind, or something narrower.
    pub(super) word: &'static str,
    pub(super) status: StatusCode,
    pub(super) kind: FailureKind,
    pub(super) detail: String,
    pub(super) mend: Option<String>,
    pub(super) retry_after_ms: Option<u64>,
    about: Option<Box<About>>,
}

/// What it is about.
#[derive(Debug, Clone, PartialEq)]
enum About {
    Turn(FailedTurn),
    Permission(SettledPermission),
}

#[derive(Debug, Clone, PartialEq)]
struct FailedTurn {
    turn: TurnId,
    visible_output: bool,
    tool_effects: bool,
}

/// What went wrong, on the wire.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProblemBody {
    /// `urn:ccpool:problem:` and a word: the kind, or something narrower, such as
    /// `unknown-session`.
    #[serde(rename = "type")]
    #[schema(example = "urn:ccpool:problem:exhausted")]
    problem_type: String,
    /// The type in words.
    title: String,
    /// The HTTP status once more.
    #[schema(example = 503)]
    status: u16,
    /// What happened this time.
    detail: String,
    /// What a program acts on.
    #[schema(value_type = super::schema::FailureKind)]
    kind: FailureKind,
    /// What mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
    /// When it makes sense to try again, in milliseconds; also as `Retry-After`.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    /// The turn that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    turn: Option<TurnId>,
    /// For a failed turn: a reader of its events has seen text of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    visible_output: Option<bool>,
    /// For a failed turn: a tool has, or may have, acted.
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_effects: Option<bool>,
    /// What became of the permission request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<super::schema::SettledPermission>)]
    settled: Option<SettledPermission>,
}

impl From<Problem> for ProblemBody {
    fn from(problem: Problem) -> Self {
        let word = problem.word.replace('_', "-");
        let body = Self {
            title: title(&word),
            problem_type: TYPE_PREFIX.to_owned() + &word,
            status: problem.status.as_u16(),
            detail: problem.detail,
            kind: problem.kind,
            mend: problem.mend,
            retry_after_ms: problem.retry_after_ms,
            turn: None,
            visible_output: None,
            tool_effects: None,
            settled: None,
        };
        match problem.about.map(|about| *about) {
            Some(About::Turn(failed)) => Self {
                turn: Some(failed.turn),
                visible_output: Some(failed.visible_output),
                tool_effects: Some(failed.tool_effects),
                ..body
            },
            Some(About::Permission(settled)) => Self {
                settled: Some(settled),
                ..body
            },
            None => body,
        }
    }
}

/// The gateway's own token is missing or wrong, not the model's credential.
pub(super) const UNAUTHORIZED: &str = "unauthorized";

impl Problem {
    fn new(
        status: StatusCode,
        word: &'static str,
        kind: FailureKind,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            word,
            status,
            kind,
            detail: detail.into(),
            mend: None,
            retry_after_ms: None,
            about: None,
        }
    }

    /// A failure of this kind, under the status that belongs to it.
    pub(crate) fn of_kind(kind: FailureKind, detail: impl Into<String>) -> Self {
        Self::new(status_of(kind), kind.as_str(), kind, detail)
    }

    /// A request that cannot be served as it is.
    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::of_kind(FailureKind::InvalidRequest, detail)
    }

    /// A request refused by HTTP's own rules: no such route, a wrong method, ….
    pub(crate) fn refused(
        status: StatusCode,
        word: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self::new(status, word, FailureKind::InvalidRequest, detail)
    }

    /// The bearer token of this gateway is missing or wrong.
    pub(crate) fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            UNAUTHORIZED,
            FailureKind::Auth,
            detail,
        )
    }

    /// A turn that failed, for a caller who asked for one answer instead of a stream.
    pub(crate) fn of_turn(turn: TurnId, failed: &Failed) -> Self {
        Self {
            retry_after_ms: failed.retry_after_ms,
            about: Some(Box::new(About::Turn(FailedTurn {
                turn,
                visible_output: failed.visible_output,
                tool_effects: failed.tool_effects,
            }))),
            ..Self::of_kind(failed.kind, failed.message.clone())
        }
    }

    /// With what mends it.
    pub(crate) fn mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = Some(mend.into());
        self
    }

    /// With the time after which it makes sense to try again.
    pub(crate) fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after_ms = Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        self
    }
}

/// The status of each kind of failure.
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
        FailureKind::MaxTurns => StatusCode::UNPROCESSABLE_ENTITY,
        FailureKind::Interrupted => StatusCode::CONFLICT,
        FailureKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        FailureKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// `unknown-session` → `Unknown session`.
fn title(word: &str) -> String {
    let mut characters = word.chars();
    let first = characters.next().map(|c| c.to_ascii_uppercase());
    first
        .into_iter()
        .chain(characters.map(|c| if c == '-' { ' ' } else { c }))
        .collect()
}

impl From<PoolError> for Problem {
    fn from(error: PoolError) -> Self {
        let problem = match &error {
            PoolError::UnknownSession(_) => {
                Self::refused(StatusCode::NOT_FOUND, "unknown-session", error.to_string())
            }
            PoolError::UnknownPermission { .. } => Self::refused(
                StatusCode::NOT_FOUND,
                "unknown-permission",
                error.to_string(),
            ),
            PoolError::Settled(settled) => {
                let word = "permission-settled";
                let mut settled = (**settled).clone();
                // It is between the pool and the container.
                settled.ticket = None;
                Self {
                    about: Some(Box::new(About::Permission(settled))),
                    ..Self::refused(StatusCode::CONFLICT, word, error.to_string())
                }
            }
            PoolError::Exhausted { .. }
            | PoolError::Unavailable { .. }
            | PoolError::InvalidRequest(_)
            | PoolError::Internal(_) => Self::of_kind(error.kind(), error.to_string()),
        };
        Self {
            mend: error.mend().map(str::to_owned),
            ..match error.retry_after() {
                Some(wait) => problem.retry_after(wait),
                None => problem,
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, retry_after_ms) = (self.status, self.retry_after_ms);
        let asks_for_token = self.word == UNAUTHORIZED;
        let told = self.clone();
        let body = serde_json::to_vec(&ProblemBody::from(self)).expect("it has string keys");
        let mut response = (status, body).into_response();
        // For interfaces that say it in another shape.
        response.extensions_mut().insert(told);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if let Some(wait) = retry_after_ms {
            headers.insert(RETRY_AFTER, HeaderValue::from(wait.div_ceil(1000)));
        }
        // A model's refused credential is also 401, but not for the client to mend by a header.
        if asks_for_token {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use ccpool::SessionId;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn every_kind_has_its_status() {
        let table: Vec<(&str, u16)> = FailureKind::ALL
            .iter()
            .map(|kind| (kind.as_str(), status_of(*kind).as_u16()))
            .collect();
        insta::assert_json_snapshot!(table);
    }

    #[test]
    fn a_failed_turn_says_what_was_seen_and_done() {
        let failed = Failed {
            kind: FailureKind::RateLimited,
            message: "slow down".to_owned(),
            visible_output: true,
            tool_effects: false,
            retry_after_ms: Some(1500),
            usage: None,
            answer_usage: None,
            cost_usd: None,
            timings: ccpool_protocol::event::Timings::default(),
        };
        let problem = Problem::of_turn(TurnId::new("t1").unwrap(), &failed);
        let response = problem.clone().into_response();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[RETRY_AFTER], "2");
        assert_eq!(response.headers()[CONTENT_TYPE], MEDIA_TYPE);
        assert_eq!(
            serde_json::to_value(ProblemBody::from(problem)).unwrap(),
            json!({
                "type": "urn:ccpool:problem:rate-limited",
                "title": "Rate limited",
                "status": 429,
                "detail": "slow down",
                "kind": "rate_limited",
                "retryAfterMs": 1500,
                "turn": "t1",
                "visibleOutput": true,
                "toolEffects": false,
            })
        );
    }

    #[test]
    fn pool_errors_keep_their_mend() {
        let unknown = PoolError::UnknownSession(SessionId::new("s1").unwrap());
        let response = Problem::from(unknown).into_response();
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        let exhausted = Problem::from(PoolError::Exhausted {
            message: "all 20 containers are in use".to_owned(),
            retry_after: Duration::from_secs(5),
        });
        let json: Value = serde_json::to_value(ProblemBody::from(exhausted.clone())).unwrap();
        assert_eq!(json["kind"], "exhausted");
        assert_eq!(json["retryAfterMs"], 5000);
        assert!(json["mend"].is_string());
        assert_eq!(exhausted.into_response().headers()[RETRY_AFTER], "5");
    }

    #[test]
    fn only_the_gateways_own_401_asks_for_a_bearer() {
        let own = Problem::unauthorized("no token").into_response();
        assert_eq!(own.headers()[WWW_AUTHENTICATE], "Bearer");
        let models = Problem::of_kind(FailureKind::Auth, "bad key").into_response();
        assert_eq!(models.status(), StatusCode::UNAUTHORIZED);
        assert!(!models.headers().contains_key(WWW_AUTHENTICATE));
    }
}
