//! Asking a person, line by line, what an agent asks. Pure: lines go in, texts and answers come out.

use std::collections::{BTreeMap, VecDeque};

use ccpool::Answer;
use ccpool_protocol::permission::{Chosen, QUESTION};
use ccpool_protocol::{Event, RequestId};
use serde_json::Value;

/// Longest input that is shown, in characters; the rest is for `ccpool sessions permissions`.
const LONGEST_SHOWN: usize = 4000;

/// A request as a person is asked.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Asked {
    pub(super) request: RequestId,
    pub(super) name: String,
    pub(super) input: Value,
    pub(super) reason: Option<String>,
    /// `always` can be answered.
    pub(super) suggests: bool,
}

impl Asked {
    /// The request of an event, if it is one. What comes from a container may have any name.
    pub(super) fn of(event: &Event) -> Option<Self> {
        let Event::PermissionRequest {
            request_id,
            name,
            input,
            reason,
            suggestions,
            ..
        } = event
        else {
            return None;
        };
        Some(Self {
            request: RequestId::new(request_id.as_str()).ok()?,
            name: name.clone(),
            input: input.clone(),
            reason: reason.clone(),
            suggests: !suggestions.is_empty(),
        })
    }

    /// Those that a gateway lists.
    pub(super) fn listed(pending: &Value) -> Option<Self> {
        let suggestions = pending["suggestions"].as_array();
        Some(Self {
            request: RequestId::new(pending["requestId"].as_str()?).ok()?,
            name: pending["name"].as_str()?.to_owned(),
            input: pending["input"].clone(),
            reason: pending["reason"].as_str().map(str::to_owned),
            suggests: suggestions.is_some_and(|list| !list.is_empty()),
        })
    }

    fn questions(&self) -> &[Value] {
        let questions = self.input["questions"].as_array();
        questions
            .filter(|_| self.name == QUESTION)
            .map_or(&[], Vec::as_slice)
    }
}

/// What a line led to.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// To be shown before the next line.
    Say(String),
    /// The first request has its answer.
    Answer(RequestId, Answer),
}

/// The requests that wait for this person, the first of which is being asked.
#[derive(Debug, Default)]
pub(super) struct Dialogue {
    waiting: VecDeque<Asked>,
    /// What was chosen so far of the first one's questions.
    chosen: BTreeMap<String, Chosen>,
}

impl Dialogue {
    /// Whether a line is wanted.
    pub(super) fn is_open(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Another request. Gives what is to be shown, if it is the next one.
    pub(super) fn begin(&mut self, asked: Asked) -> Option<String> {
        if self
            .waiting
            .iter()
            .any(|known| known.request == asked.request)
        {
            return None;
        }
        self.waiting.push_back(asked);
        (self.waiting.len() == 1).then(|| self.ask())
    }

    /// A request is settled, by whomever. Gives what is to be shown next, if that changes.
    pub(super) fn settled(&mut self, request: &RequestId) -> Option<String> {
        let at = self
            .waiting
            .iter()
            .position(|asked| asked.request == *request)?;
        self.waiting.remove(at);
        if at > 0 {
            return None;
        }
        self.chosen.clear();
        self.is_open().then(|| self.ask())
    }

    /// The person has said something. The answered request stays until it is settled.
    pub(super) fn line(&mut self, line: &str) -> Option<Step> {
        let asked = self.waiting.front()?;
        let line = line.trim();
        if !asked.questions().is_empty() {
            return Some(self.choose(line));
        }
        let request = asked.request.clone();
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let answer = match word.to_ascii_lowercase().as_str() {
            "y" | "yes" if rest.is_empty() => Answer::allow(),
            "a" | "always" if rest.is_empty() && asked.suggests => Answer::Allow {
                input: None,
                answers: None,
                always: true,
            },
            "n" | "no" => Answer::Deny {
                message: Some(rest.trim().to_owned()).filter(|reason| !reason.is_empty()),
                interrupt: false,
            },
            _ => return Some(Step::Say(self.hint())),
        };
        Some(Step::Answer(request, answer))
    }

    /// A line in answer to the next question of `AskUserQuestion`.
    fn choose(&mut self, line: &str) -> Step {
        let asked = self.waiting.front().expect("a request is being asked");
        let request = asked.request.clone();
        if line.is_empty() {
            return Step::Answer(request, Answer::deny("The user does not want to answer."));
        }
        let question = &asked.questions()[self.chosen.len()];
        let options = labels(question);
        let label = |word: &str| {
            let number: usize = word.trim().parse().ok()?;
            options
                .get(number.checked_sub(1)?)
                .map(|label| (*label).to_owned())
        };
        let several: Option<Vec<String>> = line.split(',').map(label).collect();
        let chosen = match several {
            Some(labels) if labels.len() > 1 => Chosen::Several(labels),
            Some(labels) => Chosen::One(labels.concat()),
            None => Chosen::One(line.to_owned()),
        };
        self.chosen.insert(text(&question["question"]), chosen);
        let all = asked.questions().len();
        if self.chosen.len() < all {
            return Step::Say(self.hint());
        }
        let answers = std::mem::take(&mut self.chosen);
        Step::Answer(
            request,
            Answer::Allow {
                input: None,
                answers: Some(answers),
                always: false,
            },
        )
    }

    /// The first request in full.
    fn ask(&self) -> String {
        let asked = self.waiting.front().expect("a request waits");
        let mut lines = Vec::new();
        if asked.questions().is_empty() {
            lines.push(format!("{} wants to run:", tame(&asked.name)));
            lines.push(shown(&asked.input));
        }
        lines.extend(
            asked
                .reason
                .as_deref()
                .map(|why| format!("  ({})", tame(why))),
        );
        lines.push(self.hint());
        lines.join("\n")
    }

    /// What may be said now.
    fn hint(&self) -> String {
        let Some(asked) = self.waiting.front() else {
            return String::new();
        };
        match asked.questions().get(self.chosen.len()) {
            Some(question) => {
                let mut lines = vec![tame(&text(&question["question"]))];
                let options = labels(question).into_iter().enumerate();
                lines.extend(options.map(|(at, label)| format!("  {}) {}", at + 1, tame(label))));
                lines.push("a number, your own words, or nothing to decline: ".to_owned());
                lines.join("\n")
            }
            None if asked.suggests => {
                "allow it? y(es), a(lways in this session), n(o) and why: ".to_owned()
            }
            None => "allow it? y(es), n(o) and why: ".to_owned(),
        }
    }
}

fn labels(question: &Value) -> Vec<&str> {
    let options = question["options"].as_array().into_iter().flatten();
    options
        .filter_map(|option| option["label"].as_str())
        .collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// An input, field by field.
fn shown(input: &Value) -> String {
    let line = |(name, value): (&String, &Value)| {
        let value = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let value = tame(&value).replace('\n', "\n    ");
        format!("  {}: {value}", tame(name))
    };
    let whole = match input {
        Value::Object(fields) => fields.iter().map(line).collect::<Vec<_>>().join("\n"),
        Value::Null => "  (see `ccpool sessions tail`)".to_owned(),
        other => format!("  {}", tame(&other.to_string())),
    };
    let mut shown: String = whole.chars().take(LONGEST_SHOWN).collect();
    if shown.len() < whole.len() {
        shown.push_str("\n  … (longer than is shown here)");
    }
    shown
}

/// Without what a terminal would obey, and what would show a command in another order.
pub(super) fn tame(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let harmless = |c: char| c == '\n' || !(c.is_control() || turns(c));
    text.chars()
        .map(|c| if harmless(c) { c } else { '\u{fffd}' })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(request: &str, name: &str, input: Value, suggests: bool) -> Asked {
        Asked {
            request: RequestId::new(request).unwrap(),
            name: name.into(),
            input,
            reason: None,
            suggests,
        }
    }

    fn bash(request: &str, suggests: bool) -> Asked {
        asked(
            request,
            "Bash",
            json!({"command": "touch \u{1b}[2Jx"}),
            suggests,
        )
    }

    #[test]
    fn yes_no_and_always() {
        let answer = |line: &str, suggests| {
            let mut dialogue = Dialogue::default();
            let shown = dialogue.begin(bash("r1", suggests)).unwrap();
            assert!(shown.contains("command: touch \u{fffd}[2Jx"), "{shown}");
            assert_eq!(shown.contains("a(lways"), suggests);
            dialogue.line(line)
        };
        let named = |answer| Some(Step::Answer(RequestId::new("r1").unwrap(), answer));
        assert_eq!(answer("y\n", false), named(Answer::allow()));
        assert_eq!(
            answer("No, wait", true),
            answer("what?", true),
            "not a word of ours"
        );
        assert_eq!(answer("n not now", true), named(Answer::deny("not now")));
        let plain = Answer::Deny {
            message: None,
            interrupt: false,
        };
        assert_eq!(answer("no", true), named(plain));
        let always = Answer::Allow {
            input: None,
            answers: None,
            always: true,
        };
        assert_eq!(answer("a", true), named(always));
        for line in ["a", "", "yes please"] {
            assert!(matches!(answer(line, false), Some(Step::Say(_))), "{line}");
        }
    }

    #[test]
    fn one_after_another_and_those_that_others_settle_are_passed_over() {
        let mut dialogue = Dialogue::default();
        let id = |name: &str| RequestId::new(name).unwrap();
        assert!(dialogue.begin(bash("r1", false)).is_some());
        assert!(dialogue.begin(bash("r1", false)).is_none(), "it is known");
        assert!(dialogue.begin(bash("r2", false)).is_none(), "it waits");
        assert!(dialogue.begin(bash("r3", false)).is_none());
        assert_eq!(dialogue.settled(&id("r2")), None);
        assert!(dialogue.settled(&id("r1")).is_some(), "the next is asked");
        assert!(matches!(dialogue.line("y"), Some(Step::Answer(r, _)) if r == id("r3")));
        assert_eq!(dialogue.settled(&id("r3")), None);
        assert!(!dialogue.is_open());
        assert_eq!(dialogue.line("y"), None);
    }

    #[test]
    fn questions_by_number_or_in_ones_own_words() {
        let options = json!([{"label": "Red"}, {"label": "Blue"}]);
        let input = json!({"questions": [
            {"question": "Which?", "options": options},
            {"question": "And?", "options": options},
            {"question": "Why?", "options": options},
        ]});
        let mut dialogue = Dialogue::default();
        let shown = dialogue
            .begin(asked("r1", QUESTION, input.clone(), false))
            .unwrap();
        assert!(shown.contains("Which?\n  1) Red\n  2) Blue"), "{shown}");
        assert!(matches!(dialogue.line("2"), Some(Step::Say(text)) if text.contains("And?")));
        assert!(matches!(dialogue.line("1,2"), Some(Step::Say(_))));
        let Some(Step::Answer(
            _,
            Answer::Allow {
                answers: Some(answers),
                ..
            },
        )) = dialogue.line("because")
        else {
            panic!("not answered");
        };
        let told = json!({"Which?": "Blue", "And?": ["Red", "Blue"], "Why?": "because"});
        assert_eq!(json!(answers), told);
        let mut dialogue = Dialogue::default();
        dialogue.begin(asked("r1", QUESTION, input, false));
        let declined = dialogue.line("");
        assert!(matches!(
            declined,
            Some(Step::Answer(_, Answer::Deny { .. }))
        ));
    }

    #[test]
    fn nothing_is_shown_that_a_terminal_obeys() {
        assert_eq!(
            tame("a\u{1b}[2J\u{202e}b\r\nc é"),
            "a\u{fffd}[2J\u{fffd}b\u{fffd}\nc é"
        );
    }

    #[test]
    fn what_is_long_is_cut() {
        let input = json!({"content": "x".repeat(LONGEST_SHOWN * 2)});
        assert!(shown(&input).len() < LONGEST_SHOWN + 100);
    }
}
