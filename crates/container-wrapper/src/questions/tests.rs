use serde_json::json;

use super::*;
use crate::effects::Op;

const POLICY: Policy = Policy {
    patience_ms: Some(1000),
    on_timeout: Behavior::Allow,
    function_ms: 600_000,
    outlive_turns: false,
};

fn asked(name: &str, input: &Value) -> CanUseTool {
    serde_json::from_value(json!({
        "tool_name": name, "tool_use_id": "u1", "input": input,
        "permission_suggestions": [{"type": "setMode", "mode": "acceptEdits"}],
    }))
    .unwrap()
}

fn id(name: &str) -> RequestId {
    RequestId::new(name).unwrap()
}

fn turn(name: &str) -> TurnId {
    TurnId::new(name).unwrap()
}

/// What the state has of a field.
fn told(out: &Effects, wanted: &str) -> Value {
    let mut ops = out.ops.iter().rev();
    let text = ops.find_map(|op| match op {
        Op::State { field, value } if *field == wanted => Some(value.as_str()),
        _ => None,
    });
    serde_json::from_str(text.unwrap_or("null")).unwrap_or_default()
}

#[test]
fn the_state_lists_what_waits_and_what_became_of_it() {
    let mut questions = Questions::new(POLICY);
    let mut out = Effects::default();
    let bash = asked("Bash", &json!({"command": "ls"}));
    questions.ask(id("r1"), &bash, (&turn("t1"), 7), 50, &mut out);
    let open = told(&out, field::PERMISSIONS);
    assert_eq!(
        open,
        json!([{"requestId": "r1", "turn": "t1", "seq": 7, "toolUseId": "u1", "name": "Bash",
            "input": {"command": "ls"}, "askedAt": 50, "expiresAt": 1050,
            "suggestions": [{"type": "setMode", "mode": "acceptEdits"}]}])
    );
    let question = questions.take("r1").unwrap();
    assert!(questions.take("r1").is_none(), "once");
    let settling = Settling::answered(Behavior::Deny, Some("mine".into()));
    questions.settle(&question, settling, 60, &mut out);
    assert_eq!(told(&out, field::PERMISSIONS), Value::Null);
    assert_eq!(
        told(&out, field::PERMISSIONS_SETTLED),
        json!([{"requestId": "r1", "outcome": "denied", "behavior": "deny", "by": "caller",
            "ticket": "mine", "at": 60}])
    );
}

#[test]
fn large_inputs_are_kept_and_not_listed() {
    let mut questions = Questions::new(POLICY);
    let mut out = Effects::default();
    let input = json!({"content": "x".repeat(LARGEST_LISTED)});
    let write = asked("Write", &input);
    questions.ask(id("r1"), &write, (&turn("t1"), 1), 0, &mut out);
    let open = told(&out, field::PERMISSIONS);
    assert_eq!(
        (&open[0]["cut"], &open[0]["input"]),
        (&json!(true), &Value::Null)
    );
    let question = questions.take("r1").unwrap();
    assert_eq!(question.response(&Answer::allow())["updatedInput"], input);
}

#[test]
fn the_lists_are_bounded() {
    let mut questions = Questions::new(POLICY);
    let bash = asked("Bash", &json!({}));
    for number in 0..MOST_OPEN {
        assert!(!questions.is_full());
        let request = id(&format!("r{number}"));
        questions.ask(request, &bash, (&turn("t1"), 1), 0, &mut Effects::default());
    }
    assert!(questions.is_full());
    let mut out = Effects::default();
    for _ in 0..2 {
        for question in questions.take_all(None) {
            questions.settle(&question, Settling::withdrawn(), 1, &mut out);
            questions.settle(&question, Settling::withdrawn(), 2, &mut out);
        }
    }
    let settled = told(&out, field::PERMISSIONS_SETTLED);
    assert_eq!(settled.as_array().unwrap().len(), MOST_SETTLED);
}

#[test]
fn those_of_one_turn_can_be_taken_alone() {
    let mut questions = Questions::new(POLICY);
    let bash = asked("Bash", &json!({}));
    for (request, of) in [("r1", "t1"), ("r2", "t2"), ("r3", "t1")] {
        questions.ask(
            id(request),
            &bash,
            (&turn(of), 1),
            0,
            &mut Effects::default(),
        );
    }
    let taken = questions.take_all(Some(&turn("t1")));
    let names: Vec<_> = taken.iter().map(|q| q.listed.request_id.as_str()).collect();
    assert_eq!(names, ["r1", "r3"]);
    assert!(questions.is_open(&id("r2")));
}

/// A yes would answer a question with nothing.
#[test]
fn no_policy_says_yes_to_a_question() {
    let answer = |name: &str, on_timeout| {
        let policy = Policy {
            on_timeout,
            ..POLICY
        };
        let mut questions = Questions::new(policy);
        let asked = asked(name, &json!({}));
        questions.ask(
            id("r1"),
            &asked,
            (&turn("t1"), 1),
            0,
            &mut Effects::default(),
        );
        policy.answer(&questions.take("r1").unwrap()).behavior()
    };
    assert_eq!(answer("Bash", Behavior::Allow), Behavior::Allow);
    assert_eq!(answer("Bash", Behavior::Deny), Behavior::Deny);
    assert_eq!(answer(QUESTION, Behavior::Allow), Behavior::Deny);
}
