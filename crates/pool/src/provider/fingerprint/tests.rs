use ccpool_protocol::function::FunctionCall;
use proptest::prelude::*;
use serde_json::json;

use super::*;

const TERMS: Terms<'static> = Terms {
    caller: "a",
    agent: "main",
    model: "opus",
    system: Some("be brief"),
    system_mode: SystemMode::Append,
    output: None,
};

fn call(id: &str, name: &str, arguments: Value) -> FunctionCall {
    FunctionCall {
        id: id.to_owned(),
        name: name.to_owned(),
        arguments,
    }
}

fn said(message: Message) -> Fingerprint {
    Fingerprint::of(&[message])
}

fn called(calls: Vec<FunctionCall>) -> Fingerprint {
    said(Message::Assistant {
        text: String::new(),
        calls,
    })
}

#[test]
fn whitespace_around_a_text_and_the_order_of_keys_do_not_count() {
    let (loose, tight) = (Message::user(" hi\n"), Message::user("hi"));
    assert_eq!(said(loose), said(tight));
    let (loose, tight) = (Message::assistant("hi\n\n"), Message::assistant("hi"));
    assert_eq!(said(loose), said(tight));
    let with_empty = Message::User(vec![
        Content::Text(" ".to_owned()),
        Content::Text("hi".to_owned()),
    ]);
    assert_eq!(said(with_empty), said(Message::user("hi")));
    let (one, other): (Value, Value) = (
        serde_json::from_str(r#"{"a":1,"b":{"x":1.0,"y":-0.0}}"#).unwrap(),
        serde_json::from_str(r#"{"b":{"y":0,"x":1},"a":1}"#).unwrap(),
    );
    let (one, other) = (vec![call("1", "f", one)], vec![call("1", "f", other)]);
    assert_eq!(called(one), called(other));
}

/// What `JSON.stringify(JSON.parse(…))` makes of arguments.
#[test]
fn numbers_are_those_of_javascript() {
    for (sent, back) in [
        ("1.0", "1"),
        ("1e3", "1000"),
        ("-0", "0"),
        ("0.10", "0.1"),
        ("1e21", "1e+21"),
        ("9007199254740993", "9007199254740992"),
        ("-12345678901234567890", "-12345678901234567000"),
        ("1e300", "1e+300"),
    ] {
        let number = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let of = |text: &str| called(vec![call("1", "f", json!({"n": number(text)}))]);
        assert_eq!(of(sent), of(back), "{sent}");
        assert_ne!(of(sent), of("7"), "{sent}");
    }
}

#[test]
fn ids_of_calls_are_compared_as_clients_leave_them() {
    let result = |call: &str| Message::Tool {
        call: call.to_owned(),
        content: Vec::new(),
    };
    let called = |id: &str| called(vec![call(id, "f", json!({}))]);
    assert_eq!(called("toolu_01Ab"), called("toolu01Ab"));
    assert_eq!(said(result("toolu_01Ab")), said(result("toolu01Ab")));
    assert_ne!(called("toolu_01Ab"), called("toolu01Ac"));
    assert_ne!(said(result("toolu_01Ab")), said(result("toolu01Ac")));
}

#[test]
fn asides_are_no_part_of_it() {
    let aside = |text: &str| Message::Aside(vec![Content::Text(text.to_owned())]);
    let (user, model) = (Message::user("hi"), Message::assistant("hello"));
    let with = [
        aside("a"),
        user.clone(),
        aside("b"),
        model.clone(),
        aside("c"),
    ];
    assert_eq!(Fingerprint::of(&with), Fingerprint::of(&[user, model]));
    assert_eq!(Fingerprint::of(&[aside("a")]), Fingerprint::of(&[]));
}

#[test]
fn everything_else_counts() {
    let image = |data: &str| {
        let media_type = "image/png".to_owned();
        let data = data.to_owned();
        Message::User(vec![Content::Image(ImageSource::Base64 {
            media_type,
            data,
        })])
    };
    let url = |url: &str| Message::User(vec![Content::Image(ImageSource::Url(url.to_owned()))]);
    let tool = |call: &str, text: &str| Message::Tool {
        call: call.to_owned(),
        content: vec![Content::Text(text.to_owned())],
    };
    let texts = |texts: &[&str]| {
        let texts = texts.iter().map(|text| Content::Text((*text).to_owned()));
        Message::User(texts.collect())
    };
    let mut all = vec![
        Fingerprint::of(&[]),
        Fingerprint::of(&[Message::user("hi"), Message::user("hi")]),
        called(Vec::new()),
        called(vec![call("1", "f", json!({}))]),
        called(vec![call("1", "f", json!({"a": 1}))]),
        called(vec![call("1", "f", json!({"a": "1"}))]),
        called(vec![call("1", "f", json!({"a": 1.5}))]),
        called(vec![call("1", "f", json!({"a": [1]}))]),
        called(vec![call("1", "f", json!({"a": null}))]),
        called(vec![call("1", "f", json!({"a": true}))]),
        called(vec![call("1", "f", json!({"a": false}))]),
        called(vec![call("1", "f", json!([]))]),
        called(vec![call("2", "f", json!({}))]),
        called(vec![call("1", "g", json!({}))]),
        called(vec![call("1f", "", json!({}))]),
        called(vec![call("1", "f", json!({})), call("2", "f", json!({}))]),
    ];
    all.extend(
        [
            Message::user("hi"),
            Message::assistant("hi"),
            tool("hi", ""),
            tool("", "hi"),
            tool("h", "i"),
            texts(&["hi", "hi"]),
            texts(&["h", "i"]),
            texts(&["hi hi"]),
            image("hi"),
            image("ho"),
            url("hi"),
        ]
        .map(said),
    );
    for (at, one) in all.iter().enumerate() {
        for other in &all[at + 1..] {
            assert_ne!(one, other, "{at}");
        }
    }
}

#[test]
fn the_terms_count() {
    let here = Fingerprint::of(&[Message::user("hi")]);
    let all = [
        TERMS,
        Terms {
            output: Some(&here),
            ..TERMS
        },
        Terms {
            caller: "b",
            ..TERMS
        },
        Terms {
            agent: "b",
            ..TERMS
        },
        Terms {
            model: "b",
            ..TERMS
        },
        Terms {
            system: Some("b"),
            ..TERMS
        },
        Terms {
            system: Some(""),
            ..TERMS
        },
        Terms {
            system: None,
            ..TERMS
        },
        Terms {
            system_mode: SystemMode::Replace,
            ..TERMS
        },
        Terms {
            caller: "amain",
            agent: "",
            ..TERMS
        },
    ]
    .map(|terms| here.under(terms));
    for (at, one) in all.iter().enumerate() {
        assert!(all[at + 1..].iter().all(|other| other != one), "{at}");
        assert_ne!(*one, here);
    }
    assert_ne!(name("a", "b", "c"), name("a", "bc", ""));
    assert_ne!(json(&["ab"]), json(&["a", "b"]));
}

fn contents() -> impl Strategy<Value = Vec<Content>> {
    let text = "[ab \n]{0,4}".prop_map(Content::Text);
    let image = "[ab]{0,2}".prop_map(|data| {
        Content::Image(ImageSource::Base64 {
            media_type: "a".to_owned(),
            data,
        })
    });
    proptest::collection::vec(prop_oneof![3 => text, 1 => image], 0..3)
}

fn messages() -> impl Strategy<Value = Vec<Message>> {
    let calls = proptest::collection::vec(("[ab]{0,2}", "[ab]{0,2}", 0..3_u8), 0..2);
    let assistant = ("[ab \n]{0,4}", calls).prop_map(|(text, calls)| {
        let calls = calls.into_iter();
        let calls = calls.map(|(id, name, number)| call(&id, &name, json!({"n": number})));
        let calls = calls.collect();
        Message::Assistant { text, calls }
    });
    let tool =
        ("[ab]{0,2}", contents()).prop_map(|(call, content)| Message::Tool { call, content });
    let user = contents().prop_map(Message::User);
    let aside = contents().prop_map(Message::Aside);
    proptest::collection::vec(prop_oneof![user, assistant, tool, aside], 0..4)
}

/// What may not differ, in words that are compared as they are.
fn plain(messages: &[Message]) -> Vec<String> {
    let content = |content: &[Content]| {
        let parts = content.iter().filter_map(|part| match part {
            Content::Text(text) if text.trim().is_empty() => None,
            Content::Text(text) => Some(format!("{:?}", text.trim())),
            Content::Image(image) => Some(format!("{image:?}")),
        });
        parts.collect::<Vec<_>>()
    };
    let said = messages.iter().filter(|m| !matches!(m, Message::Aside(_)));
    let plain = said.map(|message| match message {
        Message::User(parts) => format!("user {:?}", content(parts)),
        Message::Assistant { text, calls } => format!("assistant {:?} {calls:?}", text.trim()),
        Message::Tool {
            call,
            content: parts,
        } => format!("tool {call:?} {:?}", content(parts)),
        Message::Aside(_) => unreachable!("they are left out"),
    });
    plain.collect()
}

proptest! {
    #[test]
    fn same_means_same_and_nothing_else(one in messages(), other in messages()) {
        let is_same = plain(&one) == plain(&other);
        prop_assert_eq!(Fingerprint::of(&one) == Fingerprint::of(&other), is_same);
        let (one, other) = (Fingerprint::of(&one), Fingerprint::of(&other));
        prop_assert_eq!(one.under(TERMS) == other.under(TERMS), is_same);
    }

    #[test]
    fn it_grows_message_by_message(all in messages(), at in 0..5_usize) {
        let (before, after) = all.split_at(at.min(all.len()));
        prop_assert_eq!(Fingerprint::of(before).then(after), Fingerprint::of(&all));
    }
}
