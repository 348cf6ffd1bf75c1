use ccpool::AgentId;
use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn me() -> Caller {
    Caller {
        depth: 0,
        session: SessionId::new("s1").unwrap(),
        agent: AgentId::new("main").unwrap(),
    }
}

fn planned(arguments: Value) -> Result<Plan, Refusal> {
    plan(serde_json::from_value(arguments).unwrap(), &me())
}

#[test]
fn a_prompt_is_for_the_own_session_unless_another_one_is_named() {
    let mine = planned(json!({"schedule": " 0 7 * * * ", "prompt": "hello"})).unwrap();
    let session = SessionId::new("s1").unwrap();
    let text = "hello".to_owned();
    assert_eq!(mine.what, What::Prompt { session, text });
    assert_eq!(
        mine.when,
        When::Schedule {
            expression: "0 7 * * *".to_owned(),
            time_zone: "UTC".to_owned()
        }
    );
    let other =
        json!({"at": "2030-01-31T09:00:00+01:00", "prompt": "x", "session": "s2", "name": " n "});
    let other = planned(other).unwrap();
    assert_eq!(other.when, When::At(1_896_076_800_000));
    assert_eq!(other.name.as_deref(), Some("n"));
    assert!(matches!(other.what, What::Prompt { session, .. } if session.as_str() == "s2"));
}

#[test]
fn a_message_is_for_a_channel() {
    let plan = planned(json!({"schedule": "* * * * *", "message": "hi", "channel": "team"}));
    let (channel, text) = ("team".to_owned(), "hi".to_owned());
    assert_eq!(plan.unwrap().what, What::Message { channel, text });
}

#[test]
fn what_is_not_one_thing_at_one_time_is_refused() {
    let long = "é".repeat(LONGEST_TEXT + 1);
    for (arguments, told) in [
        (json!({"prompt": "x"}), "exactly one of `schedule`"),
        (
            json!({"prompt": "x", "schedule": "* * * * *", "at": "2030-01-31T09:00:00Z"}),
            "exactly one",
        ),
        (
            json!({"prompt": "x", "at": "2030-01-31T09:00:00Z", "timeZone": "UTC"}),
            "`timeZone` belongs",
        ),
        (
            json!({"prompt": "x", "at": "2030-01-31T09:00:00"}),
            "with an offset",
        ),
        (
            json!({"prompt": "x", "at": "tomorrow"}),
            "`tomorrow` is no time",
        ),
        (
            json!({"prompt": "x", "at": "1960-01-31T09:00:00Z"}),
            "is no time",
        ),
        (json!({"schedule": "* * * * *"}), "either `prompt`"),
        (
            json!({"schedule": "* * * * *", "message": "x"}),
            "together with `channel`",
        ),
        (
            json!({"schedule": "* * * * *", "prompt": "x", "message": "x", "channel": "c"}),
            "either",
        ),
        (
            json!({"schedule": "* * * * *", "prompt": "x", "channel": "c"}),
            "either",
        ),
        (
            json!({"schedule": "* * * * *", "message": "x", "channel": "c", "session": "s"}),
            "either",
        ),
        (
            json!({"schedule": "* * * * *", "prompt": " "}),
            "prompt is empty",
        ),
        (json!({"schedule": "* * * * *", "prompt": long}), "too long"),
        (
            json!({"schedule": "* * * * *", "prompt": "x", "name": "n".repeat(81)}),
            "name is too long",
        ),
        (
            json!({"schedule": "* * * * *", "prompt": "x", "session": "a b"}),
            "no session id",
        ),
    ] {
        let refusal = planned(arguments).unwrap_err();
        assert!(
            refusal.as_str().contains(told),
            "{told}: {}",
            refusal.as_str()
        );
    }
}

#[test]
fn what_will_never_be_is_told() {
    let refusal = never(&When::At(5), 1_795_195_419_675);
    assert_eq!(
        refusal.as_str(),
        "That time has passed: it is 2026-11-20T17:23:39.675Z now."
    );
}

fn any_text() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => Just(Value::Null),
        2 => any::<String>().prop_map(Value::from),
        1 => "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{0,12}(Z|[+-][0-9:]{0,9})".prop_map(Value::from),
        1 => "[0-9*/,-]{1,5}( [0-9*/,-]{1,5}){4}".prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a model passes, it is answered, in few words.
    #[test]
    fn any_arguments_are_a_plan_or_are_refused(
        values in proptest::collection::vec(any_text(), 8),
    ) {
        let names = ["name", "schedule", "timeZone", "at", "prompt", "session", "message", "channel"];
        let arguments = names.into_iter().zip(values);
        let arguments: Value = arguments.map(|(name, value)| (name.to_owned(), value)).collect();
        let Ok(wish) = serde_json::from_value::<Wish>(arguments) else { return Ok(()) };
        match plan(wish, &me()) {
            Ok(plan) => {
                let text = serde_json::to_string(&plan).unwrap();
                prop_assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan.clone());
                if let Ok(clock) = plan.when.clock() {
                    prop_assert!(clock.upcoming(1_795_195_419_675, 3).is_sorted());
                }
            }
            Err(refusal) => prop_assert!(refusal.as_str().chars().count() < 600),
        }
    }
}
