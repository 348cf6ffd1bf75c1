use ccpool_protocol::RequestId;
use ccpool_protocol::permission::Answer;
use serde_json::{Value, json};

use super::*;

#[test]
fn permissions_are_answered_once_and_only_when_asked() {
    let mut stage = Play::new();
    stage.push(json!({"turn": "t1", "text": "one"}));
    stage.begin();
    stage.says(json!({"type": "control_request", "request_id": "r1",
        "request": {"subtype": "can_use_tool", "tool_name": "Bash"}}));
    assert_eq!(
        stage.envelopes().last().unwrap()["line"]["request_id"],
        "r1"
    );
    let before = stage.written.len();
    for id in ["r0", "r1", "r1"] {
        let answer = Control::Permission {
            request_id: id.into(),
            response: json!({"behavior": "allow"}),
        };
        stage.act(|session, now, out| session.control(answer, now, out));
    }
    assert_eq!(stage.written.len(), before + 1);
    assert_eq!(stage.written[before]["response"]["request_id"], "r1");
}

fn ask(request: &str, tool: &str) -> Value {
    json!({"type": "control_request", "request_id": request,
        "request": {"subtype": "can_use_tool", "tool_name": tool, "tool_use_id": "u1"}})
}

fn answer(request: &str, answer: Answer) -> Control {
    Control::Answer {
        request_id: RequestId::new(request).unwrap(),
        ticket: "mine".into(),
        answer,
    }
}

/// What was told to have become of requests, in their order.
fn resolved(stage: &Play) -> Vec<Value> {
    let lines = stage.envelopes().into_iter().map(|mut e| e["line"].take());
    let lines = lines.filter(|line| line["subtype"] == "permission_resolved");
    lines
        .map(|line| json!([line["requestId"], line["outcome"], line["by"]]))
        .collect()
}

#[test]
fn each_request_is_settled_once() {
    let mut stage = Play::new();
    stage.push(json!({"turn": "t1", "text": "one"}));
    stage.begin();
    for request in ["r1", "r2", "r3", "r4"] {
        stage.says(ask(request, "Bash"));
    }
    for given in [
        answer("r1", Answer::allow()),
        answer("r1", Answer::deny("too late")),
        answer("r2", Answer::deny("no")),
    ] {
        stage.act(|session, now, out| session.control(given, now, out));
    }
    stage.says(json!({"type": "control_cancel_request", "request_id": "r3"}));
    let gone = answer("r3", Answer::allow());
    stage.act(|session, now, out| session.control(gone, now, out));
    let request = RequestId::new("r4").unwrap();
    for _ in 0..2 {
        stage.act(|session, now, out| session.expire(&request, now, out));
    }
    assert_eq!(
        resolved(&stage),
        [
            json!(["r1", "allowed", "caller"]),
            json!(["r2", "denied", "caller"]),
            json!(["r3", "withdrawn", "claude"]),
            json!(["r4", "timed_out", "policy"]),
        ]
    );
    let answers = stage.written.iter();
    let answers = answers.filter(|line| line["type"] == "control_response");
    let answers: Vec<_> = answers
        .map(|line| {
            let response = &line["response"];
            json!([response["request_id"], response["response"]["behavior"]])
        })
        .collect();
    let told = [["r1", "allow"], ["r2", "deny"], ["r4", "deny"]];
    assert_eq!(json!(answers), json!(told));
}

#[test]
fn what_waits_ends_with_its_turn_before_it() {
    for outlives in [false, true] {
        let mut stage = Play::with(Policy {
            outlive_turns: outlives,
            ..POLICY
        });
        stage.push(json!({"turn": "t1", "text": "one"}));
        stage.begin();
        stage.says(ask("r1", "Bash"));
        stage.finish();
        let lines = stage.envelopes().into_iter();
        let lines: Vec<_> = lines.map(|e| e["line"]["subtype"].clone()).collect();
        let at = |word: &str| lines.iter().position(|line| line == word);
        assert!(at("terminal").is_some());
        match outlives {
            false => assert!(at("permission_resolved").is_some_and(|r| Some(r) < at("terminal"))),
            true => assert_eq!(at("permission_resolved"), None),
        }
    }
}

#[test]
fn a_lost_process_asks_no_more() {
    let mut stage = Play::new();
    stage.push(json!({"turn": "t1", "text": "one"}));
    stage.begin();
    stage.says(ask("r1", "Bash"));
    stage.act(|session, now, out| session.lost("it ended", now, out));
    assert_eq!(resolved(&stage), [json!(["r1", "withdrawn", "claude"])]);
    assert!(!stage.session.is_asking());
}

/// What the state says, and what the ending said, of a tool that was asked about and answered so.
fn effects_after(answer: &str) -> (Option<String>, Value) {
    let mut stage = Play::new();
    stage.push(json!({"turn": "t1", "text": "one"}));
    stage.begin();
    stage.says(
        json!({"type": "assistant", "message": {"id": "m1", "content": [
        {"type": "tool_use", "id": "u1", "name": "Bash", "input": {}}]}}),
    );
    stage.says(json!({"type": "control_request", "request_id": "r1",
        "request": {"subtype": "can_use_tool", "tool_name": "Bash", "tool_use_id": "u1"}}));
    let answer = Control::Permission {
        request_id: "r1".into(),
        response: json!({"behavior": answer}),
    };
    stage.act(|session, now, out| session.control(answer, now, out));
    let told = stage.ops.iter().rev().find_map(|op| match op {
        Op::State { field, value } if *field == field::TOOL_EFFECTS => Some(value.clone()),
        _ => None,
    });
    // The CLI speaks alike of a tool that was not let and of one that was interrupted.
    stage.says(json!({"type": "user", "message": {"content": [
        {"type": "tool_result", "tool_use_id": "u1", "content": "no", "is_error": true}]}}));
    stage.act(|session, now, out| session.close(FailureKind::ContainerLost, "gone", now, out));
    let ending = stage.envelopes().pop().unwrap()["line"]["event"].take();
    (told, ending["toolEffects"].clone())
}

#[test]
fn a_tool_acts_from_its_permission_on() {
    assert_eq!(effects_after("allow"), (Some("true".into()), json!(true)));
    assert_eq!(effects_after("deny"), (Some("false".into()), json!(false)));
}
