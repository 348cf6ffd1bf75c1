//! An error in the Messages API's own shape.

use std::time::Duration;

use serde_json::{Value, json};

/// An API error: HTTP status, Anthropic's error type and a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// HTTP status, 400 to 599.
    pub status: u16,
    /// Anthropic's `error.type`, such as `rate_limit_error`.
    pub kind: String,
    /// Text for people; the CLI prints it.
    pub message: String,
    /// Sent as `retry-after`, in whole seconds.
    pub retry_after: Option<Duration>,
}

impl ApiError {
    /// The error that the API sends with `status`, with its usual type and a default message.
    #[must_use]
    pub fn new(status: u16) -> Self {
        let (kind, message) = usual(status);
        Self {
            status,
            kind: kind.to_owned(),
            message: message.to_owned(),
            retry_after: None,
        }
    }

    /// The same error with another message.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    /// The JSON body: `{"type":"error","error":{"type","message"},"request_id"}`.
    ///
    /// The same object is the data of an SSE `error` event.
    #[must_use]
    pub fn body(&self, request_id: &str) -> Value {
        json!({
            "type": "error",
            "error": { "type": self.kind, "message": self.message },
            "request_id": request_id,
        })
    }
}

fn usual(status: u16) -> (&'static str, &'static str) {
    match status {
        401 => ("authentication_error", "invalid x-api-key"),
        402 => ("billing_error", "Your credit balance is too low"),
        403 => ("permission_error", "Your API key may not use this resource"),
        404 => ("not_found_error", "Not found"),
        413 => ("request_too_large", "Request exceeds the maximum size"),
        429 => (
            "rate_limit_error",
            "Number of requests has exceeded your rate limit",
        ),
        504 => ("timeout_error", "The request timed out"),
        529 => ("overloaded_error", "Overloaded"),
        500..=599 => ("api_error", "Internal server error"),
        _ => ("invalid_request_error", "Invalid request"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_type() {
        let table = [
            (400, "invalid_request_error"),
            (401, "authentication_error"),
            (403, "permission_error"),
            (404, "not_found_error"),
            (413, "request_too_large"),
            (429, "rate_limit_error"),
            (500, "api_error"),
            (529, "overloaded_error"),
        ];
        for (status, kind) in table {
            assert_eq!(ApiError::new(status).kind, kind, "status {status}");
        }
    }

    #[test]
    fn the_body_has_the_api_shape() {
        let body = ApiError::new(529).with_message("busy").body("req_1");
        assert_eq!(body["type"], "error");
        assert_eq!(
            body["error"],
            json!({"type": "overloaded_error", "message": "busy"})
        );
    }
}
