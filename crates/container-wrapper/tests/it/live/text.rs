//! The model talks.

use ccpool_protocol::event::Event;
use serde_json::json;

use super::play::Play;
use crate::support::PATIENCE;

#[tokio::test]
async fn t01_text_multi_turn() {
    let mut play = Play::begin().await;
    play.acted("t1", json!({"text": "A plain answer."})).await;
    let blocks = json!({"blocks": [{"text": "The first block."}, {"text": "The second."}]});
    play.acted("t2", blocks).await;
    let thinking = json!({"thinking": "Let me think of it.", "text": "I have thought."});
    play.acted("t3", thinking).await;
    let events = play.transcript().await;
    let thought = events.of("t3").filter_map(|event| match &event.event {
        Event::ThinkingDelta { text, .. } => Some(text.as_str()),
        _ => None,
    });
    assert_eq!(thought.collect::<String>(), "Let me think of it.");
    insta::assert_snapshot!(play.finish().await, @r#"
    t1: started text_delta text completed "A plain answer."
    t2: started text_delta text text_delta text completed "The second."
    t3: started thinking text_delta text completed "I have thought."
    "#);
}

#[tokio::test]
async fn t02_initialize_then_turn() {
    let more = json!({"appendSystemPrompt": "Mind the heron."});
    let mut play = Play::assigned(more, |_| {}).await;
    play.acted("t1", json!({"text": "Minded."})).await;
    let request = play.asked_model();
    assert!(request.system_text().contains("Mind the heron."));
    insta::assert_snapshot!(play.finish().await, @r#"t1: started text_delta text completed "Minded.""#);
}

#[tokio::test]
async fn t01_a_conversation_is_remembered() {
    let mut play = Play::begin().await;
    play.said("t1", "My favourite colour is teal.").await;
    let ending = play.said("t2", "What is my favourite colour?").await;
    assert!(
        ending["text"].as_str().unwrap().contains("teal"),
        "{ending}"
    );
    assert!(
        ending["usage"]["outputTokens"].as_u64() > Some(0),
        "{ending}"
    );
    assert!(ending["costUsd"].as_f64() > Some(0.0), "{ending}");
    play.finish().await;
}

/// The CLI asks once more, and the second answer counts.
#[tokio::test]
async fn an_empty_answer_is_asked_for_again() {
    let mut play = Play::begin().await;
    play.said("t1", "[[script:empty]]").await;
    insta::assert_snapshot!(play.finish().await, @r#"t1: started text_delta text completed "Now with words.""#);
}

#[tokio::test]
async fn an_answer_that_stays_empty_completes_without_text() {
    let mut play = Play::begin().await;
    play.acted(
        "t1",
        json!([{"empty": true}, {"empty": true}, {"empty": true}]),
    )
    .await;
    insta::assert_snapshot!(play.finish().await, @r#"t1: started completed """#);
}

/// Separators of lines and paragraphs, a lone carriage return, characters of many bytes: one line
/// stays one line on both pipes, and every character comes back.
#[tokio::test]
async fn characters_that_break_lines_elsewhere() {
    let odd = "a\u{2028}b\u{2029}c\rd\u{85}e\u{0b}f\u{0}g 👩‍👩‍👧‍👦 é e\u{301} \u{feff}ÿ \u{10ffff}\tend";
    let mut play = Play::begin().await;
    let ending = play.acted("t1", json!({"text": odd, "chunk": 1})).await;
    assert_eq!(ending["text"], odd);
    let ending = play.said("t2", odd).await;
    assert!(
        ending["text"].as_str().unwrap().contains("👩‍👩‍👧‍👦 é e\u{301}"),
        "{ending}"
    );
    let asked =
        |request: &ccpool_scripted_model::RecordedRequest| request.last_user_text.contains(odd);
    play.rig
        .model
        .wait_for_request(asked, PATIENCE)
        .await
        .unwrap();
    play.finish().await;
}

/// A megabyte goes through Redis, both pipes and to the model in one piece.
#[tokio::test]
async fn t14o_a_prompt_of_a_megabyte() {
    let mut play = Play::with(|boot| boot.claude.model = Some("opus".to_owned())).await;
    let mut text = "word ".repeat(200_000);
    text.push_str(r#"[[do: {"text":"Long."}]]"#);
    play.said("t1", &text).await;
    let request = play.asked_model();
    assert!(request.body_bytes > text.len());
    insta::assert_snapshot!(play.finish().await, @r#"t1: started text_delta text completed "Long.""#);
}
