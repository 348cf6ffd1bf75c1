use std::time::Instant;

use ccpool_protocol::framing::LineFramer;
use ccpool_protocol::line::{Delta, Line, StatusLine, StreamEvent};

/// What a line of `claude` means for the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// The answer to the probe: it has booted.
    Ready,
    /// It is about to ask the model.
    Request,
    /// Text of the answer.
    Text,
    /// The turn is over, successfully or not.
    Result { success: bool },
}

/// Times of one turn, in ms after the prompt was given.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TurnTimes {
    pub(crate) request: Option<f64>,
    pub(crate) first_delta: Option<f64>,
    pub(crate) result: Option<f64>,
    pub(crate) success: bool,
}

impl TurnTimes {
    pub(crate) fn see(&mut self, mark: Mark, since: Instant) {
        let now = Some(since.elapsed().as_secs_f64() * 1e3);
        match mark {
            Mark::Ready => {}
            Mark::Request => self.request = self.request.or(now),
            Mark::Text => self.first_delta = self.first_delta.or(now),
            Mark::Result { success } => {
                self.result = now;
                self.success = success;
            }
        }
    }
}

/// Reads marks from `claude`'s stdout.
#[derive(Debug, Default)]
pub(crate) struct Marks(LineFramer);

impl Marks {
    pub(crate) fn feed(&mut self, chunk: &[u8]) {
        self.0.feed(chunk);
    }

    /// The next mark in what was fed; other lines are passed over.
    pub(crate) fn next(&mut self) -> Option<Mark> {
        loop {
            let line = self.0.next_line()?;
            let mark = line
                .ok()
                .as_deref()
                .and_then(|line| mark(std::str::from_utf8(line).ok()?));
            if mark.is_some() {
                return mark;
            }
        }
    }
}

fn mark(text: &str) -> Option<Mark> {
    match Line::parse(text).ok()? {
        Line::ControlResponse(_) => Some(Mark::Ready),
        Line::Status(StatusLine {
            status: Some(status),
            ..
        }) if status == "requesting" => Some(Mark::Request),
        Line::Stream(line) => match line.event {
            StreamEvent::ContentBlockDelta {
                delta: Delta::TextDelta { .. },
                ..
            } => Some(Mark::Text),
            _ => None,
        },
        Line::Result(result) => Some(Mark::Result {
            success: !result.is_error,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_across_chunks() {
        let text = concat!(
            r#"{"type":"stream_event","event":{"type":"content_block_delta","index":0,"#,
            r#""delta":{"type":"text_delta","text":"Hi"}},"session_id":"s"}"#,
            "\n"
        );
        let mut marks = Marks::default();
        marks.feed(&text.as_bytes()[..40]);
        assert_eq!(marks.next(), None);
        marks.feed(&text.as_bytes()[40..]);
        assert_eq!(marks.next(), Some(Mark::Text));
        assert_eq!(marks.next(), None);
    }
}
