//! Whatever a model passes, there is an answer or a refusal.

use ccpool::config::{Channel, ChannelKind, Config, Node, Secret};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::call::{by, call, refused, tools};

/// With a channel and a node that nothing can come from.
fn config() -> Config {
    let mut config = Config::default();
    config.tools.message.retries = 0;
    let channel = Channel {
        url: Secret::new("http://127.0.0.1:1/"),
        kind: ChannelKind::Slack,
        description: None,
    };
    let channels = &mut config.tools.message.channels;
    channels.insert("ops".to_owned(), channel);
    let node = Node {
        host: "127.0.0.1".to_owned(),
        port: 1,
        user: "nobody".to_owned(),
        identity_file: "/nonexistent".into(),
        known_hosts_file: "/nonexistent".into(),
        description: None,
        allow: vec!["true".parse().unwrap(), "echo * x*y **".parse().unwrap()],
        agents: None,
        timeout: std::time::Duration::from_secs(5),
        max_output_bytes: 1_024,
    };
    config.tools.nodes.insert("box".to_owned(), node);
    config
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        prop::sample::select(vec!["ops", "box", "true", "echo", "x-y", "", "\0"])
            .prop_map(Value::from),
        (1_usize..300_000).prop_map(|long| Value::from("x".repeat(long))),
    ];
    leaf.prop_recursive(3, 16, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(".{0,6}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn arguments() -> impl Strategy<Value = Map<String, Value>> {
    let keys = [
        "channel",
        "text",
        "node",
        "command",
        "stdin",
        "timeoutMs",
        "other",
    ];
    let key = prop::sample::select(keys.to_vec()).prop_map(str::to_owned);
    let loose = prop::collection::btree_map(key, value(), 0..5)
        .prop_map(|map| map.into_iter().collect::<Map<String, Value>>());
    // Nearly right ones reach further.
    let word = prop::sample::select(vec!["true", "echo", "x-y", "a b", "..", "\0", "'", "-x"]);
    let near = (
        prop::collection::vec(word, 0..5),
        prop::option::of(".{0,10}"),
        any::<Option<u64>>(),
    )
        .prop_map(|(command, stdin, timeout)| {
            let near = json!({
                "node": "box", "command": command, "stdin": stdin, "timeoutMs": timeout,
            });
            near.as_object().cloned().expect("an object")
        });
    prop_oneof![3 => loose, 1 => near]
}

#[tokio::test]
async fn a_long_argument_is_not_given_back() {
    let long = "x".repeat(300_000);
    for input in [
        json!({"node": "box", "command": ["true"], "timeoutMs": long}),
        json!({"node": long, "command": ["true"]}),
        json!({"node": "box", "command": [long]}),
    ] {
        let said = refused(call(&config(), "nodes_exec", input).await);
        assert!(said.len() < 2_000, "{}", said.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn are_answered_or_refused(arguments in arguments()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let tools = tools(&config());
        for tool in ["message", "nodes_list", "nodes_exec"] {
            let called = tools.call(tool, arguments.clone(), by("main"));
            let said = match runtime.block_on(called) {
                Ok(answer) => answer.text,
                Err(refusal) => refusal.as_str().to_owned(),
            };
            prop_assert!(!said.is_empty());
            // No refusal gives a long argument back.
            prop_assert!(said.len() < 2_000, "{} {}", tool, said.len());
        }
    }
}
