//! Everything else that is read from Redis or the environment: what is understood comes back the
//! same when it is written and read again.

use std::fmt::Debug;

use ccpool_protocol::assignment::Assignment;
use ccpool_protocol::boot::Boot;
use ccpool_protocol::control::Control;
use ccpool_protocol::envelope::Envelope;
use ccpool_protocol::line::Line;
use ccpool_protocol::permission::{Answer, PendingPermission, SettledPermission, listed};
use ccpool_protocol::record::ContainerState;
use ccpool_protocol::state::SessionStatus;
use ccpool_protocol::{AgentId, ContainerId, ReplyEvent, RequestId, SessionId, TurnId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use super::nesting::is_too_deep;

/// The bytes may be any of the messages, or a bare word or name.
pub fn check(data: &[u8]) {
    let text = &*String::from_utf8_lossy(data);
    if let Ok(envelope) = Envelope::parse(text) {
        assert!(text.contains(envelope.line.get()), "the line is untouched");
        comes_back(&envelope);
        line(envelope.line.get());
    }
    if let Ok(raw) = RawValue::from_string(text.to_owned()) {
        comes_back(&Envelope {
            seq: u64::MAX,
            turn: TurnId::new("t1").expect("a turn id"),
            at: 0,
            line: raw,
        });
    }
    line(text);
    if let Ok(control) = Control::parse(text) {
        again(&control, &control.to_json(), Control::parse);
    }
    if let Ok(boot) = Boot::parse(text) {
        again(&boot, &boot.to_json(), Boot::parse);
    }
    if let Ok(assignment) = serde_json::from_str::<Assignment>(text) {
        let json = serde_json::to_string(&assignment).expect("an assignment is JSON");
        again(&assignment, &json, |json| serde_json::from_str(json));
    }
    if let Ok(event) = serde_json::from_str::<ReplyEvent>(text) {
        event_comes_back(&event);
    }
    if let Ok(answer) = serde_json::from_str::<Answer>(text) {
        let json = serde_json::to_string(&answer).expect("an answer is JSON");
        again(&answer, &json, |json| serde_json::from_str(json));
    }
    entries::<PendingPermission>(text);
    entries::<SettledPermission>(text);
    words(text);
    names(text);
}

/// What is understood of a list is a list of just that.
fn entries<T: Serialize + DeserializeOwned + PartialEq + Debug>(text: &str) {
    let entries = listed::<T>(text);
    let json = serde_json::to_string(&entries).expect("a list is JSON");
    again(&entries, &json, |json| Ok::<_, ()>(listed(json)));
}

/// An event is read again by the command line, and by whoever finds it under `result`.
pub(super) fn event_comes_back(event: &ReplyEvent) {
    let json = serde_json::to_string(event).expect("an event is JSON");
    again(event, &json, |json| serde_json::from_str(json));
}

/// A line that is understood is an object with a type; one of ours can be written again.
pub(super) fn line(text: &str) {
    let Ok(line) = Line::parse(text) else {
        return;
    };
    let value: Value = serde_json::from_str(text).unwrap_or(Value::Null);
    // A value has less patience than a line that ignores most of itself: it may be too deep, or
    // hold a number that is none.
    assert!(
        value.is_null() || value["type"].is_string(),
        "{text} has a type"
    );
    assert!(text.trim_start().starts_with('{'), "{text} is an object");
    if let Line::Wrapper(own) = line {
        again(&own, &own.to_json(), |json| match Line::parse(json) {
            Ok(Line::Wrapper(own)) => Ok(own),
            other => Err(format!("{other:?}")),
        });
    }
}

/// Envelopes go through Redis as JSON.
pub(super) fn comes_back(envelope: &Envelope) {
    let json = envelope.to_json();
    let read = Envelope::parse(&json).expect("what was written is an envelope");
    assert_eq!(
        (read.seq, &read.turn, read.at, read.line.get()),
        (
            envelope.seq,
            &envelope.turn,
            envelope.at,
            envelope.line.get()
        )
    );
    assert_eq!(read.to_json(), json);
}

fn again<T: PartialEq + Debug, E: Debug>(
    value: &T,
    json: &str,
    read: impl Fn(&str) -> Result<T, E>,
) {
    if is_too_deep(json) {
        return;
    }
    match read(json) {
        Ok(read) => assert_eq!(read, *value, "{json}"),
        Err(error) => panic!("{json} does not come back: {error:?}"),
    }
}

fn words(text: &str) {
    if let Ok(status) = text.parse::<SessionStatus>() {
        assert_eq!(status.as_str(), text);
    }
    if let Ok(state) = text.parse::<ContainerState>() {
        assert_eq!(state.as_str(), text);
    }
}

fn names(text: &str) {
    let quoted = Value::from(text).to_string();
    macro_rules! name {
        ($($id:ident)*) => {$(
            // By hand or in JSON, the same names are taken.
            let given = $id::new(text).ok();
            assert_eq!(serde_json::from_str::<$id>(&quoted).ok(), given);
            if let Some(id) = given {
                assert_eq!(id.as_str(), text);
                assert_eq!(serde_json::to_string(&id).ok().as_ref(), Some(&quoted));
            }
        )*};
    }
    name!(SessionId TurnId AgentId ContainerId RequestId);
    if let Ok(session) = SessionId::new(text) {
        let name = session.docker_name();
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        assert!(name.chars().all(allowed), "{name}");
    }
}
