//! From a `result` line to how the turn ended. Decided by fields, never by prose.
//!
//! Seen: a failed request still has `subtype: "success"`, with `is_error` set (PROTOCOL section 8);
//! 2.1.329 adds `api_error_type` and `terminal_reason: "api_error"`.

use serde_json::Value;

use crate::FailureKind;
use crate::line::TurnResult;

/// How deep a structured output may be nested. A parser gives up at 128, and what tells of the output
/// wraps it further.
const DEEPEST: usize = 100;

/// Whether whoever is told of this value can read it.
pub fn can_be_told(value: &Value) -> bool {
    fn fits(value: &Value, room: usize) -> bool {
        let Some(room) = room.checked_sub(1) else {
            return false;
        };
        match value {
            Value::Array(items) => items.iter().all(|item| fits(item, room)),
            Value::Object(fields) => fields.values().all(|field| fits(field, room)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
        }
    }
    fits(value, DEEPEST)
}

/// Whether the turn succeeded.
pub fn succeeded(result: &TurnResult) -> bool {
    result.subtype == "success" && !result.is_error
}

/// The kind of a failed turn. `assistant_error` is the `error` field of the turn's last
/// `assistant` line, which is all that some failures leave behind.
pub fn failure_kind(result: &TurnResult, assistant_error: Option<&str>) -> FailureKind {
    let terminal = result.terminal_reason.as_deref().unwrap_or("");
    if terminal.starts_with("aborted_") {
        return FailureKind::Interrupted;
    }
    match result.subtype.as_str() {
        "error_max_turns" | "error_max_budget_usd" => return FailureKind::MaxTurns,
        "error_during_execution" | "error_max_structured_output_retries" => {
            return FailureKind::Internal;
        }
        _ => {}
    }
    match assistant_error {
        Some("authentication_failed" | "billing_error") => return FailureKind::Auth,
        Some("rate_limit") => return FailureKind::RateLimited,
        Some("overloaded") => return FailureKind::Overloaded,
        Some("max_output_tokens") => return FailureKind::MaxTurns,
        Some("model_not_found") => return FailureKind::InvalidRequest,
        _ => {}
    }
    if let Some(kind) = result.api_error_status.and_then(status_kind) {
        return kind;
    }
    if matches!(
        terminal,
        "prompt_too_long" | "blocking_limit" | "image_error"
    ) || result.stop_reason.as_deref() == Some("refusal")
    {
        return FailureKind::InvalidRequest;
    }
    match (result.api_error.as_deref(), assistant_error) {
        (Some("connection_failed" | "stream_idle_timeout"), _) | (_, Some("server_error")) => {
            FailureKind::Unavailable
        }
        (Some("max_output_tokens"), _) => FailureKind::MaxTurns,
        (Some("usage_limit_reached"), _) => FailureKind::RateLimited,
        (_, Some("invalid_request")) => FailureKind::InvalidRequest,
        _ => FailureKind::Internal,
    }
}

/// What an HTTP status of the model's service means.
pub fn status_kind(status: u16) -> Option<FailureKind> {
    match status {
        401..=403 => Some(FailureKind::Auth),
        429 => Some(FailureKind::RateLimited),
        529 => Some(FailureKind::Overloaded),
        400..=499 => Some(FailureKind::InvalidRequest),
        500..=599 => Some(FailureKind::Unavailable),
        _ => None,
    }
}

/// One line for a person.
pub fn failure_message(result: &TurnResult, said: Option<&str>, kind: FailureKind) -> String {
    let first_error = || {
        let error = result
            .errors
            .iter()
            .find(|e| !e.starts_with("[ede_diagnostic]"))?;
        Some(error.as_str())
    };
    let text = match kind {
        FailureKind::Interrupted => Some("the turn was interrupted"),
        FailureKind::Exhausted
        | FailureKind::Unavailable
        | FailureKind::Auth
        | FailureKind::RateLimited
        | FailureKind::Overloaded
        | FailureKind::InvalidRequest
        | FailureKind::MaxTurns
        | FailureKind::Stalled
        | FailureKind::ContainerLost
        | FailureKind::Timeout
        | FailureKind::Internal => said.or(result.result.as_deref()).filter(|t| !t.is_empty()),
    };
    let text = text
        .or_else(first_error)
        .unwrap_or("claude reported an error without a message");
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(json: &str, error: Option<&str>) -> FailureKind {
        let result: TurnResult = serde_json::from_str(json).unwrap();
        assert!(!succeeded(&result));
        failure_kind(&result, error)
    }

    #[test]
    fn by_status_and_type() {
        let api = |status: u16| {
            kind(
                &format!(r#"{{"subtype":"success","is_error":true,"api_error_status":{status}}}"#),
                None,
            )
        };
        assert_eq!(api(401), FailureKind::Auth);
        assert_eq!(api(400), FailureKind::InvalidRequest);
        assert_eq!(api(404), FailureKind::InvalidRequest);
        assert_eq!(api(413), FailureKind::InvalidRequest);
        assert_eq!(api(429), FailureKind::RateLimited);
        assert_eq!(api(500), FailureKind::Unavailable);
        assert_eq!(api(529), FailureKind::Overloaded);
        let plain = r#"{"subtype":"success","is_error":true}"#;
        assert_eq!(kind(plain, Some("overloaded")), FailureKind::Overloaded);
        assert_eq!(
            kind(plain, Some("authentication_failed")),
            FailureKind::Auth
        );
        assert_eq!(kind(plain, None), FailureKind::Internal);
        let credit = r#"{"subtype":"success","is_error":true,"api_error_status":400}"#;
        assert_eq!(kind(credit, Some("billing_error")), FailureKind::Auth);
    }

    #[test]
    fn interrupts_and_limits() {
        let aborted = r#"{"subtype":"error_during_execution","is_error":true,"terminal_reason":"aborted_tools"}"#;
        assert_eq!(kind(aborted, None), FailureKind::Interrupted);
        let turns =
            r#"{"subtype":"error_max_turns","is_error":true,"terminal_reason":"max_turns"}"#;
        assert_eq!(kind(turns, None), FailureKind::MaxTurns);
        let long = r#"{"subtype":"success","is_error":true,"terminal_reason":"blocking_limit"}"#;
        assert_eq!(
            kind(long, Some("invalid_request")),
            FailureKind::InvalidRequest
        );
    }
}
