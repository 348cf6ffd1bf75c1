//! Where a conversation goes on, and where it does not.

use serde_json::json;

use super::chat::{Chunks, words_of};
use super::talk::{Talk, end, place, told};
use crate::gateway::{Gateway, Setup, accepted};
use crate::sse::SseReader;
use reqwest::Method;

pub(super) fn roomy() -> Setup {
    let pool = json!({"minWarm": 1, "maxTotal": 6, "maxPerAgent": 6});
    Setup::default().with("pool", pool)
}

#[tokio::test]
async fn a_follow_up_goes_on_in_the_same_process_with_a_name_and_without() {
    let gateway = Gateway::start(roomy()).await;
    let talks = [
        Talk::of(&gateway).streamed(true),
        Talk::of(&gateway).with_header("x-session-id", "by-header"),
        Talk::of(&gateway).with("metadata", json!({"session_id": "by-metadata"})),
        Talk::of(&gateway).with("prompt_cache_key", json!("by-key:0")),
        Talk::of(&gateway).with_header("x-session-affinity", "by-affinity"),
        Talk::of(&gateway).with_header("x-openwebui-chat-id", "by-chat"),
    ];
    let names = [
        "",
        "by-header",
        "by-metadata",
        "by-key:0",
        "by-affinity",
        "by-chat",
    ];
    for (mut talk, name) in talks.into_iter().zip(names) {
        let first = talk.say("My favourite colour is teal.").await;
        if !name.is_empty() {
            assert_eq!(first.session, name);
        }
        let before = place(&gateway, &first.session).await;
        let second = talk.say("What is my favourite colour?").await;
        assert!(second.text().contains("teal"), "{second:?}");
        assert_eq!(second.session, first.session);
        assert_eq!(place(&gateway, &second.session).await, before);
        // Only what is new was sent.
        let texts = told(&gateway);
        assert!(!texts.contains("<conversation>"), "{texts}");
        end(&gateway, &first.session).await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn an_edited_history_goes_on_elsewhere() {
    let gateway = Gateway::start(roomy()).await;
    for name in [None, Some("chat")] {
        let mut talk = Talk::of(&gateway);
        if let Some(name) = name {
            talk = talk.with_header("x-session-id", name);
        }
        let first = talk.say("My favourite colour is teal.").await;
        let before = place(&gateway, &first.session).await;
        talk.messages()[0]["content"] = json!("My favourite colour is ochre.");
        talk.messages()[1]["content"] = json!("Noted.");
        let second = talk.say("What is my favourite colour?").await;
        assert_ne!(second.session, first.session);
        assert!(!second.text().contains("teal"), "{second:?}");
        assert_ne!(
            place(&gateway, &second.session).await.container,
            before.container
        );
        if let Some(name) = name {
            assert_eq!(second.session, format!("{name}.2"));
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn two_callers_never_share() {
    let gateway = Gateway::start(roomy()).await;
    for name in [None, Some("chat")] {
        let mut ann = Talk::of(&gateway).with("user", json!("ann"));
        if let Some(name) = name {
            ann = ann.with_header("x-session-id", name);
        }
        let first = ann.say("My favourite colour is teal.").await;
        // Word for word the same, by somebody else.
        let mut bob = ann.clone().with("user", json!("bob"));
        let theirs = bob.say("and here").await;
        assert_ne!(theirs.session, first.session, "{name:?}");
        let here = place(&gateway, &first.session).await;
        let there = place(&gateway, &theirs.session).await;
        assert_ne!(
            (here.container, here.claude),
            (there.container, there.claude)
        );
        let again = ann.say("and there").await;
        assert_eq!(again.session, first.session, "{name:?}");
        assert_eq!(bob.say("on").await.session, theirs.session, "{name:?}");
    }
    gateway.stop().await;
}

/// Titles that Open WebUI asks for under the chat's name leave the chat alone.
#[tokio::test]
async fn a_title_under_the_chats_name_leaves_the_chat_where_it_is() {
    let gateway = Gateway::start(roomy()).await;
    let header = "x-openwebui-chat-id";
    let mut chat = Talk::of(&gateway).with_header(header, "chat");
    let mut title = Talk::of(&gateway).with_header(header, "chat");
    let first = chat.say("hello").await;
    assert_eq!(first.session, "chat");
    let before = place(&gateway, "chat").await;
    let other = title.say("Give this chat a title.").await;
    assert_ne!(other.session, "chat");
    assert_eq!(chat.say("on").await.session, "chat");
    assert_eq!(place(&gateway, "chat").await, before);
    gateway.stop().await;
}

#[tokio::test]
async fn whoever_disconnects_interrupts_the_turn() {
    let gateway = Gateway::start(roomy()).await;
    let scene = json!({"text": "one two three four", "stallAfter": 2});
    let prompt = format!("[[do: {scene}]]");
    let mut talk = Talk::of(&gateway)
        .streamed(true)
        .with_header("x-session-id", "chat");
    talk.messages()
        .push(json!({"role": "user", "content": prompt}));
    let mut stream = Chunks::of(talk.request()).await;
    stream.until("two").await;
    let turn = stream.response["x-ccpool-turn"].to_str().expect("ASCII");
    let path = format!("/api/docker-cc/sessions/chat/events?turn={turn}");
    drop(stream);
    let events = gateway.request(Method::GET, &path).send().await;
    let mut events = SseReader::of(accepted(events.expect("an answer")).await);
    let failed = events.wait_for("failed").await;
    assert_eq!(failed.data["kind"], "interrupted", "{failed:?}");
    // The model is not asked any more, and the client can ask again.
    let outcome = async || {
        let requests = gateway.model.requests();
        let stalled = requests
            .iter()
            .find(|request| request.last_user_text.contains("two"))?;
        stalled.outcome().map(|_| ())
    };
    crate::parts::eventually("the model's answer is given up", outcome).await;
    talk.messages()[0]["content"] = json!("[[do: {\"text\":\"well\"}]]");
    let pieces = Chunks::of(talk.request()).await.rest().await;
    assert_eq!(words_of(&pieces), "well");
    gateway.stop().await;
}
