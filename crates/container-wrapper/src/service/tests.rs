use ccpool_protocol::assignment::Assignment;
use ccpool_protocol::control::Control;
use ccpool_protocol::permission::Behavior;
use serde_json::{Value, json};

use super::*;
use crate::chronicle::Resume;
use crate::effects::Op;
use crate::naming::Bits;
use crate::questions::Policy;

mod asking;
mod calling;
mod property;

/// Requests wait for as long as it takes.
const POLICY: Policy = Policy {
    patience_ms: None,
    on_timeout: Behavior::Deny,
    function_ms: 600_000,
    outlive_turns: false,
};

struct Counter(u128);

impl Bits for Counter {
    fn draw(&mut self) -> u128 {
        self.0 += 1;
        self.0
    }
}

/// A process as the real one was seen to be; it can also hang.
#[derive(Default)]
struct Cli {
    queued: Vec<String>,
    running: Option<Vec<String>>,
    /// Reads nothing and says nothing; what was written waits.
    hangs: bool,
    unread: Vec<Value>,
    /// Answers requests, but an interrupt ends nothing.
    stubborn: bool,
}

/// What the wrapper does when it gives up.
fn close(service: &mut Service, now: Moment, out: &mut Effects) {
    let close = |session: &mut Session, now, out: &mut Effects| {
        session.close(FailureKind::ContainerLost, "given up", now, out);
    };
    service.act(close, now, out);
}

/// A service, and the world around it.
struct Play {
    service: Service,
    begin: Instant,
    now_ms: u64,
    /// None between an exit and the start of the next.
    cli: Option<Cli>,
    starts: Vec<Conversation>,
    /// The next process to start hangs from the beginning.
    bad_start: bool,
    signals: Vec<Order>,
    gave_up: Option<String>,
    ops: Vec<Op>,
    taken: Vec<(Vec<u8>, Option<String>)>,
    written: Vec<Value>,
    /// How many functions were called.
    calls: u64,
}

impl Play {
    fn new(stall_ms: u64, turn_ms: Option<u64>) -> Self {
        Self::with(POLICY, stall_ms, turn_ms)
    }

    fn with(policy: Policy, stall_ms: u64, turn_ms: Option<u64>) -> Self {
        let assignment: Assignment = serde_json::from_value(json!({
            "session": "s", "agent": "main", "model": "opus", "appendSystemPrompt": "be kind",
        }))
        .unwrap();
        let bits = Box::new(Counter(0));
        let session = Session::new(&assignment, Some("haiku"), policy, Resume::default(), bits);
        let boot = serde_json::from_value(json!({
            "container": "c1-0123456789ab", "redisUrl": "", "keyPrefix": "", "outputBuffer": 1, "outputBufferBytes": 1,
            "retainMs": 1, "stopMs": 1, "heartbeatMs": 1, "stallMs": stall_ms, "turnMs": turn_ms, "functionMs": 1,
            "claude": {"path": "", "cwd": "", "home": ""},
        }));
        let limits = Limits::of(&boot.unwrap());
        let first = Conversation::New("first".into());
        Self {
            service: Service::new(session, first, limits, Duration::from_secs(3)),
            begin: Instant::now(),
            now_ms: 0,
            cli: Some(Cli::default()),
            starts: Vec::new(),
            bad_start: false,
            signals: Vec::new(),
            gave_up: None,
            ops: Vec::new(),
            taken: Vec::new(),
            written: Vec::new(),
            calls: 0,
        }
    }

    fn act(&mut self, act: impl FnOnce(&mut Service, Moment, &mut Effects)) {
        self.now_ms += 1;
        let now = Moment {
            at: self.now_ms,
            tick: self.begin + Duration::from_millis(self.now_ms),
        };
        let mut out = Effects::default();
        act(&mut self.service, now, &mut out);
        self.ops.extend(out.ops);
        assert!(out.requests.is_empty(), "somebody waits for every answer");
        for order in out.orders {
            match order {
                Order::Terminate | Order::Kill => self.signals.push(order),
                Order::Start(conversation) => {
                    assert!(self.cli.is_none(), "two processes at once");
                    self.starts.push(conversation);
                    self.cli = Some(Cli {
                        hangs: std::mem::take(&mut self.bad_start),
                        ..Cli::default()
                    });
                }
                Order::GiveUp(why) => {
                    self.gave_up = Some(why);
                    self.act(close);
                }
            }
        }
        let text = String::from_utf8(out.stdin).unwrap();
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            self.written.push(line.clone());
            if let Some(cli) = &mut self.cli {
                cli.unread.push(line);
            }
        }
        self.cli_reads();
    }

    fn cli_reads(&mut self) {
        let Some(cli) = self.cli.as_mut().filter(|cli| !cli.hangs) else {
            return;
        };
        let mut said = Vec::new();
        for line in std::mem::take(&mut cli.unread) {
            if line["type"] == "user" {
                cli.queued.push(line["uuid"].as_str().unwrap().to_owned());
                continue;
            }
            said.push(json!({"type": "control_response",
                "response": {"subtype": "success", "request_id": line["request_id"]}}));
            if line["request"]["subtype"] == "interrupt" && !cli.stubborn {
                for uuid in std::mem::take(&mut cli.queued) {
                    said.push(json!({"type": "command_lifecycle", "command_uuid": uuid,
                        "state": "cancelled"}));
                }
                if let Some(uuids) = cli.running.take() {
                    said.push(
                        json!({"type": "result", "subtype": "error_during_execution",
                        "is_error": true, "terminal_reason": "aborted_streaming",
                        "user_message_uuids": uuids}),
                    );
                }
            }
        }
        for line in said {
            self.says(&line);
        }
    }

    fn says(&mut self, line: &Value) {
        let heard = Heard::read(line.to_string().into_bytes());
        self.act(|service, now, out| service.line(heard, now, out));
    }

    #[allow(clippy::needless_pass_by_value)] // callers pass json!(…)
    fn push(&mut self, item: Value) {
        let turn = item["turn"].as_str().map(str::to_owned);
        let raw = item.to_string().into_bytes();
        self.taken.push((raw.clone(), turn));
        self.session(|session, now, out| session.take(raw, now, out));
    }

    fn session(&mut self, act: impl FnOnce(&mut Session, UnixMs, &mut Effects)) {
        self.act(|service, now, out| service.act(act, now, out));
    }

    /// The process, if it does anything.
    fn awake(&mut self) -> Option<&mut Cli> {
        self.cli.as_mut().filter(|cli| !cli.hangs)
    }

    fn begins(&mut self) {
        let Some(cli) = self.awake().filter(|cli| cli.running.is_none()) else {
            return;
        };
        if !cli.queued.is_empty() {
            let uuids = std::mem::take(&mut cli.queued);
            cli.running = Some(uuids.clone());
            self.says(
                &json!({"type": "system", "subtype": "init", "session_id": "begun",
                "user_message_uuids": uuids}),
            );
        }
    }

    fn calls_a_tool(&mut self) {
        if self.awake().is_some_and(|cli| cli.running.is_some()) {
            self.says(&json!({"type": "assistant", "message":
                {"id": "m", "content": [{"type": "tool_use", "id": "u", "name": "Bash"}]}}));
        }
    }

    fn asks(&mut self) {
        if self.awake().is_some_and(|cli| cli.running.is_some()) {
            self.says(&json!({"type": "control_request", "request_id": "p",
                "request": {"subtype": "can_use_tool", "tool_name": "Bash"}}));
        }
    }

    fn cancels(&mut self) {
        if self.awake().is_some() {
            self.says(&json!({"type": "control_cancel_request", "request_id": "p"}));
        }
    }

    /// How many lines of the wrapper's own were of this kind.
    fn said(&self, subtype: &str) -> usize {
        let word = format!("\"subtype\":\"{subtype}\"");
        let mut envelopes = self.ops.iter().filter_map(|op| match op {
            Op::Envelope { json, .. } => Some(json),
            _ => None,
        });
        let count = |all, json: &String| all + usize::from(json.contains(&word));
        envelopes.by_ref().fold(0, count)
    }

    fn finishes(&mut self) {
        if let Some(uuids) = self.awake().and_then(|cli| cli.running.take()) {
            self.says(
                &json!({"type": "result", "subtype": "success", "result": "done",
                "user_message_uuids": uuids}),
            );
        }
    }

    fn exits(&mut self, code: Option<i32>) {
        if self.cli.take().is_some() {
            let why = "claude is gone".to_owned();
            self.act(|service, now, out| service.exited(Exit { why, code }, now, out));
        }
    }

    /// Time passes, and everything that is due in it happens when it is due.
    fn waits(&mut self, ms: u64) {
        let until = self.now_ms + ms;
        while let Some(due) = self.service.deadline() {
            let due = due.saturating_duration_since(self.begin).as_millis() as u64;
            if due > until {
                break;
            }
            self.now_ms = self.now_ms.max(due);
            self.act(Service::tick);
            if self.signals.last() == Some(&Order::Kill) {
                self.signals.clear();
                self.exits(None);
            }
        }
        self.now_ms = self.now_ms.max(until);
    }

    fn endings(&self) -> Vec<(String, String)> {
        let envelopes = self.ops.iter().filter_map(|op| match op {
            Op::Envelope { json, .. } => Some(serde_json::from_str::<Value>(json).unwrap()),
            Op::State { .. } | Op::Result { .. } | Op::Entry { .. } | Op::Remove { .. } => None,
        });
        let ends = envelopes.filter(|e| e["line"]["subtype"] == "terminal");
        ends.map(|e| {
            let event = &e["line"]["event"];
            let how = event["kind"].as_str().or(event["type"].as_str());
            (e["turn"].as_str().unwrap().into(), how.unwrap().into())
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

    fn state(&self, name: &str) -> Option<&str> {
        self.ops.iter().rev().find_map(|op| match op {
            Op::State { field, value } if *field == name => Some(value.as_str()),
            Op::State { .. }
            | Op::Envelope { .. }
            | Op::Result { .. }
            | Op::Entry { .. }
            | Op::Remove { .. } => None,
        })
    }
}

#[test]
fn a_silent_turn_is_stalled_and_the_next_runs() {
    let mut play = Play::new(1000, None);
    play.push(json!({"turn": "t1", "text": "one"}));
    play.push(json!({"turn": "t2", "text": "two"}));
    play.begins();
    play.waits(2000);
    play.begins();
    play.finishes();
    play.ended(&[("t1", "stalled"), ("t2", "completed")]);
    assert!(play.starts.is_empty() && play.signals.is_empty());
}

#[test]
fn a_prompt_that_is_never_begun_is_stalled_too() {
    let mut play = Play::new(1000, None);
    play.push(json!({"turn": "t1", "text": "one"}));
    play.waits(2000);
    play.ended(&[("t1", "stalled")]);
}

#[test]
fn a_turn_over_its_limit_is_timed_out() {
    let mut play = Play::new(1000, Some(3000));
    play.push(json!({"turn": "t1", "text": "one"}));
    play.begins();
    play.calls_a_tool();
    play.waits(2000);
    play.ended(&[]);
    play.waits(2000);
    play.ended(&[("t1", "timeout")]);
}

#[test]
fn an_interrupt_that_ends_nothing_costs_the_process() {
    let mut play = Play::new(1000, None);
    play.push(json!({"turn": "t1", "text": "one"}));
    play.begins();
    play.awake().unwrap().stubborn = true;
    play.waits(7000);
    assert_eq!(play.signals, [Order::Terminate]);
    play.push(json!({"turn": "t2", "text": "two", "mode": "steer"}));
    play.ended(&[]);
    play.exits(Some(143));
    play.begins();
    play.finishes();
    play.ended(&[("t1", "container_lost"), ("t2", "completed")]);
    assert_eq!(play.starts, [Conversation::Begun("begun".into())]);
    assert_eq!(play.state(field::RESPAWNS), Some("1"));
}

#[test]
fn a_turn_that_ends_during_the_grace_has_ended() {
    let mut play = Play::new(1000, None);
    play.push(json!({"turn": "t1", "text": "one"}));
    play.push(json!({"turn": "t2", "text": "two"}));
    play.begins();
    play.awake().unwrap().stubborn = true;
    play.waits(7000);
    play.finishes();
    play.ended(&[("t1", "completed")]);
    play.exits(Some(143));
    play.begins();
    play.finishes();
    play.ended(&[("t1", "completed"), ("t2", "completed")]);
}

#[test]
fn one_that_hangs_is_killed_and_the_session_goes_on_with_its_setup() {
    let mut play = Play::new(100_000, None);
    play.push(json!({"turn": "t1", "text": "one"}));
    play.begins();
    play.awake().unwrap().hangs = true;
    play.session(|session, now, out| session.control(Control::Interrupt, now, out));
    play.push(json!({"turn": "t2", "text": "two"}));
    let before = play.written.len();
    play.waits(9000);
    let kinds: Vec<_> = play.written[before..]
        .iter()
        .map(|line| line["request"]["subtype"].as_str().unwrap_or("prompt"))
        .collect();
    assert_eq!(kinds, ["mcp_status", "initialize", "set_model", "prompt"]);
    play.begins();
    play.finishes();
    play.ended(&[("t1", "container_lost"), ("t2", "completed")]);
}

#[test]
fn a_model_that_takes_its_time_costs_a_question_and_no_process() {
    let mut play = Play::new(100_000, None);
    play.awake().unwrap().hangs = true;
    let model = "a-full-id".to_owned();
    play.session(|session, now, out| session.control(Control::SetModel { model }, now, out));
    play.awake();
    play.cli.as_mut().unwrap().unread.clear();
    play.cli.as_mut().unwrap().hangs = false;
    play.waits(20_000);
    assert_eq!(
        play.written.last().unwrap()["request"]["subtype"],
        "mcp_status"
    );
    assert!(play.signals.is_empty());
    play.awake().unwrap().hangs = true;
    let model = "another".to_owned();
    play.session(|session, now, out| session.control(Control::SetModel { model }, now, out));
    play.waits(11_000);
    assert_eq!(play.signals, [Order::Terminate]);
}

#[test]
fn a_conversation_that_is_refused_is_begun_anew() {
    let mut play = Play::new(100_000, None);
    play.exits(Some(0));
    assert!(matches!(&play.starts[..], [Conversation::New(id)] if id != "first"));
    play.push(json!({"turn": "t1", "text": "one"}));
    play.begins();
    play.bad_start = true;
    play.exits(None);
    assert_eq!(play.starts[1], Conversation::Begun("begun".into()));
    play.push(json!({"turn": "t2", "text": "two"}));
    play.exits(Some(1));
    assert!(matches!(play.starts[2], Conversation::New(_)));
    play.begins();
    play.finishes();
    play.ended(&[("t1", "container_lost"), ("t2", "completed")]);
}

#[test]
fn one_that_does_not_boot_is_replaced() {
    let mut play = Play::new(100_000, None);
    play.push(json!({"turn": "t1", "text": "one"}));
    play.begins();
    play.bad_start = true;
    play.exits(None);
    play.waits(29_000);
    assert!(play.signals.is_empty());
    play.waits(10_000);
    let begun = Conversation::Begun("begun".into());
    assert_eq!(play.starts, [begun.clone(), begun]);
    assert!(!play.service.is_running());
}

#[test]
fn what_a_lost_process_owed_is_forgotten() {
    let mut play = Play::new(1000, None);
    play.push(json!({"turn": "t1", "text": "one"}));
    play.begins();
    play.asks();
    play.awake().unwrap().hangs = true;
    play.session(|session, now, out| session.control(Control::Interrupt, now, out));
    play.exits(None);
    // Neither the interrupt nor the question concerns the next one.
    play.push(json!({"turn": "t2", "text": "two"}));
    play.begins();
    play.calls_a_tool();
    play.waits(20_000);
    assert!(play.signals.is_empty());
    play.push(json!({"turn": "t3", "text": "three", "mode": "interrupt"}));
    play.begins();
    play.waits(2000);
    play.ended(&[
        ("t1", "container_lost"),
        ("t2", "interrupted"),
        ("t3", "stalled"),
    ]);
}

#[test]
fn the_fourth_end_is_the_last() {
    let mut play = Play::new(100_000, None);
    for turn in ["t1", "t2", "t3", "t4"] {
        play.push(json!({"turn": turn, "text": "x"}));
        play.begins();
        play.exits(None);
    }
    assert_eq!(play.starts.len(), 3);
    assert!(play.gave_up.is_some());
    play.push(json!({"turn": "t5", "text": "x"}));
    let lost = ["t1", "t2", "t3", "t4", "t5"].map(|turn| (turn, "container_lost"));
    play.ended(&lost);
}
