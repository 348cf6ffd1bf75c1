use serde_json::json;

use super::*;

const STALL: u64 = 2000;

/// A vigil, and time in ms.
struct Night {
    vigil: Vigil,
    start: Instant,
}

impl Night {
    fn new(turn_ms: Option<u64>) -> Self {
        Self {
            vigil: Vigil::new(Limits {
                stall: Duration::from_millis(STALL),
                tool: TOOL,
                turn: turn_ms.map(Duration::from_millis),
            }),
            start: Instant::now(),
        }
    }

    fn at(&self, ms: u64) -> Instant {
        self.start + Duration::from_millis(ms)
    }

    #[allow(clippy::needless_pass_by_value)] // callers pass json!(…)
    fn hears(&mut self, line: Value, ms: u64) {
        let line = Line::parse(&line.to_string()).unwrap();
        self.vigil.heard(Some(&line), self.at(ms));
    }

    fn asks(&mut self, id: &str, asks_model: bool, ms: u64) {
        let id = id.to_owned();
        let request = Request { id, asks_model };
        self.vigil.asked(request, ANSWER, self.at(ms));
    }

    /// The deadline is when `due` changes its mind, and not before.
    fn next(&mut self, ms: u64, alarm: Alarm) {
        assert_eq!(self.vigil.deadline(), Some(self.at(ms)));
        assert_eq!(self.vigil.due(self.at(ms - 1)), None);
        assert_eq!(self.vigil.due(self.at(ms)), Some(alarm));
    }
}

fn stalled(ms: u64) -> Alarm {
    Alarm::Stalled(Duration::from_millis(ms))
}

fn answer(id: &str) -> Value {
    json!({"type": "control_response", "response": {"subtype": "success", "request_id": id}})
}

fn tool_use() -> Value {
    json!({"type": "assistant", "message": {"content": [{"type": "tool_use", "id": "tool-1"}]}})
}

#[test]
fn between_turns_nothing_is_overdue() {
    let mut night = Night::new(Some(50));
    night.hears(json!({"type": "keep_alive"}), 10);
    assert_eq!(night.vigil.deadline(), None);
    assert_eq!(night.vigil.due(night.at(1_000_000)), None);
}

#[test]
fn any_line_but_an_answer_to_us_ends_the_silence() {
    let mut night = Night::new(None);
    night.vigil.follow(Some(1), false, night.at(0));
    night.hears(json!({"type": "something", "new": 1}), 1500);
    night.hears(answer("r1"), 1600);
    night.next(1500 + STALL, stalled(STALL));
    // It was interrupted: now it has its time to end.
    night.hears(json!({"type": "something", "new": 2}), 3600);
    night.next(3500 + 5000, Alarm::Unmoved);
    night.vigil.follow(Some(2), false, night.at(9000));
    night.next(9000 + STALL, stalled(STALL));
}

#[test]
fn a_tool_may_be_silent_for_longer_and_a_person_for_ever() {
    let mut night = Night::new(None);
    night.vigil.follow(Some(1), false, night.at(0));
    night.hears(tool_use(), 100);
    let limit = TOOL.as_millis() as u64;
    assert_eq!(night.vigil.deadline(), Some(night.at(100 + limit)));
    night.vigil.follow(Some(1), true, night.at(100));
    assert_eq!(night.vigil.deadline(), None);
    night.vigil.follow(Some(1), false, night.at(5_000_000));
    assert_eq!(night.vigil.deadline(), Some(night.at(5_000_000 + limit)));
    night.hears(
        json!({"type": "user", "message":
            {"content": [{"type": "tool_result", "tool_use_id": "tool-1"}]}}),
        5_001_000,
    );
    night.next(5_001_000 + STALL, stalled(STALL));
}

#[test]
fn a_turn_has_its_limit_whatever_it_says() {
    let mut night = Night::new(Some(3000));
    night.vigil.follow(Some(1), true, night.at(0));
    night.hears(tool_use(), 2900);
    night.next(3000, Alarm::Overlong(Duration::from_millis(3000)));
    night.next(8000, Alarm::Unmoved);
}

#[test]
fn requests_are_answered_or_missed() {
    let mut night = Night::new(None);
    night.asks("a", false, 0);
    night.asks("b", false, 10);
    night.asks("model", true, 20);
    night.hears(answer("a"), 30);
    night.next(5010, Alarm::Unanswered("b".into()));
    night.next(5020, Alarm::Doubt("model".into()));
    assert_eq!(night.vigil.deadline(), None);
    night.asks("c", false, 6000);
    night.vigil.heard(None, night.at(6001));
    assert_eq!(night.vigil.deadline(), None, "it may have been the answer");
}
