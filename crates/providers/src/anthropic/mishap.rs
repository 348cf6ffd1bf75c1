//! What an answer that is none means.

use std::time::Duration;

use ccpool::FailureKind;
use ccpool::provider::Refused;
use serde::Deserialize;

use super::wire::ApiError;

/// Longer messages are cut, in characters.
const LONGEST: usize = 300;

/// The body of an error (<https://docs.anthropic.com/en/api/errors>).
#[derive(Deserialize)]
struct Body {
    error: ApiError,
}

/// The refusal that an HTTP answer other than 200 is.
pub(super) fn refusal(status: u16, body: &[u8], retry_after: Option<Duration>) -> Refused {
    let told: Option<Body> = serde_json::from_slice(body).ok();
    let error = told.map(|body| body.error);
    let said = error.as_ref().map(|error| error.message.as_str());
    let said = said.filter(|said| !said.is_empty());
    let message = match (status, said) {
        (300..=399, _) => format!(
            "the Messages API answered {status} and wants to be asked elsewhere; correct \
             `anthropic.baseUrl`"
        ),
        (_, Some(said)) => format!("the Messages API answered {status}: {said}"),
        (_, None) => format!("the Messages API answered {status}"),
    };
    Refused {
        retry_after,
        ..Refused::new(
            kind(status, error.as_ref().map_or("", |error| &error.kind)),
            one_line(&message),
        )
    }
}

/// By the status where that says enough, else by the error's type.
fn kind(status: u16, error: &str) -> FailureKind {
    match status {
        401..=403 => FailureKind::Auth,
        429 => FailureKind::RateLimited,
        503 | 529 => FailureKind::Overloaded,
        404 | 413 => FailureKind::InvalidRequest,
        // A proxy on the way took too long.
        408 => FailureKind::Unavailable,
        400..=499 => kind_of_type(error).unwrap_or(FailureKind::InvalidRequest),
        _ => kind_of_type(error).unwrap_or(FailureKind::Unavailable),
    }
}

/// By the `type` of an error of the API.
pub(super) fn kind_of_type(error: &str) -> Option<FailureKind> {
    Some(match error {
        "authentication_error" | "permission_error" | "billing_error" => FailureKind::Auth,
        "rate_limit_error" => FailureKind::RateLimited,
        "overloaded_error" => FailureKind::Overloaded,
        "invalid_request_error" | "not_found_error" | "request_too_large" => {
            FailureKind::InvalidRequest
        }
        "api_error" | "timeout_error" => FailureKind::Unavailable,
        _ => return None,
    })
}

/// For a person, on one line of a sensible length.
pub(super) fn one_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let shown = line.chars().filter(|c| !c.is_control());
    shown.take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(kind: &str) -> String {
        format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"so\nit is"}}}}"#)
    }

    #[test]
    fn every_status_has_its_kind() {
        for (status, error, kind) in [
            (400, "invalid_request_error", FailureKind::InvalidRequest),
            (400, "billing_error", FailureKind::Auth),
            (401, "authentication_error", FailureKind::Auth),
            (402, "billing_error", FailureKind::Auth),
            (403, "permission_error", FailureKind::Auth),
            (404, "not_found_error", FailureKind::InvalidRequest),
            (408, "", FailureKind::Unavailable),
            (413, "request_too_large", FailureKind::InvalidRequest),
            (418, "", FailureKind::InvalidRequest),
            (429, "rate_limit_error", FailureKind::RateLimited),
            (500, "api_error", FailureKind::Unavailable),
            (500, "overloaded_error", FailureKind::Overloaded),
            (502, "", FailureKind::Unavailable),
            (503, "", FailureKind::Overloaded),
            (504, "timeout_error", FailureKind::Unavailable),
            (529, "overloaded_error", FailureKind::Overloaded),
            (302, "", FailureKind::Unavailable),
            (204, "", FailureKind::Unavailable),
        ] {
            let refused = refusal(status, body(error).as_bytes(), None);
            assert_eq!(refused.kind, kind, "{status} {error}");
            assert!(refused.message.contains(&status.to_string()), "{refused}");
        }
    }

    #[test]
    fn what_it_says_is_told_on_one_line() {
        let wait = Some(Duration::from_secs(7));
        let refused = refusal(429, body("rate_limit_error").as_bytes(), wait);
        assert_eq!(refused.message, "the Messages API answered 429: so");
        assert_eq!(refused.retry_after, wait);
        let odd = refusal(500, &[0xff; 3000], None);
        assert_eq!(odd.message, "the Messages API answered 500");
        let long = body("api_error").replace("so", &"x".repeat(9000));
        assert!(refusal(500, long.as_bytes(), None).message.len() <= LONGEST);
    }
}
