//! What comes back of calls, as clients send it.

use ccpool::Event;
use ccpool::provider::{Content, ImageSource, Message, plain_call_id};
use serde_json::{Value, json};

use super::functions::{calls, results, scene, tool, weather};
use super::stage::{Stage, Talk};

const PIXEL: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// As a client does that leaves only letters and digits of ids, and writes numbers its own way.
fn rewrite(talk: &mut Talk) {
    for message in &mut talk.0.messages {
        match message {
            Message::Assistant { calls, .. } => {
                for call in calls {
                    call.id = plain_call_id(&call.id);
                    let arguments = call.arguments.to_string().replace("1.0", "1");
                    call.arguments = serde_json::from_str(&arguments).unwrap();
                }
            }
            Message::Tool { call, .. } => *call = plain_call_id(call),
            Message::User(_) | Message::Aside(_) => {}
        }
    }
}

fn png() -> Content {
    Content::Image(ImageSource::Base64 {
        media_type: "image/png".to_owned(),
        data: PIXEL.to_owned(),
    })
}

/// Blocks of the newest request of this type, with what they hold.
fn blocks(stage: &Stage, kind: &str) -> Vec<Value> {
    let requests = stage.model.requests();
    let newest = requests.iter().rfind(|request| request.stream).unwrap();
    let body = newest.body().unwrap();
    let messages = body["messages"].as_array().unwrap().clone();
    let blocks = messages.iter().flat_map(|message| {
        let blocks = message["content"].as_array();
        blocks.cloned().unwrap_or_default()
    });
    blocks.filter(|block| block["type"] == kind).collect()
}

#[tokio::test]
async fn ids_that_lost_their_signs_find_their_calls() {
    let stage = Stage::new().await;
    let mut talk = weather("a");
    let call = |id: &str, name: &str| {
        let input = json!({"city": "Oslo", "days": 1.0});
        json!({"id": id, "name": format!("mcp__client__{name}"), "input": input})
    };
    let replies = json!([
        {"toolUse": [call("toolu_01-A", "weather"), call("toolu_02_B", "weather")]},
        {"toolUse": call(&format!("toolu_{}", "long_".repeat(12)), "time")},
        {"text": "ok"},
    ]);
    let first = stage.say(&mut talk, &scene(&replies)).await;
    // The library's own callers are given them as they are.
    let ids: Vec<String> = calls(&first).into_iter().map(|call| call.id).collect();
    assert_eq!(ids, ["toolu_01-A", "toolu_02_B"]);
    for (id, text) in ids.iter().zip(["rain", "sun"]) {
        talk.0.messages.push(Message::Tool {
            call: plain_call_id(id),
            content: vec![Content::Text(text.to_owned())],
        });
    }
    rewrite(&mut talk);
    let second = stage.go_on(&mut talk).await;
    assert_eq!(second.session, first.session);
    let told = results(&stage);
    for text in ["rain", "sun"] {
        assert!(told.contains(&(text.to_owned(), false)), "{told:?}");
    }
    talk.0.messages.push(Message::Tool {
        call: calls(&second)[0].id.clone(),
        content: vec![Content::Text("noon".to_owned())],
    });
    rewrite(&mut talk);
    let third = stage.go_on(&mut talk).await;
    assert_eq!(third.text, "ok");
    assert!(matches!(third.ending, Event::Completed(_)), "{third:?}");
    assert_eq!(results(&stage).last(), Some(&("noon".to_owned(), false)));
    rewrite(&mut talk);
    let fourth = stage.say(&mut talk, "thanks").await;
    assert_eq!([&third.session, &fourth.session], [&first.session; 2]);
    stage.stop().await;
}

#[tokio::test]
async fn an_image_after_a_result_belongs_to_it() {
    let stage = Stage::new().await;
    let mut talk = weather("a");
    let replies = json!([{"toolUse": tool("weather", "Paris")}, {"text": "I see."}]);
    let first = stage.say(&mut talk, &scene(&replies)).await;
    talk.0.messages.push(Message::Tool {
        call: calls(&first)[0].id.clone(),
        content: vec![Content::Text("a picture".to_owned())],
    });
    let words = Content::Text("Image(s) from tool result #1:".to_owned());
    talk.0.messages.push(Message::User(vec![words, png()]));
    let second = stage.go_on(&mut talk).await;
    assert_eq!(second.text, "I see.");
    let [result] = &blocks(&stage, "tool_result")[..] else {
        panic!("one result is expected");
    };
    let parts = result["content"].as_array().expect("blocks");
    let kinds: Vec<_> = parts
        .iter()
        .filter_map(|part| part["type"].as_str())
        .collect();
    // The CLI adds where it keeps the image.
    assert_eq!(kinds[..3], ["text", "text", "image"], "{result}");
    assert_eq!(blocks(&stage, "image"), Vec::<Value>::new());
    // It stays in the client's history.
    let third = stage.say(&mut talk, "thanks").await;
    assert_eq!([&second.session, &third.session], [&first.session; 2]);
    assert_eq!(stage.pool.session(&first.session).await.unwrap().turns, 2);
    stage.stop().await;
}
