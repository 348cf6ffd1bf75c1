//! What a reader of a session gets to see, and what always holds for it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ccpool_protocol::envelope::Envelope;
use ccpool_protocol::event::{Event, ReplyEvent};
use ccpool_protocol::fold::{Ending, Fold, Stamp};
use ccpool_protocol::line::{Line, WrapperLine};
use serde_json::Value;

use super::short;
use crate::support::assert_gapless;

/// A session's envelopes and the events that they fold into.
pub(crate) struct Transcript {
    envelopes: Vec<Envelope>,
    events: Vec<ReplyEvent>,
}

impl Transcript {
    /// Folds as a reader does who was there from the first envelope on.
    pub(crate) fn read(envelopes: Vec<Envelope>) -> Self {
        let events = fold(&envelopes);
        Self { envelopes, events }
    }

    /// The events of one turn.
    pub(crate) fn of<'a>(&'a self, turn: &'a str) -> impl Iterator<Item = &'a ReplyEvent> {
        let events = self.events.iter();
        events.filter(move |event| event.turn.as_str() == turn)
    }

    /// The newest ending that is not that of a prompt which another turn took in.
    pub(crate) fn newest_ending(&self) -> Option<&ReplyEvent> {
        let endings = self.events.iter().rev();
        let mut endings = endings.filter(|event| event.event.is_terminal());
        endings.find(|event| !self.was_taken_in(event.turn.as_str()))
    }

    /// How many turns have ended, prompts that another turn took in not counted.
    pub(crate) fn turns(&self) -> usize {
        let endings = self
            .events
            .iter()
            .filter(|event| event.event.is_terminal() && !self.was_taken_in(event.turn.as_str()));
        endings.count()
    }

    /// The events for which `counts` holds, one line for each stretch of a turn. What can differ from
    /// run to run is not in it: how many pieces a text came in, and how often a status was repeated.
    pub(crate) fn in_short(&self, counts: impl Fn(&ReplyEvent) -> bool) -> String {
        let mut lines: Vec<(String, Vec<String>)> = Vec::new();
        for event in self.events.iter().filter(|event| counts(event)) {
            let name = match &event.origin {
                Some(_) => "unasked",
                None => event.turn.as_str(),
            };
            if lines.last().is_none_or(|(last, _)| last != name) {
                lines.push((name.to_owned(), Vec::new()));
            }
            let (_, words) = lines.last_mut().unwrap();
            let word = word(event);
            let repeats =
                ["text_delta", "thinking"].contains(&word.as_str()) || word.starts_with("status(");
            if !(repeats && words.last() == Some(&word)) {
                words.push(word);
            }
        }
        let lines = lines.into_iter();
        let lines: Vec<String> = lines
            .map(|(turn, words)| format!("{turn}: {}", short::joined(words)))
            .collect();
        lines.join("\n")
    }

    /// What is promised whatever happens. `pushed`: the prompts' turns.
    pub(crate) fn check(&self, pushed: &[String]) {
        assert_gapless(&self.envelopes);
        assert_eq!(self.envelopes[0].seq, 1, "the buffer holds the session");
        for event in &self.events {
            let known = !matches!(event.event, Event::Other { .. } | Event::Gap { .. });
            assert!(known, "{event:?}");
        }
        self.check_endings(pushed);
        self.check_tools();
        for turn in self.named() {
            let events: Vec<&ReplyEvent> = self.of(turn).collect();
            check_order(&events);
            check_text(&events);
            self.check_reader_of(turn);
        }
    }

    /// Every prompt has one ending, and so has every turn that nobody asked for.
    fn check_endings(&self, pushed: &[String]) {
        let mut ended: Vec<&str> = Vec::new();
        let mut expected: BTreeSet<&str> = pushed.iter().map(String::as_str).collect();
        assert_eq!(expected.len(), pushed.len(), "no two turns of one name");
        for event in &self.events {
            if event.event.is_terminal() {
                ended.push(event.turn.as_str());
            }
            if event.origin.is_some() {
                expected.insert(event.turn.as_str());
            }
        }
        let expected: Vec<&str> = expected.into_iter().collect();
        ended.sort_unstable();
        assert_eq!(ended, expected, "one ending each");
    }

    /// A result answers a call that was made, and each call at most once; when a turn succeeds, it has
    /// no call open but those of subagents.
    fn check_tools(&self) {
        let mut open: HashMap<&str, &ReplyEvent> = HashMap::new();
        for event in &self.events {
            match &event.event {
                Event::ToolUse { tool_use_id, .. } => {
                    assert!(open.insert(tool_use_id, event).is_none(), "{event:?}");
                }
                Event::ToolResult { tool_use_id, .. } => {
                    let call = open.remove(tool_use_id.as_str());
                    assert!(call.is_some(), "{event:?}");
                }
                Event::Completed(_) => {
                    let mut open = open.values().filter(|call| call.turn == event.turn);
                    assert!(open.all(|call| is_inside(call)), "{event:?}: {open:?}");
                }
                _ => {}
            }
        }
    }

    /// Who reads only this turn gets the same of it.
    fn check_reader_of(&self, turn: &str) {
        let envelopes = self.envelopes.iter();
        let own = envelopes.filter(|envelope| envelope.turn.as_str() == turn);
        let own: Vec<Envelope> = own.cloned().collect();
        let here: Vec<&ReplyEvent> = self.of(turn).collect();
        let there = fold(&own);
        assert_eq!(here, there.iter().collect::<Vec<_>>(), "{turn}");
    }

    /// Whether all that there is of a turn is the ending of the turn before, without its cost.
    fn was_taken_in(&self, turn: &str) -> bool {
        let at = self.envelopes.iter().position(|e| e.turn.as_str() == turn);
        let Some(before) = at.and_then(|at| at.checked_sub(1)) else {
            return false;
        };
        let ending = ending(&self.envelopes[before + 1]);
        ending.is_some() && ending == self::ending(&self.envelopes[before])
    }

    /// The turns that nobody asked for and that have ended.
    pub(crate) fn unasked(&self) -> Vec<String> {
        let events = self.events.iter();
        let endings = events.filter(|event| event.origin.is_some() && event.event.is_terminal());
        endings.map(|event| event.turn.to_string()).collect()
    }

    fn named(&self) -> BTreeSet<&str> {
        let events = self.events.iter();
        events.map(|event| event.turn.as_str()).collect()
    }
}

fn line(envelope: &Envelope) -> Line {
    Line::parse(envelope.line.get())
        .unwrap_or_else(|error| panic!("{error}: {}", envelope.line.get()))
}

/// How a turn ended, if this says so, but for what it cost.
fn ending(envelope: &Envelope) -> Option<Value> {
    let Line::Wrapper(WrapperLine::Terminal { event }) = line(envelope) else {
        return None;
    };
    let mut ending = serde_json::to_value(event).unwrap();
    let fields = ending.as_object_mut().unwrap();
    fields.retain(|name, _| !["usage", "answerUsage", "costUsd"].contains(&name.as_str()));
    Some(ending)
}

fn fold(envelopes: &[Envelope]) -> Vec<ReplyEvent> {
    let mut fold = Fold::new(Ending::ByWrapper);
    let mut events = Vec::new();
    for envelope in envelopes {
        let stamp = Stamp {
            turn: &envelope.turn,
            seq: envelope.seq,
            at: envelope.at,
        };
        events.extend(fold.push(stamp, line(envelope)));
    }
    events
}

fn word(event: &ReplyEvent) -> String {
    let word = short::word(event);
    match &event.event {
        Event::Completed(completed) => {
            let text: String = completed.text.chars().take(60).collect();
            format!("{word} {text:?}")
        }
        Event::ThinkingDelta { .. } => "thinking".to_owned(),
        _ if word == "status(thinking)" => "thinking".to_owned(),
        _ => word,
    }
}

/// Whether it is about what a subagent says or does.
pub(crate) fn is_inside(event: &ReplyEvent) -> bool {
    match &event.event {
        Event::Text {
            parent_tool_use_id, ..
        }
        | Event::ToolUse {
            parent_tool_use_id, ..
        }
        | Event::ToolResult {
            parent_tool_use_id, ..
        } => parent_tool_use_id.is_some(),
        _ => false,
    }
}

/// A turn starts once, and nothing of its answer comes after its ending.
fn check_order(events: &[&ReplyEvent]) {
    let started = |event: &&&ReplyEvent| matches!(event.event, Event::Started { .. });
    assert!(events.iter().filter(started).count() <= 1, "{events:?}");
    let ending = events.iter().position(|event| event.event.is_terminal());
    let behind = events.get(ending.unwrap() + 1..).unwrap();
    // What is heard between turns is counted to the one before, and a subagent may go on.
    let is_aside = |event: &&ReplyEvent| {
        matches!(
            event.event,
            Event::Status { .. }
                | Event::PermissionRequest { .. }
                | Event::PermissionResolved { .. }
        ) || is_inside(event)
    };
    assert!(behind.iter().all(is_aside), "after the ending: {behind:?}");
}

/// What a reader has who adds up deltas and obeys retractions is the finished text, and the answer
/// is the last of it.
fn check_text(events: &[&ReplyEvent]) {
    let mut said: BTreeMap<(usize, String, u64), String> = BTreeMap::new();
    let mut messages: Vec<String> = Vec::new();
    let mut finished: Vec<String> = Vec::new();
    for event in events {
        match &event.event {
            Event::TextDelta {
                message_id,
                block,
                text,
            } => {
                let known = messages.iter().position(|id| id == message_id);
                let at = known.unwrap_or_else(|| {
                    messages.push(message_id.clone());
                    messages.len() - 1
                });
                let key = (at, message_id.clone(), *block);
                said.entry(key).or_default().push_str(text);
            }
            Event::Retract {
                message_id,
                from_block,
            } => said.retain(|(_, id, block), _| id != message_id || block < from_block),
            Event::Text {
                text,
                parent_tool_use_id: None,
                ..
            } if !text.is_empty() => finished.push(text.clone()),
            Event::Completed(completed) => {
                // A command of the CLI prints what it likes, and may call that no result.
                let is_command = completed.stop_reason.is_none();
                let text = completed.text.trim_end();
                if let Some(output) = &completed.structured_output {
                    assert_eq!(text, output.to_string(), "{events:?}");
                } else if let Some(last) = finished.last()
                    && !(is_command && (text.is_empty() || text == last))
                {
                    assert_eq!(&completed.text, last, "{events:?}");
                }
            }
            _ => {}
        }
        if event.event.is_terminal() {
            let left: Vec<&String> = said.values().collect();
            assert_eq!(left, finished.iter().collect::<Vec<_>>(), "{events:?}");
        }
    }
}
