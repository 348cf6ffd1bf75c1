//! What a fresh session is told of a conversation that began elsewhere.

use serde_json::{Value, json};

use super::{Content, Conversation, ImageSource, Message};

const BEFORE: &str = "\
The conversation so far, before it came to you. Go on from it; do not answer it again.";

/// The prompt as content blocks for `claude`: what came before as text, then what is new.
pub fn blocks(conversation: &Conversation) -> Vec<Value> {
    let (before, new) = conversation.messages.split_at(conversation.known());
    let mut blocks = Vec::new();
    if !before.is_empty() {
        let told: String = before.iter().map(told).collect();
        blocks.push(text(format!(
            "<conversation>\n{BEFORE}\n\n{told}</conversation>"
        )));
    }
    for message in new {
        match message {
            Message::User(content) => blocks.extend(content.iter().map(block)),
            Message::Assistant { .. } | Message::Tool { .. } => blocks.push(text(told(message))),
        }
    }
    blocks
}

fn told(message: &Message) -> String {
    match message {
        Message::User(content) => format!("User: {}\n\n", words(content)),
        Message::Assistant { text, calls } => {
            let calls = calls
                .iter()
                .map(|call| format!("[called {} with {}] ", call.name, call.arguments));
            format!("Assistant: {text}{}\n\n", calls.collect::<String>())
        }
        Message::Tool { call, content } => format!("Result of {call}: {}\n\n", words(content)),
    }
}

fn words(content: &[Content]) -> String {
    let words = content.iter().map(|part| match part {
        Content::Text(text) => text.as_str(),
        Content::Image(_) => "[image]",
    });
    words.collect::<Vec<_>>().join("\n")
}

/// A content block of the Messages API.
pub(super) fn block(content: &Content) -> Value {
    match content {
        Content::Text(words) => text(words.as_str()),
        Content::Image(ImageSource::Base64 { media_type, data }) => json!({
            "type": "image",
            "source": {"type": "base64", "media_type": media_type, "data": data},
        }),
        Content::Image(ImageSource::Url(url)) => {
            json!({"type": "image", "source": {"type": "url", "url": url}})
        }
    }
}

fn text(text: impl Into<String>) -> Value {
    json!({"type": "text", "text": text.into()})
}
