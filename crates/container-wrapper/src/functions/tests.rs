use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::effects::Op;

fn tool(name: &str, description: &str) -> FunctionTool {
    FunctionTool {
        name: name.into(),
        description: description.into(),
        parameters: serde_json::Map::new(),
    }
}

/// What is written so that these are there: the server of each request, `-` for none.
fn written(functions: &mut Functions, tools: &[FunctionTool]) -> Vec<String> {
    let mut out = Effects::default();
    functions.want(tools.to_vec());
    functions.write(|| "r".into(), &mut out);
    let text = String::from_utf8(out.stdin).unwrap();
    let lines = text.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        let servers = line["request"]["servers"].as_object().unwrap().clone();
        servers.keys().next().cloned().unwrap_or_else(|| "-".into())
    });
    lines.collect()
}

#[test]
fn what_is_there_already_costs_nothing() {
    let mut functions = Functions::new(1000);
    assert!(functions.are(None) && functions.are(Some(&[])));
    assert_eq!(written(&mut functions, &[]), [""; 0]);
    let one = [tool("a", "x")];
    assert!(!functions.are(Some(&one)));
    assert_eq!(written(&mut functions, &one), ["client"]);
    assert!(functions.are(Some(&one)) && functions.are(None));
    assert_eq!(written(&mut functions, &one), [""; 0]);
    functions.again();
    assert_eq!(written(&mut functions, &one), ["client"]);
    assert_eq!(written(&mut functions, &[]), ["-"]);
}

/// A name means for the CLI what it meant at first.
#[test]
fn another_meaning_comes_from_another_server() {
    let mut functions = Functions::new(1000);
    let (one, two) = (tool("a", "x"), tool("b", "y"));
    written(&mut functions, std::slice::from_ref(&one));
    // More of them are no contradiction.
    let both = [one.clone(), two];
    assert_eq!(written(&mut functions, &both), ["-", "client"]);
    // One fewer would stay in sight.
    let first = std::slice::from_ref(&one);
    assert_eq!(written(&mut functions, first), ["-", "client2"]);
    // The other server was away meanwhile.
    assert_eq!(written(&mut functions, &both), ["-", "client"]);
    let other = [tool("a", "something else")];
    assert_eq!(written(&mut functions, &other), ["-", "client3"]);
    assert_eq!(written(&mut functions, first), ["-", "client"]);
}

#[test]
fn there_is_an_end_to_servers() {
    let mut functions = Functions::new(1000);
    let mut servers = BTreeSet::new();
    for version in 0..40 {
        let tools = [tool("a", &version.to_string())];
        servers.extend(written(&mut functions, &tools));
        assert_eq!(functions.served(), tools);
    }
    // `-` is among them.
    assert_eq!(servers.len(), SERVERS as usize + 1);
}

/// What a random session does with calls.
#[derive(Debug, Clone)]
enum Step {
    Told(u8),
    Asked(u8),
    Given(u8),
    Answered(u8),
    Cancelled(u8),
    Over,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..4u8).prop_map(Step::Told),
        (0..4u8).prop_map(Step::Asked),
        (0..4u8).prop_map(Step::Given),
        (0..4u8).prop_map(Step::Answered),
        (0..4u8).prop_map(Step::Cancelled),
        Just(Step::Over),
    ]
}

proptest! {
    /// Whatever comes in whatever order: no question is answered twice, and the state says which
    /// calls wait.
    #[test]
    fn each_question_is_answered_at_most_once(steps in proptest::collection::vec(step(), 0..40)) {
        let turn = TurnId::new("t1").unwrap();
        let mut functions = Functions::new(1000);
        let mut answered = BTreeSet::new();
        let mut listed = String::new();
        for (number, step) in steps.into_iter().enumerate() {
            let mut out = Effects::default();
            let mut answers = Vec::new();
            match step {
                Step::Told(id) => {
                    let call = FunctionCall {
                        id: id.to_string(),
                        name: "f".into(),
                        arguments: json!({}),
                    };
                    functions.told(&[call], (&turn, 1), 0, &mut out);
                }
                Step::Asked(id) => {
                    let question = Question {
                        request_id: format!("q{number}"),
                        rpc: json!(id),
                    };
                    answers.extend(functions.ask(&id.to_string(), question));
                }
                Step::Given(id) => {
                    let result = FunctionResult::text(id.to_string(), "x");
                    answers.extend(functions.give("mine", vec![result], &mut out));
                    let taken = functions.taken.back().unwrap();
                    prop_assert_eq!(&taken.ticket, "mine");
                }
                Step::Answered(id) => functions.answered(&id.to_string(), &mut out),
                Step::Cancelled(id) => functions.cancelled(&json!(id), &mut out),
                Step::Over => {
                    let left = functions.forget(&mut out);
                    answers.extend(left.into_iter().map(|question| (question, json!({}))));
                }
            }
            for (question, _) in answers {
                prop_assert!(answered.insert(question.request_id.clone()), "{question:?} twice");
            }
            for op in out.ops {
                if let Op::State { field: field::FUNCTIONS, value } = op {
                    listed = value;
                }
            }
            let waiting: Vec<_> = functions.waiting().cloned().collect();
            let said: Vec<PendingFunction> = ccpool_protocol::permission::listed(&listed);
            prop_assert_eq!(waiting, said);
        }
    }
}

#[test]
fn a_result_may_come_before_the_question() {
    let turn = TurnId::new("t1").unwrap();
    let mut functions = Functions::new(1000);
    let mut out = Effects::default();
    let call = FunctionCall {
        id: "a".into(),
        name: "f".into(),
        arguments: json!({}),
    };
    functions.told(&[call], (&turn, 1), 0, &mut out);
    let early = vec![
        FunctionResult::text("a", "x"),
        FunctionResult::text("b", "y"),
    ];
    assert_eq!(functions.give("mine", early, &mut out), []);
    assert_eq!(functions.waiting().count(), 0);
    assert_eq!(functions.taken.back().unwrap().ids, ["a"]);
    assert_eq!(out.notes.len(), 1, "nobody knows b");
    let question = Question {
        request_id: "q".into(),
        rpc: json!(3),
    };
    let (_, answer) = functions.ask("a", question).unwrap();
    assert_eq!(answer["content"][0]["text"], "x");
}
