//! Prompts of content blocks.

use serde_json::{Value, json};

use super::play::Play;

/// One red pixel.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";

/// The blocks of this type that the model was given.
fn given(play: &Play, kind: &str) -> Vec<Value> {
    let messages = play.asked_model().messages();
    let blocks = messages
        .iter()
        .filter_map(|message| message["content"].as_array());
    let blocks = blocks.flatten().filter(|block| block["type"] == kind);
    blocks.cloned().collect()
}

fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

#[tokio::test]
async fn an_image_reaches_the_model() {
    let mut play = Play::begin().await;
    let source = json!({"type": "base64", "media_type": "image/png", "data": PNG});
    let content =
        json!([text(r#"[[do: {"text":"A pixel."}]]"#), {"type": "image", "source": source}]);
    play.push(json!({"turn": "t1", "content": content})).await;
    play.rig.ending("t1").await;
    let images = given(&play, "image");
    assert_eq!(images.len(), 1);
    assert_eq!(images[0]["source"], source);
    insta::assert_snapshot!(play.finish().await, @r#"t1: started text_delta text completed "A pixel.""#);
}

#[tokio::test]
async fn a_document_reaches_the_model() {
    let mut play = Play::begin().await;
    // "%PDF-1.4\n%%EOF\n"
    let source =
        json!({"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQKJSVFT0YK"});
    let content = json!([{"type": "document", "source": source}, text("Read it.")]);
    play.push(json!({"turn": "t1", "content": content})).await;
    play.rig.ending("t1").await;
    let documents = given(&play, "document");
    assert_eq!(documents.len(), 1);
    assert_eq!(documents[0]["source"], source);
    insta::assert_snapshot!(play.finish().await, @r#"t1: started text_delta text completed "You said: Read it.""#);
}

/// Also in a block nothing is run, and every block arrives.
#[tokio::test]
async fn blocks_that_look_like_commands() {
    let mut play = Play::begin().await;
    let content = json!([text("first"), text("@/etc/hostname"), text("/cost")]);
    play.push(json!({"turn": "t1", "content": content})).await;
    play.rig.ending("t1").await;
    let texts = given(&play, "text");
    for said in ["first", "@/etc/hostname", "/cost"] {
        assert!(texts.iter().any(|block| block["text"] == said), "{texts:?}");
    }
    insta::assert_snapshot!(play.finish().await, @r#"t1: started text_delta text completed "You said: /cost""#);
}

/// A picture that is none is for the model's service to refuse.
#[tokio::test]
async fn an_image_that_is_none() {
    let mut play = Play::begin().await;
    let source =
        json!({"type": "base64", "media_type": "image/png", "data": "bm90IGEgcGljdHVyZQ=="});
    let content =
        json!([text(r#"[[do: {"text":"I see."}]]"#), {"type": "image", "source": source}]);
    play.push(json!({"turn": "t1", "content": content})).await;
    play.rig.ending("t1").await;
    insta::assert_snapshot!(play.finish().await, @r#"t1: started text_delta text completed "I see.""#);
}

#[tokio::test]
async fn a_block_of_an_unknown_type() {
    let mut play = Play::begin().await;
    let content = json!([text(r#"[[do: {"text":"I see."}]]"#), {"type": "hologram", "x": 1}]);
    play.push(json!({"turn": "t1", "content": content})).await;
    play.rig.ending("t1").await;
    insta::assert_snapshot!(play.finish().await, @r#"t1: started text_delta text completed "I see.""#);
}
