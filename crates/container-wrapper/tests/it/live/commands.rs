//! Commands of the CLI, and texts that only look like them.

use ccpool_protocol::state::field;
use serde_json::json;

use super::play::Play;

/// How often the model was asked.
fn asked(play: &Play) -> usize {
    let requests = play.rig.model.requests();
    requests.iter().filter(|request| request.stream).count()
}

#[tokio::test]
async fn t42c_client_composed() {
    let mut play = Play::begin().await;
    let texts = [
        "/context",
        "/compact now",
        "/nonesuch",
        "@/etc/hostname",
        "!ls",
        "# remember this",
    ];
    for (number, text) in texts.iter().enumerate() {
        let ending = play.said(&format!("t{number}"), text).await;
        assert_eq!(ending["text"], format!("You said: {text}"));
        assert_eq!(play.asked_model().last_user_text, *text);
    }
    assert_eq!(asked(&play), texts.len());
    play.finish().await;
}

#[tokio::test]
async fn t16i_compact_manual() {
    let mut play = Play::begin().await;
    play.said("t1", "My favourite colour is teal.").await;
    play.act("t2", json!({"text": "Talk on."})).await;
    play.command("t3", "/compact").await;
    play.rig.ending("t3").await;
    insta::assert_snapshot!(play.finish().await, @r#"
    t1: started text_delta text completed "Got it: your favourite colour is teal. I will remember it."
    t2: started text_delta text completed "Talk on."
    t3: status(compacting) status(compacted) started status(compacted) completed ""
    "#);
}

#[tokio::test]
async fn compacting_nothing() {
    let mut play = Play::begin().await;
    play.command("t1", "/compact").await;
    play.rig.ending("t1").await;
    insta::assert_snapshot!(play.finish().await, @r#"t1: started text_delta text completed """#);
}

#[tokio::test]
async fn a_cost_command_is_answered_without_the_model() {
    let mut play = Play::begin().await;
    play.command("t1", "/cost").await;
    let ending = play.rig.ending("t1").await;
    assert!(!ending["text"].as_str().unwrap().is_empty(), "{ending}");
    assert_eq!(asked(&play), 0);
    play.finish().await;
}

#[tokio::test]
async fn a_context_command_tells_of_the_context() {
    let mut play = Play::begin().await;
    play.said("t1", "hello").await;
    play.command("t2", "/context").await;
    let ending = play.rig.ending("t2").await;
    assert!(
        ending["text"].as_str().unwrap().contains("Context"),
        "{ending}"
    );
    assert_eq!(asked(&play), 1);
    play.finish().await;
}

/// Another conversation begins, by another name.
#[tokio::test]
async fn a_clear_command_forgets() {
    let mut play = Play::begin().await;
    let before = play.said("t1", "My favourite colour is teal.").await;
    play.command("t2", "/clear").await;
    let after = play.said("t3", "What is my favourite colour?").await;
    assert!(!after["text"].as_str().unwrap().contains("teal"), "{after}");
    assert_ne!(before["session"], after["session"]);
    let session = play.rig.state(field::CLI_SESSION_ID).await;
    assert_eq!(session.as_deref(), after["session"].as_str());
    play.finish().await;
}

/// A command that the CLI does not have goes to the model.
#[tokio::test]
async fn an_unknown_command() {
    let mut play = Play::begin().await;
    play.command("t1", "/nonesuch of this").await;
    play.rig.ending("t1").await;
    insta::assert_snapshot!(play.finish().await, @r#"t1: started text_delta text completed "You said: /nonesuch of this""#);
}

/// What is no message of ccpool's is let go.
#[tokio::test]
async fn control_messages_that_are_none() {
    let mut play = Play::begin().await;
    for message in [
        "reboot",
        "",
        "{}",
        r#"{"type":"warp"}"#,
        r#"{"type":"set_model","model":" "}"#,
    ] {
        play.rig.control(message).await;
    }
    play.said("t1", "hello").await;
    assert!(
        play.asked_model()
            .model
            .as_deref()
            .unwrap()
            .contains("haiku")
    );
    insta::assert_snapshot!(play.finish().await, @r#"t1: started text_delta text completed "You said: hello""#);
}

#[tokio::test]
async fn t42b_another_model_between_turns() {
    let mut play = Play::begin().await;
    play.said("t1", "hello").await;
    assert!(
        play.asked_model()
            .model
            .as_deref()
            .unwrap()
            .contains("haiku")
    );
    play.rig
        .control(r#"{"type":"set_model","model":"sonnet"}"#)
        .await;
    play.said("t2", "hello").await;
    assert!(
        play.asked_model()
            .model
            .as_deref()
            .unwrap()
            .contains("sonnet")
    );
    assert!(
        play.rig
            .state(field::MODEL)
            .await
            .unwrap()
            .contains("sonnet")
    );
    insta::assert_snapshot!(play.finish().await, @r#"
    t1: started text_delta text completed "You said: hello"
    t2: started text_delta text completed "You said: hello"
    "#);
}

/// A model that does not exist is refused before anything is asked of it, and the old one stays.
#[tokio::test]
async fn t42b_a_model_that_does_not_exist() {
    let mut play = Play::begin().await;
    play.rig
        .control(r#"{"type":"set_model","model":"no-such-model-9"}"#)
        .await;
    play.said("t1", "hello").await;
    assert!(
        play.asked_model()
            .model
            .as_deref()
            .unwrap()
            .contains("haiku")
    );
    insta::assert_snapshot!(play.finish().await, @r#"t1: started text_delta text completed "You said: hello""#);
}

/// Half way to the limit of the context the CLI shortens the conversation by itself.
#[tokio::test]
async fn t19b_compact_auto() {
    let window = (
        "CLAUDE_CODE_AUTO_COMPACT_WINDOW".to_owned(),
        "100000".to_owned(),
    );
    let mut play = Play::with(|boot| boot.claude.env.extend([window])).await;
    let usage = json!({"inputTokens": 99_000, "outputTokens": 10});
    play.acted("t1", json!({"text": "One.", "usage": usage}))
        .await;
    play.acted("t2", json!({"text": "Two.", "usage": usage}))
        .await;
    play.acted("t3", json!({"text": "Three."})).await;
    insta::assert_snapshot!(play.finish().await, @r#"
    t1: started text_delta text completed "One."
    t2: started status(compacting) status(compacted) text_delta text completed "Two."
    t3: started status(compacting) status(compacted) text_delta text completed "Three."
    "#);
}
