//! Items of the `input` list, which anybody may push by hand, and the lines made from them.

use ccpool_protocol::TurnId;
use ccpool_protocol::input::{InputError, InputItem};
use ccpool_protocol::stdin::{Initialize, StdinLine};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::nesting::is_too_deep;

/// The bytes are an item, or nearly one; as text they are also what a person may have typed.
pub fn check(data: &[u8]) {
    match InputItem::parse(data) {
        Ok(item) => accepted(data, &item),
        Err(InputError::NotUtf8(valid)) => {
            let error = std::str::from_utf8(data).expect_err("it is not UTF-8");
            assert_eq!(error.valid_up_to(), valid);
        }
        Err(
            InputError::NotJson(_)
            | InputError::Empty
            | InputError::Both
            | InputError::Functions(_),
        ) => {}
    }
    the_turn_is_found_in_any_object(data);
    text_goes_into_lines(&String::from_utf8_lossy(data));
}

fn accepted(data: &[u8], item: &InputItem) {
    assert!(item.check().is_ok(), "{item:?}");
    assert_eq!(InputItem::turn_named(data), item.turn, "{item:?}");
    let json = serde_json::to_string(item).expect("an item is JSON");
    if !is_too_deep(&json) {
        let again = InputItem::parse(json.as_bytes()).expect("what was written is an item");
        assert_eq!(again, *item, "{json}");
    }
    let line = StdinLine::prompt(item, "9f0c");
    let text = one_line(&line);
    if is_too_deep(text) {
        return;
    }
    let value: Value = serde_json::from_str(text).expect("a line is JSON");
    let content = &value["message"]["content"];
    match (&item.text, &item.content) {
        (Some(text), None) => assert_eq!(content, text, "verbatim"),
        (None, Some(blocks)) => assert_eq!(content, &Value::Array(blocks.clone())),
        (Some(_), Some(_)) | (None, None) => panic!("{item:?} is no prompt"),
    }
    assert_eq!(value.get("client_composed").is_some(), !item.command);
    assert_eq!(value["uuid"], "9f0c");
}

/// A prompt that is refused must still end its turn, so the name counts whatever the rest is.
fn the_turn_is_found_in_any_object(data: &[u8]) {
    let named = InputItem::turn_named(data);
    if let Some(turn) = &named {
        assert_eq!(TurnId::new(turn.as_str()).as_ref(), Ok(turn));
    }
    // Written again, an object has each key once.
    let Ok(Value::Object(fields)) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    let turn = fields.get("turn").and_then(Value::as_str);
    let turn = turn.and_then(|turn| TurnId::new(turn).ok());
    let json = Value::Object(fields).to_string();
    assert_eq!(InputItem::turn_named(json.as_bytes()), turn, "{json}");
}

fn text_goes_into_lines(text: &str) {
    let schema = Map::from_iter([(text.to_owned(), Value::from(text))]);
    let with = Initialize {
        system_prompt: Some(text),
        append_system_prompt: Some(text),
        output_schema: Some(&schema),
    };
    let lines = [
        StdinLine::mcp_status(text),
        StdinLine::initialize("r1", with),
        StdinLine::set_servers("r1", Some((text, 5))),
        StdinLine::set_model("r1", text),
        StdinLine::interrupt(text),
        StdinLine::refuse("r1", text),
        StdinLine::answer("r1", &Value::from(text)),
    ];
    for line in &lines {
        one_line(line);
    }
}

/// `claude` ends over a line that is none, or two.
fn one_line(line: &StdinLine) -> &str {
    let text = std::str::from_utf8(line.as_bytes()).expect("a line is UTF-8");
    let body = text.strip_suffix('\n').expect("a line has its end");
    assert!(!body.contains(['\n', '\r']), "{text:?} is one line");
    // Unlike a value, raw JSON is read at any depth.
    let raw: &RawValue = serde_json::from_str(body).expect("a line is JSON");
    assert!(raw.get().starts_with('{'), "{text:?} is an object");
    body
}
