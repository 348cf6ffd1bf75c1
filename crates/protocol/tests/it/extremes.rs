//! Values at the edge of their range, in lines that fold into events all the same.

use ccpool_protocol::TurnId;
use ccpool_protocol::event::{Event, ReplyEvent};
use ccpool_protocol::fold::{Ending, Fold, Stamp};
use ccpool_protocol::line::{Line, WrapperLine};
use ccpool_protocol::replay::Replay;
use serde_json::{Value, json};

fn replay(lines: &[Value]) -> Vec<Event> {
    let mut replay = Replay::default();
    lines
        .iter()
        .flat_map(|line| replay.push(&line.to_string()).unwrap())
        .map(|event| event.event)
        .collect()
}

#[test]
fn a_limit_that_never_ends_is_waited_for_as_long_as_can_be_said() {
    let events = replay(&[
        json!({"type": "rate_limit_event", "rate_limit_info": {"status": "rejected", "resetsAt": u64::MAX}}),
        json!({"type": "result", "subtype": "success", "is_error": true, "api_error_status": 429}),
    ]);
    assert!(
        matches!(&events[1], Event::Failed(failed) if failed.retry_after_ms == Some(u64::MAX)),
        "{events:?}"
    );
}

#[test]
fn a_cost_beyond_measure_can_be_written_and_read() {
    let mut replay = Replay::default();
    let first = json!({"type": "result", "subtype": "success", "total_cost_usd": -1.7e308});
    let second = json!({"type": "result", "subtype": "success", "total_cost_usd": 1.7e308});
    replay.push(&first.to_string()).unwrap();
    let event = replay.push(&second.to_string()).unwrap().remove(0);
    assert!(
        matches!(&event.event, Event::Completed(completed) if completed.cost_usd == f64::MAX),
        "{event:?}"
    );
    let json = serde_json::to_string(&event).unwrap();
    assert_eq!(serde_json::from_str::<ReplyEvent>(&json).unwrap(), event);
}

#[test]
fn after_the_last_block_there_is_no_other() {
    let text = |text: &str| json!({"type": "assistant", "message": {"id": "m", "content": [{"type": "text", "text": text}]}});
    let events = replay(&[
        json!({"type": "stream_event", "event": {"type": "message_start", "message": {"id": "m"}}}),
        json!({"type": "stream_event", "event": {"type": "content_block_start", "index": u64::MAX}}),
        text("one"),
        text("two"),
    ]);
    let said = events.iter().filter_map(|event| match event {
        Event::TextDelta { block, text, .. } => Some((*block, text.as_str())),
        _ => None,
    });
    assert_eq!(
        said.collect::<Vec<_>>(),
        [(u64::MAX, "one"), (u64::MAX, "two")]
    );
}

#[test]
fn a_terminal_line_without_an_ending_ends_nothing() {
    let turn = TurnId::new("t1").unwrap();
    let mut fold = Fold::new(Ending::ByWrapper);
    let mut push = |event: Event| {
        let stamp = Stamp {
            turn: &turn,
            seq: 1,
            at: 1,
        };
        let line = Line::Wrapper(WrapperLine::Terminal { event });
        let events = fold.push(stamp, line);
        (events.len(), fold.turn_ended())
    };
    assert_eq!(push(Event::Gap { from: 1, to: 2 }), (0, false));
    let ending = Event::failed(ccpool_protocol::FailureKind::Internal, "x");
    assert_eq!(push(ending), (1, true));
}

/// A tool's input is for readers what it is for the tool.
#[test]
fn numbers_keep_their_last_digit() {
    for number in [
        "10.594060404077577",
        "-9.692489605870254e-32",
        "28.648352402828394",
    ] {
        let line = format!(
            r#"{{"type":"assistant","message":{{"id":"m","content":[{{"type":"tool_use","id":"t","name":"map","input":{{"lat":{number}}}}}]}}}}"#
        );
        let events = Replay::default().push(&line).unwrap();
        let json = serde_json::to_string(&events[0]).unwrap();
        assert!(json.contains(&format!(r#"{{"lat":{number}}}"#)), "{json}");
    }
}

/// The wrapper's line about the ending is read by others, who give up at some depth.
#[test]
fn an_output_that_is_nested_too_deep_to_be_told_is_left_out() {
    let nested = |depth: usize| {
        let mut value = json!(1);
        for _ in 1..depth {
            value = json!([value]);
        }
        value
    };
    for (depth, told) in [(100, true), (101, false)] {
        let line =
            json!({"type": "result", "subtype": "success", "structured_output": nested(depth)});
        let event = replay(&[line]).remove(0);
        let own = WrapperLine::Terminal {
            event: event.clone(),
        };
        let read = Line::parse(&own.to_json()).unwrap();
        assert_eq!(read, Line::Wrapper(own));
        assert!(
            matches!(&event, Event::Completed(completed) if completed.structured_output.is_some() == told),
            "{event:?}"
        );
    }
}
