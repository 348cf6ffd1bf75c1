//! A line of `claude`'s stdout, and who it is for.

use std::borrow::Cow;

use ccpool_protocol::RequestId;
use ccpool_protocol::line::{Asked, Line, LineError};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Longest piece of text that is no JSON, in bytes.
const MAX_NOISE: usize = 4096;

/// One line, read once.
#[derive(Debug)]
pub(crate) struct Heard {
    text: String,
    parsed: Result<Line, LineError>,
}

/// Who a line is for.
#[derive(Debug)]
pub(crate) enum Audience {
    /// The session's readers: its text goes out untouched.
    Reader { text: Box<RawValue>, line: Line },
    /// The wrapper alone. Answers to control requests are never passed on: that of `mcp_status`
    /// repeats the MCP token (PROTOCOL section 3).
    Nobody(Line),
    /// The server of the caller's functions, which the wrapper is itself.
    Server(Line),
    /// A question that nobody here can answer; without an answer the CLI would wait for ever.
    Refuse { request_id: String },
    /// Not JSON.
    Noise { text: String },
    /// A `result` that this version cannot read: the turn is over all the same.
    BrokenResult { why: String },
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    #[serde(borrow, default)]
    subtype: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    request_id: Option<Cow<'a, str>>,
}

impl Heard {
    /// Bytes that are not UTF-8 are replaced.
    pub(crate) fn read(bytes: Vec<u8>) -> Self {
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        };
        Self {
            parsed: Line::parse(&text),
            text,
        }
    }

    /// Whether this answers the control request `id`.
    pub(crate) fn answers(&self, id: &str) -> bool {
        matches!(&self.parsed, Ok(Line::ControlResponse(answer)) if answer.response.request_id == id)
    }

    /// What it says, where this version can read it.
    pub(crate) fn line(&self) -> Option<&Line> {
        self.parsed.as_ref().ok()
    }

    /// The conversation that a turn belongs to, when this line begins one. By then it is on disk
    /// and can be resumed (seen with 2.1.329, also for a turn that was killed right afterwards, for
    /// a local command and for `/clear`, which begins another).
    pub(crate) fn conversation(&self) -> Option<&str> {
        match self.line() {
            Some(Line::Init(init)) if !init.session_id.is_empty() => Some(&init.session_id),
            _ => None,
        }
    }

    /// What a `result` without a turn says: the CLI could not start.
    pub(crate) fn start_failure(&self) -> Option<String> {
        let Ok(Line::Result(result)) = &self.parsed else {
            return None;
        };
        result
            .errors
            .first()
            .cloned()
            .or_else(|| result.result.clone())
    }

    pub(crate) fn audience(self) -> Audience {
        let line = match self.parsed {
            Ok(line) => line,
            Err(error) => return unreadable(&self.text, &error),
        };
        match &line {
            Line::ControlResponse(_) => return Audience::Nobody(line),
            Line::ControlRequest(request) => match &request.request {
                // A name that nobody could give in an answer is no question to anybody.
                Asked::CanUseTool(_) if RequestId::new(request.request_id.as_str()).is_ok() => {}
                Asked::McpMessage { .. } => return Audience::Server(line),
                Asked::CanUseTool(_)
                | Asked::HookCallback {}
                | Asked::Elicitation {}
                | Asked::Unknown => {
                    return Audience::Refuse {
                        request_id: request.request_id.clone(),
                    };
                }
            },
            Line::Quiet if is_chatter(&self.text) => return Audience::Nobody(line),
            Line::Quiet
            | Line::Init(_)
            | Line::Status(_)
            | Line::Stream(_)
            | Line::Assistant(_)
            | Line::User(_)
            | Line::Result(_)
            | Line::RateLimit(_)
            | Line::ControlCancel { .. }
            | Line::Lifecycle { .. }
            | Line::Notice(_)
            | Line::Wrapper(_)
            | Line::Other(_) => {}
        }
        match RawValue::from_string(self.text) {
            Ok(text) => Audience::Reader { text, line },
            // A line that parsed is JSON; serde_json has the last word on it.
            Err(error) => Audience::Noise {
                text: error.to_string(),
            },
        }
    }
}

/// Lines without any meaning outside the CLI.
fn is_chatter(text: &str) -> bool {
    let Ok(head) = serde_json::from_str::<Head<'_>>(text) else {
        return false;
    };
    head.r#type == "keep_alive"
        || matches!(
            head.subtype.as_deref(),
            Some("ui_invalidate" | "control_request_progress")
        )
}

/// JSON of a shape that this version does not know is noise too, but it may be one that somebody
/// waits for.
fn unreadable(text: &str, error: &LineError) -> Audience {
    if let Ok(head) = serde_json::from_str::<Head<'_>>(text) {
        match (&*head.r#type, head.request_id) {
            ("control_request", Some(id)) => {
                return Audience::Refuse {
                    request_id: id.into_owned(),
                };
            }
            ("control_response", _) => {
                return Audience::Nobody(Line::Quiet);
            }
            ("result", _) => {
                return Audience::BrokenResult {
                    why: format!("claude ended the turn with a line of unknown shape ({error})"),
                };
            }
            _ => {}
        }
    }
    let mut end = text.len().min(MAX_NOISE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Audience::Noise {
        text: text[..end].to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audience(line: &str) -> Audience {
        Heard::read(line.as_bytes().to_vec()).audience()
    }

    #[test]
    fn readers_get_the_text_untouched() {
        let line = r#"{"type":"hologram",  "x":1.0}"#;
        let Audience::Reader { text, .. } = audience(line) else {
            panic!("not for readers")
        };
        assert_eq!(text.get(), line);
    }

    #[test]
    fn answers_and_chatter_stay_inside() {
        for line in [
            r#"{"type":"control_response","response":{"subtype":"success","request_id":"p","response":{"token":"x"}}}"#,
            r#"{"type":"control_response","response":{"token":"x"}}"#,
            r#"{"type":"keep_alive"}"#,
            r#"{"type":"system","subtype":"ui_invalidate"}"#,
        ] {
            assert!(matches!(audience(line), Audience::Nobody(_)), "{line}");
        }
    }

    #[test]
    fn questions_that_nobody_answers_are_refused() {
        for request in [
            r#"{"subtype":"elicitation","message":"?"}"#,
            r#"{"subtype":"telepathy"}"#,
            r#"{"subtype":"can_use_tool"}"#,
        ] {
            let line =
                format!(r#"{{"type":"control_request","request_id":"r1","request":{request}}}"#);
            assert!(
                matches!(audience(&line), Audience::Refuse { request_id } if request_id == "r1"),
                "{line}"
            );
        }
    }

    #[test]
    fn noise_is_cut_at_a_character() {
        let Audience::Noise { text } = audience(&format!("x{}", "é".repeat(4000))) else {
            panic!("not noise")
        };
        assert_eq!(text.len(), 4095);
        assert!(matches!(
            audience(r#"{"type":"result","is_error":3}"#),
            Audience::BrokenResult { .. }
        ));
        let lossy = Heard::read(b"{\"type\":\"x\",\"y\":\"\xff\"}".to_vec()).audience();
        assert!(matches!(lossy, Audience::Reader { text, .. } if text.get().contains('\u{fffd}')));
    }
}
