//! What a client's software adds to a prompt, and does not keep.

use ccpool::FailureKind;
use ccpool::provider::{Content, Message};
use serde_json::json;

use super::functions::{calls, result, results, scene, tool, weather};
use super::stage::{Stage, Talk, count};

fn aside(words: &str) -> Message {
    Message::Aside(vec![Content::Text(words.to_owned())])
}

/// Leaves out every aside, as the client does when it tells the conversation again.
fn forget(talk: &mut Talk) {
    let said = |message: &Message| !matches!(message, Message::Aside(_));
    talk.0.messages.retain(said);
}

#[tokio::test]
async fn it_is_told_with_its_prompt_and_not_expected_back() {
    let stage = Stage::new().await;
    for mut talk in [Talk::of("a"), Talk::named("a", "chat")] {
        talk.0.messages.push(Message::user("hello"));
        talk.0.messages.push(aside("It rains outside."));
        let first = stage.go_on(&mut talk).await;
        assert_eq!(count(&stage.asked("hello"), "It rains outside."), 1);
        forget(&mut talk);
        talk.0.messages.push(Message::user("again"));
        talk.0.messages.push(aside("The sun shines."));
        let second = stage.go_on(&mut talk).await;
        assert_eq!(second.session, first.session);
        let asked = stage.asked("again");
        assert_eq!(count(&asked, "<conversation>"), 0);
        assert_eq!(count(&asked, "The sun shines."), 1);
        forget(&mut talk);
        let third = stage.say(&mut talk, "and without").await;
        assert_eq!(third.session, first.session);
        // A fresh one is not told of them any more.
        stage.pool.end(&first.session).await.unwrap();
        talk.0.messages.insert(0, aside("Old weather."));
        talk.0.messages.push(Message::user("once more"));
        talk.0.messages.push(aside("New weather."));
        let fourth = stage.go_on(&mut talk).await;
        assert_ne!(fourth.session, first.session);
        let asked = stage.asked("once more");
        let told = ["Old weather.", "It rains outside.", "New weather."];
        assert_eq!(told.map(|words| count(&asked, words)), [0, 0, 1]);
        stage.pool.end(&fourth.session).await.unwrap();
    }
    stage.stop().await;
}

#[tokio::test]
async fn it_is_not_told_beside_results() {
    let stage = Stage::new().await;
    let mut talk = weather("a");
    let replies = json!([
        {"toolUse": tool("weather", "Paris")},
        {"text": "It is {{toolResult}}.", "toolUse": tool("time", "Paris")},
        {"text": "Done."},
    ]);
    talk.0.messages.push(Message::user(scene(&replies)));
    talk.0.messages.push(aside("carried along"));
    let mut told = stage.go_on(&mut talk).await;
    let session = told.session.clone();
    for words in ["rain", "noon"] {
        forget(&mut talk);
        let asked = calls(&told);
        talk.0.messages.push(result(&asked[0], words));
        talk.0.messages.push(aside("carried along"));
        told = stage.go_on(&mut talk).await;
        assert_eq!(told.session, session);
    }
    assert_eq!(told.text, "Done.");
    let given = [("rain".to_owned(), false), ("noon".to_owned(), false)];
    assert_eq!(results(&stage), given);
    forget(&mut talk);
    let last = stage.say(&mut talk, "thanks").await;
    assert_eq!(last.session, session);
    // With the prompt, and never after it.
    assert_eq!(count(&stage.asked("thanks"), "carried along"), 1);
    assert_eq!(stage.pool.session(&session).await.unwrap().turns, 2);
    stage.stop().await;
}

#[tokio::test]
async fn alone_it_asks_nothing() {
    let stage = Stage::new().await;
    let mut talk = Talk::of("a");
    talk.0.messages.push(aside("carried along"));
    let refused = stage.reply(&talk).await.unwrap_err();
    assert_eq!(refused.kind, FailureKind::InvalidRequest);
    stage.stop().await;
}
