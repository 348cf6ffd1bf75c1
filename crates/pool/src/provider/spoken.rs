//! The answer as text that only grows.

use std::collections::BTreeMap;

use ccpool_protocol::Event;
use ccpool_protocol::event::Completed;

use super::conversation::Conversation;

/// Between what is no continuation of each other.
const GAP: &str = "\n\n";
/// What is said in place of something else begins with a whole word, if that is no longer than this.
const LONGEST_WORD: usize = 40;

/// What was said in an answer, for readers that take nothing back.
///
/// Reply events retract what the CLI repeats; a client of OpenAI's interface cannot. Both what such a
/// client is sent and what it is expected to send back as the model's words come from here, so they
/// are the same.
///
/// Several messages are separated by a blank line, and subagents' words do not count. What was
/// retracted stays, and what comes in its place is said only from where it differs, after a blank
/// line.
///
/// Of an answer in a [form](Conversation::output_schema) the JSON of its `structured_output` is said,
/// when it is complete, and nothing else.
#[derive(Debug, Clone, Default)]
pub struct Spoken {
    in_form: bool,
    text: String,
    message: Option<Message>,
    withdrawn: Option<Withdrawn>,
}

/// The message of which something was heard last.
#[derive(Debug, Clone)]
struct Message {
    id: String,
    /// The words of its blocks, as they are after what was retracted.
    blocks: BTreeMap<u64, String>,
}

/// What was said and retracted.
#[derive(Debug, Clone)]
struct Withdrawn {
    words: String,
    /// So much of it was said again.
    repeated: usize,
    /// The message that says it again.
    by: Option<String>,
}

impl Spoken {
    /// Of an answer to this conversation.
    pub fn of(conversation: &Conversation) -> Self {
        Self {
            in_form: conversation.output_schema.is_some(),
            ..Self::default()
        }
    }

    /// What this event adds to the text.
    pub fn hear(&mut self, event: &Event) -> Option<String> {
        match event {
            Event::Completed(completed) if self.in_form => self.answer(completed),
            _ if self.in_form => None,
            Event::TextDelta {
                message_id,
                block,
                text,
            } => self.say(message_id, Some(*block), text),
            // A finished block repeats its deltas, where it had any.
            Event::Text {
                message_id,
                text,
                parent_tool_use_id: None,
            } if !self.was_streamed(message_id) => self.say(message_id, None, text),
            Event::Retract {
                message_id,
                from_block,
            } => {
                self.retract(message_id, *from_block);
                None
            }
            _ => None,
        }
    }

    /// All of it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is to be in a form.
    pub fn is_in_form(&self) -> bool {
        self.in_form
    }

    fn answer(&mut self, completed: &Completed) -> Option<String> {
        let output = completed.structured_output.as_ref()?;
        self.text = output.to_string();
        Some(self.text.clone())
    }

    fn was_streamed(&self, message: &str) -> bool {
        let last = self.message.as_ref();
        last.is_some_and(|last| last.id == message && !last.blocks.is_empty())
    }

    fn retract(&mut self, message: &str, from_block: u64) {
        let Some(last) = self.message.as_mut().filter(|last| last.id == message) else {
            return;
        };
        let words: String = last.blocks.split_off(&from_block).into_values().collect();
        if words.is_empty() {
            return;
        }
        self.withdrawn = Some(match self.withdrawn.take() {
            // The repetition itself is retracted; what it had not come to was said all the same.
            Some(before) if before.by.as_deref() == Some(message) => Withdrawn {
                repeated: before.repeated.saturating_sub(words.len()),
                by: None,
                words: before.words,
            },
            Some(_) | None => Withdrawn {
                words,
                repeated: 0,
                by: None,
            },
        });
    }

    fn say(&mut self, id: &str, block: Option<u64>, text: &str) -> Option<String> {
        if text.is_empty() {
            return None;
        }
        let goes_on = self.message.as_ref().is_some_and(|last| last.id == id);
        if !goes_on {
            self.message = Some(Message {
                id: id.to_owned(),
                blocks: BTreeMap::new(),
            });
        }
        if let (Some(message), Some(block)) = (&mut self.message, block) {
            message.blocks.entry(block).or_default().push_str(text);
        }
        let withdrawn = self.withdrawn.take();
        let repeats = withdrawn.filter(|gone| gone.by.as_deref().is_none_or(|by| by == id));
        let added = match repeats {
            Some(withdrawn) => self.differs(withdrawn, id, text)?,
            None if goes_on || self.text.is_empty() => text.to_owned(),
            None => format!("{GAP}{text}"),
        };
        self.text.push_str(&added);
        Some(added)
    }

    /// What of `text`, which comes in place of something, was not said before.
    fn differs(&mut self, mut withdrawn: Withdrawn, by: &str, text: &str) -> Option<String> {
        let before = &withdrawn.words[withdrawn.repeated..];
        if before.len() > text.len() && before.starts_with(text) {
            withdrawn.repeated += text.len();
            withdrawn.by = Some(by.to_owned());
            self.withdrawn = Some(withdrawn);
            return None;
        }
        if let Some(more) = text.strip_prefix(before) {
            return (!more.is_empty()).then(|| more.to_owned());
        }
        let same = before.chars().zip(text.chars());
        let same = same.take_while(|(one, other)| one == other);
        let same: usize = same.map(|(one, _)| one.len_utf8()).sum();
        let repeated = &withdrawn.words[..withdrawn.repeated + same];
        let word = repeated.rsplit(char::is_whitespace).next();
        let word = word.filter(|word| word.len() <= LONGEST_WORD);
        let word = word.unwrap_or_default();
        Some(format!("{GAP}{word}{}", &text[same..]))
    }
}

#[cfg(test)]
mod tests;
