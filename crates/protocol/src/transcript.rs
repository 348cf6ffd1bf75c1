//! What a session keeps of its turns for people and for other sessions to read: a list with one
//! entry for each turn that has ended, oldest first.

use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::input::InputItem;
use crate::{FailureKind, TurnId, UnixMs};

/// How many turns are kept.
pub const TURNS: usize = 200;
/// How much of a prompt, of an answer and of a failure's message is kept, in bytes.
pub const TEXT_BYTES: usize = 16 << 10;
/// How many names of tools are kept of a turn.
pub const TOOLS: usize = 50;

/// One turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Its name.
    pub turn: TurnId,
    /// When it ended.
    pub at: UnixMs,
    /// What was asked; none for a turn that nobody asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// The tools that were called, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
    /// What was answered, if the turn was completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// Why it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Failure>,
}

/// How a turn failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// The kind of failure.
    pub kind: FailureKind,
    /// What is wrong.
    pub message: String,
}

impl Entry {
    /// A turn that has ended so; what is long is cut.
    pub fn of(turn: &TurnId, at: UnixMs, event: &Event) -> Self {
        let mut entry = Self {
            turn: turn.clone(),
            at,
            prompt: None,
            tools: Vec::new(),
            answer: None,
            failed: None,
        };
        if let Event::Completed(completed) = event {
            entry.answer = Some(cut(&completed.text));
        } else if let Event::Failed(failed) = event {
            entry.failed = Some(Failure {
                kind: failed.kind,
                message: cut(&failed.message),
            });
        }
        entry
    }

    /// With what was asked, before what was asked already.
    #[must_use]
    pub fn asked(mut self, item: &InputItem) -> Self {
        let text = item.shown();
        self.prompt = Some(match self.prompt {
            None => cut(&text),
            Some(later) => cut(&format!("{text}\n\n{later}")),
        });
        self
    }

    /// The JSON that goes into Redis.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("an entry has string keys")
    }
}

/// The beginning, and how much is missing.
fn cut(text: &str) -> String {
    if text.len() <= TEXT_BYTES {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(TEXT_BYTES);
    format!("{}… [{} bytes left out]", &text[..end], text.len() - end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_letters() {
        let text = "é".repeat(TEXT_BYTES);
        let cut = cut(&text);
        assert!(cut.len() < TEXT_BYTES + 64, "{}", cut.len());
        assert!(cut.ends_with(&format!("é… [{TEXT_BYTES} bytes left out]")));
        assert_eq!(super::cut("short"), "short");
    }

    #[test]
    fn prompts_stand_in_the_order_in_which_they_came() {
        let turn = TurnId::new("t1").unwrap();
        let event = Event::failed(FailureKind::Stalled, "silent");
        let entry = Entry::of(&turn, 7, &event)
            .asked(&InputItem::text(turn.clone(), "second"))
            .asked(&InputItem::text(turn.clone(), "first"));
        assert_eq!(entry.prompt.as_deref(), Some("first\n\nsecond"));
        let back: Entry = serde_json::from_str(&entry.to_json()).unwrap();
        assert_eq!(back, entry);
    }
}
