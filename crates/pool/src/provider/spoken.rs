//! The answer as text that only grows.

use ccpool_protocol::Event;

/// What was said in an answer, for readers that take nothing back.
///
/// Reply events retract what the CLI repeats; a client of OpenAI's interface cannot. Both what such a
/// client is sent and what it is expected to send back as the model's words come from here, so they
/// are the same.
#[derive(Debug, Clone, Default)]
pub struct Spoken {
    text: String,
    /// The message of which something was said last.
    message: Option<String>,
}

impl Spoken {
    /// What this event adds to the text.
    pub fn hear(&mut self, event: &Event) -> Option<String> {
        let (message, text, is_delta) = match event {
            Event::TextDelta {
                message_id, text, ..
            } => (message_id, text, true),
            Event::Text {
                message_id,
                text,
                parent_tool_use_id: None,
            } => (message_id, text, false),
            _ => return None,
        };
        let goes_on = self.message.as_ref() == Some(message);
        // A finished block repeats its deltas.
        if text.is_empty() || (goes_on && !is_delta) {
            return None;
        }
        let gap = if goes_on || self.text.is_empty() {
            ""
        } else {
            "\n\n"
        };
        let added = format!("{gap}{text}");
        self.text.push_str(&added);
        self.message = Some(message.clone());
        Some(added)
    }

    /// All of it.
    pub fn text(&self) -> &str {
        &self.text
    }
}
