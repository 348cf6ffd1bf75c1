use std::fmt;
use std::str::FromStr;

use figment::value::Value;

use crate::config::given::{Complaint, FromValue, schema, text};

/// A command that may be run: words, each of which stands for one word of the command.
///
/// In a word `*` stands for any letters but spaces and slashes; a last word `**` stands for any
/// more words. What that comes to is decided where commands are run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandPattern {
    words: Vec<String>,
    is_open: bool,
}

impl CommandPattern {
    /// The words, without a last `**`. There is at least one.
    #[must_use]
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// Whether more words may follow.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.is_open
    }
}

impl fmt::Display for CommandPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words.join(" "))?;
        f.write_str(if self.is_open { " **" } else { "" })
    }
}

/// A text that is no pattern of commands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a pattern of commands")]
pub struct NotAPattern;

impl FromStr for CommandPattern {
    type Err = NotAPattern;

    fn from_str(given: &str) -> Result<Self, Self::Err> {
        let mut words: Vec<String> = given.split_whitespace().map(str::to_owned).collect();
        let is_open = words.last().is_some_and(|word| word == "**");
        words.truncate(words.len() - usize::from(is_open));
        if words.is_empty() || words.iter().any(|word| word.contains("**")) {
            return Err(NotAPattern);
        }
        Ok(Self { words, is_open })
    }
}

impl FromValue for CommandPattern {
    fn from_value(value: &Value) -> Result<Self, Complaint> {
        text(value)
            .and_then(|given| given.parse().ok())
            .ok_or_else(|| {
                let mend = "write a program and its arguments, such as `systemctl status *`, with ** \
                    only as a word of its own at the end";
                Complaint::not(value, "a pattern of commands", mend)
            })
    }
}

schema!(CommandPattern, { "type": "string", "pattern": "\\S" });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_words() {
        let pattern: CommandPattern = " systemctl  status * ".parse().unwrap();
        assert_eq!(pattern.words(), ["systemctl", "status", "*"]);
        assert!(!pattern.is_open());
        let open: CommandPattern = "journalctl -u ccpool **".parse().unwrap();
        assert_eq!(open.words(), ["journalctl", "-u", "ccpool"]);
        assert!(open.is_open());
        assert_eq!(open.to_string(), "journalctl -u ccpool **");
        for wrong in ["", " ", "**", "** ls", "ls ** -l", "ls a**"] {
            assert_eq!(
                wrong.parse::<CommandPattern>(),
                Err(NotAPattern),
                "{wrong:?}"
            );
        }
    }
}
