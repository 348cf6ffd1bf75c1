//! Questions that the CLI asks before a tool acts, their answers, and what became of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{RequestId, TurnId, UnixMs};

/// The tool that asks the person something instead of asking for a permission.
pub const QUESTION: &str = "AskUserQuestion";

/// Longest reason of a denial, in bytes.
pub const LONGEST_MESSAGE: usize = 16 << 10;
/// Largest changed input, and largest set of answers, in bytes of JSON.
pub const LARGEST_INPUT: usize = 1 << 20;
/// Longest list of requests that is read from a session's state, in bytes: containers write it.
const LONGEST_LIST: usize = 1 << 20;

/// A request that waits for its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PendingPermission {
    /// Its name, made by the CLI.
    pub request_id: RequestId,
    /// The turn in which it was asked.
    pub turn: TurnId,
    /// The `seq` of its `permission_request` event.
    pub seq: u64,
    /// The call that waits.
    #[serde(default)]
    pub tool_use_id: String,
    /// The tool.
    pub name: String,
    /// What the tool is to be called with; none if that is too large to be listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    /// Why it is asked, by the CLI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Changes of the rules that would answer it for good.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suggestions: Vec<Value>,
    /// Input or suggestions were too large to be listed; its event has them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
    /// When it was asked.
    pub asked_at: UnixMs,
    /// When the policy answers it; never, if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<UnixMs>,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PermissionOutcome {
    /// Somebody allowed it.
    Allowed,
    /// Somebody denied it.
    Denied,
    /// It is no longer asked: the turn was interrupted, or `claude` is gone.
    Withdrawn,
    /// Nobody answered in time, so the policy did.
    TimedOut,
}

impl PermissionOutcome {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Allowed, Self::Denied, Self::Withdrawn, Self::TimedOut];

    /// As on the wire and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Withdrawn => "withdrawn",
            Self::TimedOut => "timed_out",
        }
    }
}

/// What the CLI was told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Behavior {
    /// The tool may act.
    Allow,
    /// It may not.
    #[default]
    Deny,
}

/// Who ended a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettledBy {
    /// Somebody who answered.
    Caller,
    /// `permissions.onTimeout`, or a limit of ccpool's own.
    Policy,
    /// `claude`, which asks no more or is gone.
    Claude,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SettledPermission {
    /// Its name.
    pub request_id: RequestId,
    /// How it ended.
    pub outcome: PermissionOutcome,
    /// What the CLI was told; nothing when it asks no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behavior: Option<Behavior>,
    /// Who ended it.
    pub by: SettledBy,
    /// Names the answer that counted, as its sender had named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// When.
    pub at: UnixMs,
}

/// What was chosen of a question's options.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Chosen {
    /// A label, or a text of one's own.
    One(String),
    /// Several labels.
    Several(Vec<String>),
}

/// An answer to a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "behavior", rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    /// The tool may act.
    Allow {
        /// With another input than the asked one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        input: Option<Map<String, Value>>,
        /// To `AskUserQuestion`: each question's text, and what is chosen.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answers: Option<BTreeMap<String, Chosen>>,
        /// For the rest of the session: all suggestions of the request become rules.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        always: bool,
    },
    /// It may not.
    Deny {
        /// What the model is told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// The turn ends, too.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        interrupt: bool,
    },
}

/// An answer that does not fit its request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Only `AskUserQuestion` takes answers.
    #[error("`answers` are for AskUserQuestion, and this request is of {0}; leave them out")]
    NoQuestion(String),
    /// A question was allowed, but not answered.
    #[error("AskUserQuestion wants `answers`: an object from each question's text to a label")]
    Unanswered,
    /// A question that was not asked.
    #[error("`{given}` is no question of this request; it asks {asked}")]
    UnknownQuestion {
        /// The answer's question.
        given: String,
        /// Those of the request.
        asked: String,
    },
    /// Both an input and answers.
    #[error("`input` and `answers` exclude each other: answers are put into the asked input")]
    Both,
    /// There is nothing to make a rule of.
    #[error("this request suggests no rule that `always` could set; allow it without")]
    NothingAlways,
    /// Beyond a limit.
    #[error("{what} may have at most {limit} bytes")]
    TooLarge {
        /// Of what.
        what: &'static str,
        /// In bytes.
        limit: usize,
    },
}

impl Answer {
    /// A plain yes.
    pub fn allow() -> Self {
        Self::Allow {
            input: None,
            answers: None,
            always: false,
        }
    }

    /// A plain no, with what the model is told.
    pub fn deny(message: impl Into<String>) -> Self {
        Self::Deny {
            message: Some(message.into()),
            interrupt: false,
        }
    }

    /// What the CLI is told by it.
    pub fn behavior(&self) -> Behavior {
        match self {
            Self::Allow { .. } => Behavior::Allow,
            Self::Deny { .. } => Behavior::Deny,
        }
    }

    /// Whether it fits the request.
    ///
    /// # Errors
    /// [`AnswerError`] says what is wrong and what would be right.
    pub fn check(&self, to: &PendingPermission) -> Result<(), AnswerError> {
        let (input, answers, always) = match self {
            Self::Allow {
                input,
                answers,
                always,
            } => (input, answers, *always),
            Self::Deny { message, .. } => {
                let length = message.as_ref().map_or(0, String::len);
                return within("the message", length, LONGEST_MESSAGE);
            }
        };
        match (input, answers) {
            (Some(_), Some(_)) => return Err(AnswerError::Both),
            (Some(input), None) => within("the input", length(input), LARGEST_INPUT)?,
            (None, Some(answers)) => {
                within("the answers", length(answers), LARGEST_INPUT)?;
                if to.name != QUESTION {
                    return Err(AnswerError::NoQuestion(to.name.clone()));
                }
                known(answers, to)?;
            }
            (None, None) if to.name == QUESTION => return Err(AnswerError::Unanswered),
            (None, None) => {}
        }
        if always && to.suggestions.is_empty() && !to.cut {
            return Err(AnswerError::NothingAlways);
        }
        Ok(())
    }

    /// As the CLI takes it. `asked` is the input that the CLI named, `suggestions` are its own;
    /// they hold for the session and are written to no file.
    pub fn response(&self, asked: &Value, suggestions: &[Value]) -> Value {
        match self {
            Self::Allow {
                input,
                answers,
                always,
            } => {
                let mut updated = input.clone().map_or_else(|| asked.clone(), Value::Object);
                if let (Some(answers), Some(fields)) = (answers, updated.as_object_mut()) {
                    let texts = answers.iter().map(|(question, chosen)| {
                        let text = match chosen {
                            Chosen::One(text) => text.clone(),
                            Chosen::Several(labels) => labels.join(", "),
                        };
                        (question.clone(), Value::String(text))
                    });
                    fields.insert("answers".to_owned(), Value::Object(texts.collect()));
                }
                // Versions before 2.1.329 take no yes without an input.
                let mut response = json!({"behavior": "allow", "updatedInput": updated});
                if *always {
                    response["updatedPermissions"] =
                        suggestions.iter().map(of_the_session).collect();
                }
                response
            }
            Self::Deny { message, interrupt } => {
                let message = message.as_deref().unwrap_or("The user said no.");
                let mut response = json!({"behavior": "deny", "message": message});
                if *interrupt {
                    response["interrupt"] = Value::Bool(true);
                }
                response
            }
        }
    }
}

fn of_the_session(suggestion: &Value) -> Value {
    let mut rule = suggestion.clone();
    if let Some(fields) = rule.as_object_mut() {
        fields.insert("destination".to_owned(), Value::from("session"));
    }
    rule
}

fn within(what: &'static str, length: usize, limit: usize) -> Result<(), AnswerError> {
    if length > limit {
        return Err(AnswerError::TooLarge { what, limit });
    }
    Ok(())
}

fn length(value: &impl Serialize) -> usize {
    serde_json::to_string(value).map_or(usize::MAX, |json| json.len())
}

/// Whether each answer is to a question that was asked, where the questions are known.
fn known(answers: &BTreeMap<String, Chosen>, to: &PendingPermission) -> Result<(), AnswerError> {
    let Some(asked) = to.questions() else {
        return Ok(());
    };
    match answers
        .keys()
        .find(|given| !asked.contains(&given.as_str()))
    {
        None => Ok(()),
        Some(given) => Err(AnswerError::UnknownQuestion {
            given: given.clone(),
            asked: asked.join(", "),
        }),
    }
}

impl PendingPermission {
    /// The texts of the questions of an `AskUserQuestion`; none when they are not listed.
    pub fn questions(&self) -> Option<Vec<&str>> {
        let questions = self.input.as_ref()?["questions"].as_array()?;
        let texts = questions.iter().filter_map(|q| q["question"].as_str());
        Some(texts.collect())
    }
}

/// Reads one of the two lists in a session's state. A container may have written anything, so what
/// is no entry is passed over.
pub fn listed<T: for<'de> Deserialize<'de>>(text: &str) -> Vec<T> {
    if text.len() > LONGEST_LIST {
        return Vec::new();
    }
    let entries: Vec<Value> = serde_json::from_str(text).unwrap_or_default();
    let entries = entries.into_iter();
    entries
        .filter_map(|entry| serde_json::from_value(entry).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(name: &str, input: Value, suggestions: Vec<Value>) -> PendingPermission {
        PendingPermission {
            request_id: RequestId::new("r1").unwrap(),
            turn: TurnId::new("t1").unwrap(),
            seq: 1,
            tool_use_id: "u1".into(),
            name: name.into(),
            input: Some(input),
            reason: None,
            suggestions,
            cut: false,
            asked_at: 1,
            expires_at: None,
        }
    }

    fn answer(text: &str) -> Answer {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn bodies_are_read_strictly() {
        assert_eq!(answer(r#"{"behavior":"allow"}"#), Answer::allow());
        assert_eq!(
            answer(r#"{"behavior":"deny","message":"no"}"#),
            Answer::deny("no")
        );
        for wrong in [
            "{}",
            r#"{"behavior":"maybe"}"#,
            r#"{"behavior":"allow","message":"x"}"#,
            r#"{"behavior":"deny","always":true}"#,
            r#"{"behavior":"allow","input":[1]}"#,
            r#"{"behavior":"allow","updatedInput":{}}"#,
        ] {
            assert!(serde_json::from_str::<Answer>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn answers_fit_their_requests() {
        let bash = pending("Bash", json!({"command": "x"}), Vec::new());
        let input = json!({"questions": [{"question": "Which?"}]});
        let question = pending(QUESTION, input, Vec::new());
        let check = |text: &str, to: &PendingPermission| answer(text).check(to);
        assert_eq!(check(r#"{"behavior":"allow"}"#, &bash), Ok(()));
        let always = r#"{"behavior":"allow","always":true}"#;
        assert_eq!(check(always, &bash), Err(AnswerError::NothingAlways));
        let suggesting = pending("Bash", json!({}), vec![json!({"type": "setMode"})]);
        assert_eq!(check(always, &suggesting), Ok(()));
        let chosen = r#"{"behavior":"allow","answers":{"Which?":"Blue"}}"#;
        assert_eq!(check(chosen, &question), Ok(()));
        assert_eq!(
            check(chosen, &bash),
            Err(AnswerError::NoQuestion("Bash".into()))
        );
        assert_eq!(
            check(r#"{"behavior":"allow"}"#, &question),
            Err(AnswerError::Unanswered)
        );
        let other = r#"{"behavior":"allow","answers":{"What?":"Blue"}}"#;
        assert!(matches!(
            check(other, &question),
            Err(AnswerError::UnknownQuestion { .. })
        ));
        let both = r#"{"behavior":"allow","answers":{"Which?":"Blue"},"input":{}}"#;
        assert_eq!(check(both, &question), Err(AnswerError::Both));
        let long = Answer::deny("x".repeat(LONGEST_MESSAGE + 1));
        assert!(matches!(
            long.check(&bash),
            Err(AnswerError::TooLarge { .. })
        ));
    }

    #[test]
    fn responses_are_the_clis() {
        let asked = json!({"command": "x"});
        assert_eq!(
            Answer::allow().response(&asked, &[]),
            json!({"behavior": "allow", "updatedInput": {"command": "x"}})
        );
        let suggestion = json!({"type": "addRules", "destination": "localSettings"});
        assert_eq!(
            answer(r#"{"behavior":"allow","always":true,"input":{"command":"y"}}"#)
                .response(&asked, &[suggestion]),
            json!({"behavior": "allow", "updatedInput": {"command": "y"},
                "updatedPermissions": [{"type": "addRules", "destination": "session"}]})
        );
        let answers = r#"{"behavior":"allow","answers":{"A?":"x","B?":["y","z"]}}"#;
        assert_eq!(
            answer(answers).response(&json!({"questions": []}), &[]),
            json!({"behavior": "allow",
                "updatedInput": {"questions": [], "answers": {"A?": "x", "B?": "y, z"}}})
        );
        assert_eq!(
            answer(r#"{"behavior":"deny","message":"no","interrupt":true}"#).response(&asked, &[]),
            json!({"behavior": "deny", "message": "no", "interrupt": true})
        );
    }

    #[test]
    fn what_a_container_wrote_is_read_with_care() {
        let one = pending("Bash", json!({}), Vec::new());
        let list = json!([one, {"requestId": "a b"}, 3]).to_string();
        assert_eq!(listed::<PendingPermission>(&list), [one]);
        for junk in ["", "junk", "{}", "null"] {
            assert!(listed::<PendingPermission>(junk).is_empty(), "{junk}");
        }
        let long = format!("[{}]", " ".repeat(LONGEST_LIST));
        assert!(listed::<SettledPermission>(&long).is_empty());
    }
}
