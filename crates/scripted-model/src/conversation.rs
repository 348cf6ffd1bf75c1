//! A Messages API request, read as a conversation: which prompts were given, and how far the
//! newest turn has come.

use serde::Deserialize;
use serde_json::Value;

/// The parts of a Messages API request that decide the answer; everything else is accepted and
/// skipped.
#[derive(Debug, Deserialize)]
pub struct ApiRequest {
    pub model: String,
    #[serde(default)]
    pub stream: Option<bool>,
    #[serde(default)]
    pub max_tokens: Option<u64>,
    pub messages: Vec<ApiMessage>,
    #[serde(default)]
    pub tools: Option<Vec<ApiTool>>,
    #[serde(default)]
    pub metadata: Option<Metadata>,
}

/// One entry of `messages`; the CLI also sends the role `system` (since 2.1.329).
#[derive(Debug, Deserialize)]
pub struct ApiMessage {
    pub role: String,
    #[serde(default)]
    pub content: Content,
}

/// A message's content.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Content {
    Text(String),
    Blocks(Vec<ApiBlock>),
    /// Some shape that this stand-in does not know.
    Other(Value),
}

impl Default for Content {
    fn default() -> Self {
        Self::Blocks(Vec::new())
    }
}

/// A content block; only text and tool results are looked into.
#[derive(Debug, Deserialize)]
pub struct ApiBlock {
    #[serde(rename = "type", default)]
    pub kind: String,
    #[serde(default)]
    pub text: Option<String>,
    #[serde(default)]
    pub content: Option<Value>,
}

/// A tool definition's name.
#[derive(Debug, Deserialize)]
pub struct ApiTool {
    #[serde(default)]
    pub name: Option<String>,
}

/// The request's `metadata`.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    #[serde(default)]
    pub user_id: Option<String>,
}

/// The prompts of a request and the state of its newest turn.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Conversation {
    /// What the user wrote, oldest first, without the CLI's own additions.
    pub prompts: Vec<Prompt>,
    /// Where the newest turn begins in `prompts`. Prompts after it were steered into the turn.
    pub turn: usize,
    /// Assistant answers since the newest turn began.
    pub rounds: usize,
    /// Text of the newest tool result of the newest turn.
    pub tool_result: Option<String>,
}

/// Something that the user wrote.
#[derive(Debug, PartialEq, Eq)]
pub struct Prompt {
    pub text: String,
    /// Assistant answers of its turn that came before it: 0 but for steered prompts.
    pub rounds_before: usize,
}

impl Conversation {
    /// Reads a request's messages.
    #[must_use]
    pub fn of(messages: &[ApiMessage]) -> Self {
        let mut conversation = Self::default();
        let mut after_assistant = false;
        for message in messages {
            if message.role == "assistant" {
                // Neighbouring assistant messages are one answer.
                conversation.rounds += usize::from(!after_assistant);
                after_assistant = true;
                continue;
            }
            match &message.content {
                Content::Text(text) => conversation.read(&message.role, text, &mut after_assistant),
                Content::Blocks(blocks) => {
                    for block in blocks {
                        match (block.kind.as_str(), &block.text) {
                            ("text", Some(text)) => {
                                conversation.read(&message.role, text, &mut after_assistant);
                            }
                            ("tool_result", _) => {
                                conversation.tool_result = Some(result_text(&block.content));
                                after_assistant = false;
                            }
                            _ => {}
                        }
                    }
                }
                Content::Other(_) => {}
            }
        }
        conversation
    }

    /// The newest thing that the user wrote; empty if there is none.
    #[must_use]
    pub fn newest_prompt(&self) -> &str {
        self.prompts.last().map_or("", |prompt| &prompt.text)
    }

    fn read(&mut self, role: &str, text: &str, after_assistant: &mut bool) {
        match Saying::of(role, text) {
            Saying::Prompt(text) => {
                self.turn = self.prompts.len();
                self.rounds = 0;
                self.tool_result = None;
                self.prompts.push(Prompt {
                    text,
                    rounds_before: 0,
                });
                *after_assistant = false;
            }
            Saying::Steered(text) => {
                self.prompts.push(Prompt {
                    text,
                    rounds_before: self.rounds,
                });
                *after_assistant = false;
            }
            Saying::GoOn => {
                // After an empty answer there is no assistant message to count.
                self.rounds += usize::from(!*after_assistant);
                *after_assistant = false;
            }
            Saying::Aside => {}
        }
    }
}

/// What a text outside of assistant messages is.
enum Saying {
    /// A prompt that begins a turn.
    Prompt(String),
    /// A prompt given while the turn was running.
    Steered(String),
    /// The CLI asks the model to go on after a cut, empty or refused answer.
    GoOn,
    /// Anything else that the CLI adds.
    Aside,
}

/// How the CLI (2.1.329) begins the user texts by which it continues a turn on its own.
const GO_ON: [&str; 5] = [
    "Output token limit hit",
    "Your response above was cut off mid-stream",
    "Your response above was stopped",
    "[Your previous response",
    "Your previous response",
];

/// How the CLI begins texts that report rather than ask.
const ASIDE: [&str; 6] = [
    "[Request interrupted by user",
    "[Image: source: ",
    "[Image could not be processed: ",
    "<local-command-",
    "<command-name>",
    "<command-message>",
];

/// What the CLI (2.1.329) puts before and after a prompt that is steered into a running turn.
const STEERED_BEFORE: &str = "The user sent a new message while you were working:\n";
const STEERED_AFTER: &str = "\n\nThis is how Claude Code surfaces messages";

impl Saying {
    fn of(role: &str, text: &str) -> Self {
        if let Some((_, steered)) = text.split_once(STEERED_BEFORE) {
            let steered = steered
                .split_once(STEERED_AFTER)
                .map_or(steered, |(text, _)| text);
            return Self::Steered(without_reminders(steered));
        }
        if role != "user" {
            return Self::Aside;
        }
        let text = without_reminders(text);
        if text.is_empty() || ASIDE.iter().any(|start| text.starts_with(start)) {
            Self::Aside
        } else if GO_ON.iter().any(|start| text.starts_with(start)) {
            Self::GoOn
        } else {
            Self::Prompt(text)
        }
    }
}

fn without_reminders(text: &str) -> String {
    const OPEN: &str = "<system-reminder>";
    const CLOSE: &str = "</system-reminder>";
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, reminder)) = rest.split_once(OPEN) {
        kept.push_str(before);
        rest = reminder.split_once(CLOSE).map_or("", |(_, after)| after);
    }
    kept.push_str(rest);
    kept.trim().to_owned()
}

fn result_text(content: &Option<Value>) -> String {
    match content {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(blocks)) => {
            let texts: Vec<_> = blocks
                .iter()
                .filter_map(|block| block["text"].as_str())
                .collect();
            texts.join("\n")
        }
        Some(_) | None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(messages: Value) -> Conversation {
        Conversation::of(&Vec::<ApiMessage>::deserialize(messages).unwrap())
    }

    fn texts(conversation: &Conversation) -> Vec<&str> {
        conversation
            .prompts
            .iter()
            .map(|prompt| prompt.text.as_str())
            .collect()
    }

    #[test]
    fn reminders_and_system_entries_are_no_prompts() {
        let conversation = read(json!([
            {"role": "user", "content": [
                {"type": "text", "text": "<system-reminder>\nbe nice\n</system-reminder>\n"},
                {"type": "text", "text": "<system-reminder>x</system-reminder>Hello"}]},
            {"role": "system", "content": [{"type": "text", "text": "# Environment"}]},
            {"role": "system", "content": {"strange": true}},
        ]));
        assert_eq!(texts(&conversation), ["Hello"]);
        assert_eq!(conversation.rounds, 0);
    }

    #[test]
    fn tool_rounds_are_counted_and_results_read() {
        let conversation = read(json!([
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": [{"type": "text", "text": "let me"}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "Bash"}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t", "content": "one"},
                {"type": "tool_result", "tool_use_id": "u",
                 "content": [{"type": "text", "text": "two"}, {"type": "image"}]}]},
        ]));
        assert_eq!(conversation.rounds, 1);
        assert_eq!(conversation.tool_result.as_deref(), Some("two"));
        assert_eq!(texts(&conversation), ["go"]);
    }

    #[test]
    fn each_prompt_begins_a_turn() {
        let conversation = read(json!([
            {"role": "user", "content": "first"},
            {"role": "assistant", "content": "a"},
            {"role": "user", "content": "second"},
            {"role": "user", "content": [
                {"type": "text", "text": "[Request interrupted by user]"},
                {"type": "text", "text": "third"}]},
        ]));
        assert_eq!(texts(&conversation), ["first", "second", "third"]);
        assert_eq!((conversation.turn, conversation.rounds), (2, 0));
    }

    #[test]
    fn what_the_cli_says_of_an_image_is_no_prompt() {
        let conversation = read(json!([
            {"role": "user", "content": [
                {"type": "text", "text": "Look"},
                {"type": "image", "source": {}},
                {"type": "text", "text": "[Image: source: /tmp/images/1.png]"},
                {"type": "text", "text": "[Image could not be processed: it is none]"}]},
        ]));
        assert_eq!(texts(&conversation), ["Look"]);
    }

    #[test]
    fn a_steered_prompt_stays_in_its_turn() {
        let conversation = read(json!([
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": [{"type": "tool_use"}]},
            {"role": "user", "content": [{"type": "tool_result", "content": "x"}]},
            {"role": "system", "content": [{"type": "text", "text":
                "The user sent a new message while you were working:\nfaster\n\nThis is how \
                 Claude Code surfaces messages the user sends mid-turn"}]},
        ]));
        assert_eq!(texts(&conversation), ["go", "faster"]);
        assert_eq!((conversation.turn, conversation.rounds), (0, 1));
        assert_eq!(conversation.prompts[1].rounds_before, 1);
    }

    #[test]
    fn continuations_by_the_cli_are_rounds() {
        let cut = read(json!([
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": "half"},
            {"role": "user", "content": "Output token limit hit. Resume."},
        ]));
        assert_eq!((cut.rounds, texts(&cut)), (1, vec!["go"]));
        let empty = read(json!([
            {"role": "user", "content": [
                {"type": "text", "text": "go"},
                {"type": "text", "text": "[Your previous response had no text.]"}]},
        ]));
        assert_eq!((empty.rounds, texts(&empty)), (1, vec!["go"]));
    }
}
