//! What was said, as one number by which it is known again.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::call_id::plain_call_id;
use super::conversation::{Content, ImageSource, Message, SystemMode};

/// SHA-256 of everything that was said, in hex.
///
/// Every part goes in with its length and what it is, so two conversations have the same one only if
/// they are the same but for what clients may change on the way: whitespace around a text, how numbers
/// and the order of keys in a call's arguments are written, ids of calls as far as
/// [`plain_call_id`] goes, empty texts, and asides.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Fingerprint(String);

/// Whose a conversation is, and what else must be as it was for it to go on in the same session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Terms<'a> {
    pub(super) caller: &'a str,
    pub(super) agent: &'a str,
    pub(super) model: &'a str,
    pub(super) system: Option<&'a str>,
    pub(super) system_mode: SystemMode,
    pub(super) output: Option<&'a Fingerprint>,
}

impl Fingerprint {
    /// Of these messages, from the first on.
    pub(super) fn of(messages: &[Message]) -> Self {
        let begin = Sum::begin("history").end();
        begin.then(messages)
    }

    /// Of these messages after what it is of.
    pub(super) fn then(&self, messages: &[Message]) -> Self {
        let said = messages.iter().filter(|m| !matches!(m, Message::Aside(_)));
        said.fold(self.clone(), |before, message| {
            let mut sum = Sum::begin("message");
            sum.text(&before.0);
            sum.message(message);
            sum.end()
        })
    }

    /// Of these messages under these terms.
    pub(super) fn under(&self, terms: Terms<'_>) -> Self {
        let mut sum = Sum::begin("conversation");
        sum.text(terms.caller);
        sum.text(terms.agent);
        sum.text(terms.model);
        sum.text(system(terms.system, terms.system_mode).as_str());
        sum.text(&self.0);
        if let Some(output) = terms.output {
            sum.word("output");
            sum.text(&output.0);
        }
        sum.end()
    }

    /// In hex.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Of a caller's name for a conversation.
pub(super) fn name(caller: &str, agent: &str, name: &str) -> Fingerprint {
    let mut sum = Sum::begin("name");
    sum.text(caller);
    sum.text(agent);
    sum.text(name);
    sum.end()
}

/// Of a system prompt.
pub(super) fn system(text: Option<&str>, mode: SystemMode) -> Fingerprint {
    let mut sum = Sum::begin("system");
    sum.text(match mode {
        SystemMode::Append => "append",
        SystemMode::Replace => "replace",
    });
    match text {
        Some(text) => sum.text(text.trim()),
        None => sum.word("none"),
    }
    sum.end()
}

/// Of anything that can be written as JSON.
pub(super) fn json(value: &impl Serialize) -> Fingerprint {
    let mut sum = Sum::begin("json");
    let value = serde_json::to_value(value).expect("it has string keys");
    sum.json(&value);
    sum.end()
}

/// Parts one after another, each with its length.
struct Sum(Sha256);

impl Sum {
    fn begin(what: &str) -> Self {
        let mut sum = Self(Sha256::new());
        sum.text(what);
        sum
    }

    fn end(self) -> Fingerprint {
        Fingerprint(hex::encode(self.0.finalize()))
    }

    fn text(&mut self, text: &str) {
        self.number(text.len());
        self.0.update(text);
    }

    fn number(&mut self, number: usize) {
        self.0.update((number as u64).to_le_bytes());
    }

    /// What kind of thing comes next; no text begins like that.
    fn word(&mut self, word: &str) {
        self.0.update(u64::MAX.to_le_bytes());
        self.text(word);
    }

    fn message(&mut self, message: &Message) {
        match message {
            Message::User(content) => {
                self.word("user");
                self.content(content);
            }
            Message::Assistant { text, calls } => {
                self.word("assistant");
                self.text(text.trim());
                self.number(calls.len());
                for call in calls {
                    self.text(&plain_call_id(&call.id));
                    self.text(&call.name);
                    self.json(&call.arguments);
                }
            }
            Message::Tool { call, content } => {
                self.word("tool");
                self.text(&plain_call_id(call));
                self.content(content);
            }
            Message::Aside(content) => {
                self.word("aside");
                self.content(content);
            }
        }
    }

    fn content(&mut self, content: &[Content]) {
        for part in content {
            match part {
                Content::Text(text) if text.trim().is_empty() => {}
                Content::Text(text) => {
                    self.word("text");
                    self.text(text.trim());
                }
                Content::Image(ImageSource::Base64 { media_type, data }) => {
                    self.word("image");
                    self.text(media_type);
                    self.text(data);
                }
                Content::Image(ImageSource::Url(url)) => {
                    self.word("image at");
                    self.text(url);
                }
            }
        }
        self.word("end");
    }

    /// As a client in JavaScript understands it, which has one kind of number, and writes `1` for
    /// `1.0` and `1e0`, and `0` for `-0`.
    fn number_of_json(&mut self, number: &serde_json::Number) {
        match number.as_f64() {
            Some(float) => {
                let float = if float == 0.0 { 0.0 } else { float };
                self.0.update(float.to_bits().to_le_bytes());
            }
            None => self.text(&number.to_string()),
        }
    }

    /// With the keys of objects in order.
    fn json(&mut self, value: &Value) {
        match value {
            Value::Null => self.word("null"),
            Value::Bool(true) => self.word("true"),
            Value::Bool(false) => self.word("false"),
            Value::Number(number) => {
                self.word("number");
                self.number_of_json(number);
            }
            Value::String(text) => {
                self.word("string");
                self.text(text);
            }
            Value::Array(values) => {
                self.word("array");
                self.number(values.len());
                for value in values {
                    self.json(value);
                }
            }
            Value::Object(fields) => {
                self.word("object");
                self.number(fields.len());
                let mut fields: Vec<_> = fields.iter().collect();
                fields.sort_by_key(|(name, _)| *name);
                for (name, value) in fields {
                    self.text(name);
                    self.json(value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
