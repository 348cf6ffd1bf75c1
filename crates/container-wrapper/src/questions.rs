//! Permission requests of the CLI: those that wait, and what became of the last ones.
//!
//! Both lists are kept in the session's state, in the step in which they change, so that a gateway
//! or a person finds them there whatever was missed.

use std::collections::VecDeque;

use ccpool_protocol::boot::Boot;
use ccpool_protocol::line::CanUseTool;
use ccpool_protocol::permission::{Answer, Behavior, PendingPermission, QUESTION};
use ccpool_protocol::permission::{PermissionOutcome, SettledBy, SettledPermission};
use ccpool_protocol::state::field;
use ccpool_protocol::{RequestId, TurnId, UnixMs};
use serde_json::Value;

use crate::effects::Effects;

/// Most requests that may wait; the CLI asks one after another, and its subagents beside it.
const MOST_OPEN: usize = 32;
/// How many settled ones are remembered.
const MOST_SETTLED: usize = 32;
/// Largest input and largest suggestions, in bytes of JSON, that the state repeats.
const LARGEST_LISTED: usize = 8 << 10;
/// Longest text of the CLI's that it repeats, in characters.
const LONGEST_TEXT: usize = 1024;

/// What is done with requests that nobody answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Policy {
    /// How long one waits, in ms; none for as long as it takes.
    pub(crate) patience_ms: Option<u64>,
    /// What it becomes then.
    pub(crate) on_timeout: Behavior,
    /// How long a call of the caller's functions waits for its result, in ms.
    pub(crate) function_ms: u64,
    /// A turn may end while a background task's request waits.
    pub(crate) outlive_turns: bool,
}

impl Policy {
    pub(crate) fn new(boot: &Boot) -> Self {
        Self {
            patience_ms: boot.permission_ms,
            on_timeout: boot.on_permission_timeout,
            function_ms: boot.function_ms,
            outlive_turns: boot.claude.background_tasks,
        }
    }

    /// What a request becomes that nobody has answered. A yes is no answer to a question.
    pub(crate) fn answer(&self, question: &Question) -> Answer {
        let waited = self.patience_ms.unwrap_or_default();
        match self.on_timeout {
            Behavior::Allow if question.listed.name != QUESTION => Answer::allow(),
            Behavior::Allow | Behavior::Deny => {
                Answer::deny(format!("nobody answered within {waited} ms"))
            }
        }
    }
}

/// A request that waits.
#[derive(Debug)]
pub(crate) struct Question {
    /// As the state has it.
    pub(crate) listed: PendingPermission,
    input: Value,
    suggestions: Vec<Value>,
}

impl Question {
    /// What the CLI is told by this answer.
    pub(crate) fn response(&self, answer: &Answer) -> Value {
        answer.response(&self.input, &self.suggestions)
    }
}

/// How a request is settled, but for its name and the time.
#[derive(Debug, Clone)]
pub(crate) struct Settling {
    pub(crate) outcome: PermissionOutcome,
    pub(crate) behavior: Option<Behavior>,
    pub(crate) by: SettledBy,
    pub(crate) ticket: Option<String>,
}

impl Settling {
    /// Somebody answered.
    pub(crate) fn answered(behavior: Behavior, ticket: Option<String>) -> Self {
        let outcome = match behavior {
            Behavior::Allow => PermissionOutcome::Allowed,
            Behavior::Deny => PermissionOutcome::Denied,
        };
        Self {
            outcome,
            behavior: Some(behavior),
            by: SettledBy::Caller,
            ticket,
        }
    }

    /// Nobody answered in time.
    pub(crate) fn timed_out(behavior: Behavior) -> Self {
        Self {
            outcome: PermissionOutcome::TimedOut,
            behavior: Some(behavior),
            by: SettledBy::Policy,
            ticket: None,
        }
    }

    /// `claude` asks no more.
    pub(crate) fn withdrawn() -> Self {
        Self {
            outcome: PermissionOutcome::Withdrawn,
            behavior: None,
            by: SettledBy::Claude,
            ticket: None,
        }
    }
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Questions {
    policy: Policy,
    open: Vec<Question>,
    settled: VecDeque<SettledPermission>,
}

impl Questions {
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            policy,
            open: Vec::new(),
            settled: VecDeque::new(),
        }
    }

    pub(crate) fn policy(&self) -> Policy {
        self.policy
    }

    /// Names those that wait.
    pub(crate) fn open(&self) -> impl Iterator<Item = &RequestId> {
        self.open.iter().map(|question| &question.listed.request_id)
    }

    /// Whether this one waits.
    pub(crate) fn is_open(&self, request: &RequestId) -> bool {
        self.open().any(|open| open == request)
    }

    /// Whether so many wait that another cannot.
    pub(crate) fn is_full(&self) -> bool {
        self.open.len() >= MOST_OPEN
    }

    /// When a request that comes now is answered by the policy.
    pub(crate) fn expiry(&self, now: UnixMs) -> Option<UnixMs> {
        Some(now.saturating_add(self.policy.patience_ms?))
    }

    /// The CLI asks. `seq` is that of its line.
    pub(crate) fn ask(
        &mut self,
        request_id: RequestId,
        asked: &CanUseTool,
        (turn, seq): (&TurnId, u64),
        now: UnixMs,
        out: &mut Effects,
    ) {
        let fits = |value: &Value| value.to_string().len() <= LARGEST_LISTED;
        let input = fits(&asked.input).then(|| asked.input.clone());
        let suggestions = Value::Array(asked.permission_suggestions.clone());
        let fitting = fits(&suggestions);
        let listed = PendingPermission {
            request_id,
            turn: turn.clone(),
            seq,
            tool_use_id: cut(&asked.tool_use_id),
            name: cut(&asked.tool_name),
            cut: input.is_none() || !fitting,
            input,
            reason: asked.decision_reason.as_deref().map(cut),
            suggestions: match fitting {
                true => asked.permission_suggestions.clone(),
                false => Vec::new(),
            },
            asked_at: now,
            expires_at: self.expiry(now),
        };
        self.open.push(Question {
            listed,
            input: asked.input.clone(),
            suggestions: asked.permission_suggestions.clone(),
        });
        self.tell_open(out);
    }

    /// Takes one out of those that wait; whoever does settles it.
    pub(crate) fn take(&mut self, request: &str) -> Option<Question> {
        let named = |question: &Question| question.listed.request_id.as_str() == request;
        let at = self.open.iter().position(named)?;
        Some(self.open.remove(at))
    }

    /// Takes out all that wait, or with a turn those that were asked in it.
    pub(crate) fn take_all(&mut self, of: Option<&TurnId>) -> Vec<Question> {
        let asked = |question: &mut Question| of.is_none_or(|turn| question.listed.turn == *turn);
        self.open.extract_if(.., asked).collect()
    }

    /// Remembers what became of one.
    pub(crate) fn settle(
        &mut self,
        question: &Question,
        settling: Settling,
        now: UnixMs,
        out: &mut Effects,
    ) {
        if self.settled.len() >= MOST_SETTLED {
            self.settled.pop_front();
        }
        self.settled.push_back(SettledPermission {
            request_id: question.listed.request_id.clone(),
            outcome: settling.outcome,
            behavior: settling.behavior,
            by: settling.by,
            ticket: settling.ticket,
            at: now,
        });
        self.tell_open(out);
        let settled = serde_json::to_string(&self.settled).expect("it has string keys");
        out.state(field::PERMISSIONS_SETTLED, settled);
    }

    fn tell_open(&self, out: &mut Effects) {
        let open: Vec<_> = self.open.iter().map(|question| &question.listed).collect();
        let text = match open.is_empty() {
            true => String::new(),
            false => serde_json::to_string(&open).expect("it has string keys"),
        };
        out.state(field::PERMISSIONS, text);
    }
}

/// Of bounded length.
pub(crate) fn cut(text: &str) -> String {
    text.chars().take(LONGEST_TEXT).collect()
}

#[cfg(test)]
mod tests;
