//! One item of a session's `input` list: a prompt.

use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::function::{self, FunctionError, FunctionTool};
use crate::{TurnId, UnixMs};

/// When a prompt that arrives during a running turn gets its turn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// After the running turn and everything queued before it.
    #[default]
    Queue,
    /// Handed to `claude` at once: it takes it into the running turn when a tool is at work.
    Steer,
    /// The running turn is interrupted first.
    Interrupt,
}

/// A prompt as it lies in Redis. Fields that are not known are ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InputItem {
    /// The turn's name; made by the wrapper when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<TurnId>,
    /// The prompt as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The prompt as Messages API content blocks (text, image, document).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Vec<Value>>,
    /// When it gets its turn.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mode: Mode,
    /// The caller says that a text such as `/compact` is a command of the CLI. Otherwise it
    /// reaches the model verbatim, whatever it begins with.
    #[serde(default, skip_serializing_if = "is_default")]
    pub command: bool,
    /// Another model from this prompt on: an alias or a full id. Not for one that is steered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Functions of the caller's that the model may call from this prompt on, in the place of those
    /// of prompts before it; none at all when the list is empty. Left out: those that there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub functions: Option<Vec<FunctionTool>>,
    /// When it was pushed, for the timings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<UnixMs>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Why an item is no prompt. The text says what mends it.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The bytes are not UTF-8.
    #[error("an input item must be UTF-8 JSON; this one has an invalid byte at {0}")]
    NotUtf8(usize),
    /// Not JSON, or not of this shape.
    #[error("an input item must be JSON like {{\"text\":\"hello\"}}: {0}")]
    NotJson(#[from] serde_json::Error),
    /// Neither text nor content.
    #[error("the prompt is empty: give `text` or `content`")]
    Empty,
    /// Both at once.
    #[error("give `text` or `content`, not both")]
    Both,
    /// Functions that cannot be offered.
    #[error(transparent)]
    Functions(#[from] FunctionError),
}

impl InputItem {
    /// A prompt of plain text in a named turn.
    pub fn text(turn: TurnId, text: impl Into<String>) -> Self {
        Self {
            turn: Some(turn),
            text: Some(text.into()),
            content: None,
            mode: Mode::Queue,
            command: false,
            model: None,
            functions: None,
            at: None,
        }
    }

    /// Reads an item as it lies in the list.
    ///
    /// # Errors
    /// [`InputError`] when the bytes are no prompt.
    pub fn parse(bytes: &[u8]) -> Result<Self, InputError> {
        let text = std::str::from_utf8(bytes).map_err(|e| InputError::NotUtf8(e.valid_up_to()))?;
        let item: Self = serde_json::from_str(text)?;
        // An array would be taken for the fields in their order, in which nobody looks for a turn.
        if !text.trim_start().starts_with('{') {
            return Err(serde_json::Error::custom("expected an object").into());
        }
        item.check()?;
        Ok(item)
    }

    /// Exactly one of `text` and `content`, something in it, and functions that can be offered.
    ///
    /// # Errors
    /// [`InputError::Empty`], [`InputError::Both`] or [`InputError::Functions`].
    pub fn check(&self) -> Result<(), InputError> {
        if let Some(functions) = &self.functions {
            function::check(functions)?;
        }
        match (&self.text, &self.content) {
            (Some(_), Some(_)) => Err(InputError::Both),
            (Some(text), None) if !text.trim().is_empty() => Ok(()),
            (None, Some(blocks)) if !blocks.is_empty() => Ok(()),
            (Some(_), None) | (None, Some(_)) | (None, None) => Err(InputError::Empty),
        }
    }

    /// The prompt for a person to read: what is no text is named.
    pub fn shown(&self) -> String {
        let Some(blocks) = &self.content else {
            return self.text.clone().unwrap_or_default();
        };
        let blocks = blocks.iter().map(|block| match block["text"].as_str() {
            Some(text) => text.to_owned(),
            None => format!("[{}]", block["type"].as_str().unwrap_or("content")),
        });
        blocks.collect::<Vec<_>>().join("\n")
    }

    /// The turn that an item names, also when the rest of it is broken.
    pub fn turn_named(bytes: &[u8]) -> Option<TurnId> {
        #[derive(Deserialize)]
        struct OnlyTurn {
            turn: TurnId,
        }
        serde_json::from_slice::<OnlyTurn>(bytes)
            .ok()
            .map(|only| only.turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand_and_in_full() {
        let item = InputItem::parse(br#"{"text":"hello"}"#).unwrap();
        assert_eq!(
            (item.turn, item.mode, item.command),
            (None, Mode::Queue, false)
        );
        let item =
            InputItem::parse(br#"{"turn":"t1","text":"x","mode":"steer","later":1}"#).unwrap();
        assert_eq!(item.mode, Mode::Steer);
        assert_eq!(
            serde_json::to_string(&InputItem::text(TurnId::new("t1").unwrap(), "hi")).unwrap(),
            r#"{"turn":"t1","text":"hi"}"#
        );
    }

    #[test]
    fn refusals() {
        assert!(matches!(InputItem::parse(b"{}"), Err(InputError::Empty)));
        assert!(matches!(
            InputItem::parse(br#"{"text":" \n"}"#),
            Err(InputError::Empty)
        ));
        assert!(matches!(
            InputItem::parse(b"hello"),
            Err(InputError::NotJson(_))
        ));
        assert!(matches!(
            InputItem::parse(br#"["t1","hello"]"#),
            Err(InputError::NotJson(_))
        ));
        assert!(matches!(
            InputItem::parse(b"{\"text\":\"\xff\"}"),
            Err(InputError::NotUtf8(9))
        ));
        let both = br#"{"turn":"t9","text":"a","content":[{}]}"#;
        assert!(matches!(InputItem::parse(both), Err(InputError::Both)));
        assert_eq!(InputItem::turn_named(both).unwrap().as_str(), "t9");
        let nameless = br#"{"text":"a","functions":[{"name":""}]}"#;
        assert!(matches!(
            InputItem::parse(nameless),
            Err(InputError::Functions(FunctionError::Name(_)))
        ));
    }
}
