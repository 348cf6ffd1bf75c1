//! Whatever a model passes, it gets an answer or a refusal.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::Refusal;

/// Hosts and schemes that matter, with anything around them.
fn url() -> impl Strategy<Value = String> {
    let begin = prop::sample::select(vec![
        "",
        "http://",
        "https://",
        "http:",
        "//",
        "file://",
        "http://[",
        "http://example.org",
    ]);
    (begin, any::<String>()).prop_map(|(begin, rest)| format!("{begin}{rest}"))
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(|n| json!(n)),
        url().prop_map(Value::from),
        prop::collection::vec(any::<u8>(), 0..3).prop_map(|list| json!(list)),
    ]
}

fn arguments() -> impl Strategy<Value = Map<String, Value>> {
    let usual = (url(), any::<u64>(), any::<u64>(), any::<bool>()).prop_map(
        |(url, max_chars, offset, raw)| {
            let usual = json!({"url": url, "maxChars": max_chars, "offset": offset, "raw": raw});
            usual.as_object().unwrap().clone()
        },
    );
    let name = prop::sample::select(vec!["url", "maxChars", "offset", "raw", "more"]);
    let name = name.prop_map(str::to_owned);
    let wild =
        prop::collection::vec((name, value()), 0..5).prop_map(|list| list.into_iter().collect());
    prop_oneof![usual, wild]
}

#[test]
fn any_arguments_are_answered() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (tool, _, _server) = runtime.block_on(world(&[], |_| Reply::ok("text/plain", "words")));
    let mut runner = proptest::test_runner::TestRunner::default();
    let outcome = runner.run(&arguments(), |arguments| {
        let Ok(page) = serde_json::from_value::<Page>(Value::Object(arguments)) else {
            return Ok(());
        };
        let said = match runtime.block_on(tool.fetch(&page)) {
            Ok(text) => text,
            Err(error) => Refusal::from(error).as_str().to_owned(),
        };
        prop_assert!(!said.is_empty() && said.len() < 8000, "{said}");
        Ok(())
    });
    outcome.unwrap();
}
