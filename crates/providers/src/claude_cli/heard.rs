//! A line of `claude`'s stdout, read once.

use ccpool_protocol::RequestId;
use ccpool_protocol::line::{Asked, ControlRequest, Line};
use serde::Deserialize;

/// Longest piece of text that is no JSON, in bytes.
const MAX_NOISE: usize = 4096;

/// What a line is.
#[derive(Debug)]
pub(super) enum Heard {
    /// One that this version knows.
    Line(Line),
    /// A question that nobody here can answer; without an answer the CLI would wait for ever.
    Refuse { request_id: String },
    /// A `result` that this version cannot read: the turn is over all the same.
    BrokenResult { why: String },
    /// Not JSON, or of a shape that this version does not know.
    Noise { text: String },
}

#[derive(Deserialize)]
struct Head {
    r#type: String,
    #[serde(default)]
    request_id: Option<String>,
}

impl Heard {
    /// Bytes that are not UTF-8 are replaced.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let why = match Line::parse(&text) {
            Ok(Line::ControlRequest(request)) => return asked(request),
            // Only this side says those.
            Ok(Line::Wrapper(_)) => return Self::Noise { text: cut(&text) },
            Ok(line) => return Self::Line(line),
            Err(error) => error.to_string(),
        };
        match serde_json::from_str(&text) {
            Ok(Head {
                r#type,
                request_id: Some(request_id),
            }) if r#type == "control_request" => Self::Refuse { request_id },
            Ok(Head { r#type, .. }) if r#type == "result" => Self::BrokenResult {
                why: format!("claude ended the turn with a line of unknown shape ({why})"),
            },
            // Answers are nobody's but ours, and what they say may be secret.
            Ok(Head { r#type, .. }) if r#type == "control_response" => Self::Line(Line::Quiet),
            Ok(_) | Err(_) => Self::Noise { text: cut(&text) },
        }
    }
}

fn asked(request: ControlRequest) -> Heard {
    match request.request {
        // A name that cannot be given back is no question.
        Asked::CanUseTool(_) if RequestId::new(request.request_id.as_str()).is_ok() => {
            Heard::Line(Line::ControlRequest(request))
        }
        Asked::CanUseTool(_)
        | Asked::HookCallback { .. }
        | Asked::McpMessage { .. }
        | Asked::Elicitation { .. }
        | Asked::Unknown => Heard::Refuse {
            request_id: request.request_id,
        },
    }
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(MAX_NOISE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_waited_for_is_noise() {
        let heard = |line: &str| Heard::read(line.as_bytes());
        let ask = r#"{"type":"control_request","request_id":"r","request":{"subtype":"can_use_tool","tool_name":"Bash"}}"#;
        assert!(matches!(heard(ask), Heard::Line(Line::ControlRequest(_))));
        for request in [
            r#"{"subtype":"can_use_tool"}"#,
            r#"{"subtype":"elicitation"}"#,
            r#"{"subtype":"telepathy"}"#,
        ] {
            let line =
                format!(r#"{{"type":"control_request","request_id":"r","request":{request}}}"#);
            assert!(
                matches!(heard(&line), Heard::Refuse { request_id } if request_id == "r"),
                "{line}"
            );
        }
        let broken = heard(r#"{"type":"result","is_error":3}"#);
        assert!(matches!(broken, Heard::BrokenResult { .. }));
        let secret = heard(r#"{"type":"control_response","response":{"token":"x"}}"#);
        assert!(matches!(secret, Heard::Line(Line::Quiet)));
        let ours = r#"{"type":"ccpool","subtype":"noise","text":"x"}"#;
        assert!(matches!(heard(ours), Heard::Noise { .. }));
        let long = format!("x{}", "é".repeat(4000));
        assert!(matches!(heard(&long), Heard::Noise { text } if text.len() == 4095));
    }
}
