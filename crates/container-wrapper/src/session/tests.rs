use std::collections::HashMap;

use ccpool_protocol::permission::Behavior;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::effects::Op;

/// Requests wait for as long as it takes.
const POLICY: Policy = Policy {
    patience_ms: None,
    on_timeout: Behavior::Deny,
    function_ms: 600_000,
    outlive_turns: false,
};

mod asking;

struct Counter(u128);

impl Bits for Counter {
    fn draw(&mut self) -> u128 {
        self.0 += 1;
        self.0
    }
}

/// A session, and a CLI that behaves as the real one was seen to: it merges what waits into one
/// turn, takes prompts in while a tool runs, and drops what is queued when it is interrupted.
struct Play {
    session: Session,
    now: UnixMs,
    ops: Vec<Op>,
    written: Vec<Value>,
    /// Waiting in the CLI.
    queued: Vec<String>,
    running: Option<Vec<String>>,
    taken: Vec<(Vec<u8>, Option<String>)>,
}

impl Play {
    fn new() -> Self {
        Self::with(POLICY)
    }

    fn with(policy: Policy) -> Self {
        let assignment: Assignment = serde_json::from_value(json!({
            "session": "s", "agent": "main", "model": "opus", "appendSystemPrompt": "be kind",
        }))
        .unwrap();
        let bits = Box::new(Counter(0));
        Self {
            session: Session::new(&assignment, Some("haiku"), policy, Resume::default(), bits),
            now: 0,
            ops: Vec::new(),
            written: Vec::new(),
            queued: Vec::new(),
            running: None,
            taken: Vec::new(),
        }
    }

    fn act(&mut self, act: impl FnOnce(&mut Session, UnixMs, &mut Effects)) {
        self.now += 1;
        let mut out = Effects::default();
        act(&mut self.session, self.now, &mut out);
        self.ops.extend(out.ops);
        let text = String::from_utf8(out.stdin).unwrap();
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            self.written.push(line.clone());
            self.cli_reads(&line);
        }
    }

    fn cli_reads(&mut self, line: &Value) {
        if line["type"] == "user" {
            self.queued.push(line["uuid"].as_str().unwrap().to_owned());
        } else if line["request"]["subtype"] == "interrupt" {
            for uuid in std::mem::take(&mut self.queued) {
                self.says(json!({"type": "command_lifecycle", "command_uuid": uuid, "state": "cancelled"}));
            }
            if let Some(uuids) = self.running.take() {
                self.says(
                    json!({"type": "result", "subtype": "error_during_execution",
                    "is_error": true, "terminal_reason": "aborted_streaming",
                    "user_message_uuids": uuids}),
                );
            }
        }
    }

    #[allow(clippy::needless_pass_by_value)] // callers pass json!(…)
    fn says(&mut self, line: Value) {
        let heard = Heard::read(line.to_string().into_bytes());
        self.act(|session, now, out| session.line(heard, now, out));
    }

    #[allow(clippy::needless_pass_by_value)] // callers pass json!(…)
    fn push(&mut self, item: Value) {
        let turn = item["turn"].as_str().map(str::to_owned);
        self.push_raw(item.to_string().into_bytes(), turn);
    }

    fn push_raw(&mut self, raw: Vec<u8>, turn: Option<String>) {
        self.taken.push((raw.clone(), turn));
        self.act(|session, now, out| session.take(raw, now, out));
    }

    fn begin(&mut self) {
        if self.running.is_none() && !self.queued.is_empty() {
            let uuids = std::mem::take(&mut self.queued);
            self.running = Some(uuids.clone());
            self.says(json!({"type": "system", "subtype": "init", "user_message_uuids": uuids}));
        }
    }

    fn inject(&mut self) {
        if let Some(running) = &mut self.running {
            running.append(&mut self.queued);
        }
    }

    fn finish(&mut self) {
        if let Some(uuids) = self.running.take() {
            self.says(
                json!({"type": "result", "subtype": "success", "result": "done",
                "total_cost_usd": 0.0, "user_message_uuids": uuids}),
            );
        }
    }

    /// A background task ends and the CLI reports it in a turn of its own.
    fn unasked(&mut self) {
        if self.running.is_none() {
            self.says(json!({"type": "system", "subtype": "task_notification"}));
            self.running = Some(Vec::new());
            self.says(json!({"type": "system", "subtype": "init"}));
        }
    }

    fn envelopes(&self) -> Vec<Value> {
        let json = self.ops.iter().filter_map(|op| match op {
            Op::Envelope { json, .. } => Some(serde_json::from_str(json).unwrap()),
            Op::State { .. } | Op::Result { .. } | Op::Entry { .. } | Op::Remove { .. } => None,
        });
        json.collect()
    }

    fn endings(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let is_end = |e: &Value| e["line"]["subtype"] == "terminal";
        let envelopes = self.envelopes().into_iter().filter(is_end);
        envelopes
            .map(|e| {
                let event = &e["line"]["event"];
                let how = if event["type"] == "failed" {
                    &event["kind"]
                } else {
                    &event["type"]
                };
                (text(&e["turn"]), text(how))
            })
            .collect()
    }

    fn ended(&self, expected: &[(&str, &str)]) {
        let endings = self.endings();
        let endings: Vec<(&str, &str)> = endings
            .iter()
            .map(|(t, h)| (t.as_str(), h.as_str()))
            .collect();
        assert_eq!(endings, expected);
    }
}

#[test]
fn a_prompt_can_bring_another_model() {
    let mut stage = Play::new();
    stage.push(json!({"turn": "t1", "text": "first", "model": "opus"}));
    stage.begin();
    stage.finish();
    stage.push(json!({"turn": "t2", "text": "second", "model": "sonnet"}));
    stage.begin();
    stage.finish();
    stage.push(json!({"turn": "t3", "text": "third"}));
    let written: Vec<_> = stage
        .written
        .iter()
        .map(|line| match line["type"].as_str() {
            Some("user") => line["message"]["content"].clone(),
            _ => line["request"]["model"].clone(),
        })
        .collect();
    // The first one goes with the rest of what a session needs, once.
    let expected = [
        Value::Null,
        json!("opus"),
        json!("first"),
        json!("sonnet"),
        json!("second"),
        json!("third"),
    ];
    assert_eq!(written, expected);
}

#[test]
fn the_first_prompt_brings_the_setup_and_the_next_waits() {
    let mut stage = Play::new();
    stage.push(json!({"turn": "t1", "text": "/cost"}));
    stage.push(json!({"turn": "t2", "text": "second"}));
    let kinds: Vec<_> = stage
        .written
        .iter()
        .map(|line| line["request"]["subtype"].clone())
        .collect();
    assert_eq!(
        kinds,
        [json!("initialize"), json!("set_model"), Value::Null]
    );
    assert_eq!(stage.written[2]["client_composed"], true);
    stage.begin();
    stage.finish();
    assert_eq!(stage.written[3]["message"]["content"], "second");
    stage.begin();
    stage.finish();
    stage.ended(&[("t1", "completed"), ("t2", "completed")]);
}

#[test]
fn a_broken_item_fails_in_its_order() {
    let mut stage = Play::new();
    stage.push(json!({"turn": "t1", "text": "one"}));
    stage.push_raw(b"{\"turn\":\"t2\"}".to_vec(), Some("t2".into()));
    stage.push(json!({"turn": "t3", "text": "three"}));
    stage.begin();
    stage.finish();
    stage.begin();
    stage.finish();
    stage.ended(&[
        ("t1", "completed"),
        ("t2", "invalid_request"),
        ("t3", "completed"),
    ]);
}

#[test]
fn an_interrupting_prompt_goes_first() {
    let mut stage = Play::new();
    stage.push(json!({"turn": "t1", "text": "one"}));
    stage.push(json!({"turn": "t2", "text": "two"}));
    stage.begin();
    stage.push(json!({"turn": "t3", "text": "three", "mode": "interrupt"}));
    stage.begin();
    stage.finish();
    stage.begin();
    stage.finish();
    stage.ended(&[
        ("t1", "interrupted"),
        ("t3", "completed"),
        ("t2", "completed"),
    ]);
}

#[test]
fn a_steered_prompt_that_was_taken_in_ends_with_the_turn_that_took_it() {
    let mut stage = Play::new();
    stage.push(json!({"turn": "t1", "text": "one"}));
    stage.begin();
    stage.push(json!({"turn": "t2", "text": "also", "mode": "steer"}));
    stage.inject();
    stage.finish();
    stage.ended(&[("t1", "completed"), ("t2", "completed")]);
    let envelopes = stage.envelopes();
    let steered = envelopes
        .iter()
        .find(|e| e["line"]["steered"] == true)
        .unwrap();
    assert_eq!(steered["turn"], "t1");
    assert!(!stage.session.is_running());
}

#[test]
fn a_steered_prompt_that_was_not_taken_in_has_its_own_turn() {
    let mut stage = Play::new();
    stage.push(json!({"turn": "t1", "text": "one"}));
    stage.begin();
    stage.push(json!({"turn": "t2", "text": "also", "mode": "steer"}));
    stage.finish();
    assert!(stage.session.is_running());
    stage.begin();
    let last = stage.envelopes().pop().unwrap();
    assert_eq!(last["turn"], "t2");
    stage.finish();
    stage.ended(&[("t1", "completed"), ("t2", "completed")]);
}

#[test]
fn an_unasked_turn_has_a_name_and_an_origin_and_holds_nothing_up() {
    let mut stage = Play::new();
    stage.push(json!({"turn": "t1", "text": "one"}));
    stage.begin();
    stage.finish();
    stage.unasked();
    stage.push(json!({"turn": "t2", "text": "two"}));
    stage.finish();
    stage.begin();
    stage.finish();
    let envelopes = stage.envelopes();
    let unasked = envelopes
        .iter()
        .find(|e| e["line"]["origin"] == "task-notification")
        .unwrap();
    assert!(unasked["turn"].as_str().unwrap().starts_with("auto-"));
    let endings = stage.endings();
    assert_eq!(endings.len(), 3);
    assert_eq!(endings[2], ("t2".to_owned(), "completed".to_owned()));
}

#[test]
fn an_unasked_turn_that_overtakes_a_prompt_does_not_end_it() {
    let mut stage = Play::new();
    stage.push(json!({"turn": "t1", "text": "one"}));
    // The CLI begins its own turn before it looks at the prompt.
    stage.unasked();
    stage.finish();
    assert!(stage.session.is_running());
    stage.begin();
    stage.finish();
    let endings = stage.endings();
    assert!(endings[0].0.starts_with("auto-"), "{endings:?}");
    assert_eq!(endings[1], ("t1".to_owned(), "completed".to_owned()));
}

#[test]
fn a_closed_session_fails_what_waits_and_what_comes() {
    let mut stage = Play::new();
    stage.push(json!({"turn": "t1", "text": "one"}));
    stage.push(json!({"turn": "t2", "text": "two"}));
    stage.act(|session, now, out| {
        session.close(FailureKind::ContainerLost, "claude exited", now, out);
    });
    stage.push(json!({"turn": "t3", "text": "three"}));
    stage.ended(&[
        ("t1", "container_lost"),
        ("t2", "container_lost"),
        ("t3", "container_lost"),
    ]);
}

#[derive(Debug, Clone)]
enum Move {
    Push(&'static str, bool),
    Broken,
    Begin,
    Inject,
    Finish,
    Unasked,
    Interrupt,
    Stop,
    Close,
}

fn a_move() -> impl Strategy<Value = Move> {
    prop_oneof![
        6 => (prop_oneof![Just("queue"), Just("steer"), Just("interrupt")], any::<bool>())
            .prop_map(|(mode, named)| Move::Push(mode, named)),
        1 => Just(Move::Broken),
        5 => Just(Move::Begin),
        2 => Just(Move::Inject),
        5 => Just(Move::Finish),
        1 => Just(Move::Unasked),
        1 => Just(Move::Interrupt),
    ]
}

proptest! {
    #[test]
    fn every_taken_item_ends_once(
        moves in proptest::collection::vec(a_move(), 0..60),
        end in prop_oneof![Just(Move::Finish), Just(Move::Stop), Just(Move::Close)],
    ) {
        let mut stage = Play::new();
        for (i, step) in moves.into_iter().enumerate() {
            match step {
                Move::Push(mode, true) => {
                    stage.push(json!({"turn": format!("t{i}"), "text": "x", "mode": mode}));
                }
                Move::Push(mode, false) => stage.push(json!({"text": format!("x{i}"), "mode": mode})),
                Move::Broken => {
                    stage.push_raw(format!("{{\"turn\":\"t{i}\"}}").into_bytes(), Some(format!("t{i}")));
                }
                Move::Begin => stage.begin(),
                Move::Inject => stage.inject(),
                Move::Finish => stage.finish(),
                Move::Unasked => stage.unasked(),
                Move::Interrupt => stage.act(|s, now, out| s.control(Control::Interrupt, now, out)),
                Move::Stop | Move::Close => unreachable!("only at the end"),
            }
        }
        match end {
            Move::Stop => stage.act(|session, now, out| session.stop(now, out)),
            Move::Close => stage.act(|session, now, out| {
                session.close(FailureKind::ContainerLost, "gone", now, out);
            }),
            _ => {}
        }
        while stage.session.is_running() {
            prop_assert!(stage.running.is_some() || !stage.queued.is_empty(), "waits for nothing");
            stage.begin();
            stage.finish();
        }

        let endings = stage.endings();
        let named = stage.taken.iter().filter_map(|(_, turn)| turn.as_deref());
        for turn in named {
            let count = endings.iter().filter(|(ended, _)| ended == turn).count();
            prop_assert_eq!(count, 1, "{}", turn);
        }
        let turns: std::collections::HashSet<_> = endings.iter().map(|(turn, _)| turn).collect();
        prop_assert_eq!(turns.len(), endings.len(), "a turn ended twice");

        let mut removed: HashMap<&[u8], usize> = HashMap::new();
        for op in &stage.ops {
            if let Op::Remove { raw } = op {
                *removed.entry(raw).or_default() += 1;
            }
        }
        for (raw, _) in &stage.taken {
            prop_assert_eq!(removed.remove(raw.as_slice()), Some(1));
        }
        prop_assert!(removed.is_empty());
        let seqs: Vec<u64> = stage.envelopes().iter().map(|e| e["seq"].as_u64().unwrap()).collect();
        prop_assert!(seqs.iter().copied().eq(1..=seqs.len() as u64));
    }
}
