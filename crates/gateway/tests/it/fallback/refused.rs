//! What the model's service refuses, in one provider after another.

use serde_json::{Value, json};

use super::trio::{MODELS, PROVIDERS, Trio, asked, assert_answered, error, passed, play, says};
use crate::openai::chat::{Chunks, Piece, chunks_of, post, streamed, words_of};

#[tokio::test]
async fn what_is_refused_inside_is_answered_by_the_cli_of_this_host() {
    let trio = Trio::start(&[
        ("401", [error(401), Value::Null, Value::Null]),
        ("529", [error(529), Value::Null, Value::Null]),
        ("429", [error(429), Value::Null, Value::Null]),
    ])
    .await;
    for (scene, kind) in [("401", "auth"), ("529", "overloaded")] {
        let came = trio.say(&play(scene)).await;
        assert_answered(&came, 1, &[(MODELS[0], kind)]);
    }
    // As a stream too; what was passed over is in its head, and nothing of it among the words.
    let body = streamed(asked(&play("429")));
    let stream = Chunks::of(post(&trio.gateway, &body)).await;
    let head = &stream.response;
    assert_eq!(head["x-ccpool-provider"], PROVIDERS[1]);
    let told = head["x-ccpool-passed"].to_str().expect("ASCII").to_owned();
    assert!(
        told.starts_with("docker-claude-code/opus: rate_limited ("),
        "{told}"
    );
    assert_eq!(
        told.matches("docker-claude-code/opus: ").count(),
        1,
        "{told}"
    );
    let pieces = stream.rest().await;
    assert_eq!(words_of(&pieces), says(PROVIDERS[1]));
    assert_eq!(pieces.last(), Some(&Piece::Done));
    for chunk in chunks_of(&pieces) {
        let model = chunk["model"].as_str().expect("a model");
        assert!(model.starts_with(PROVIDERS[1]), "{chunk}");
    }
    // It was asked once each time, and nobody else was.
    assert_eq!(trio.counts(), [3, 3, 0]);
    trio.stop().await;
}

#[tokio::test]
async fn the_last_one_answers_or_nobody() {
    let slow_down = error(json!({"status": 429, "retryAfter": 7}));
    let trio = Trio::start(&[
        ("two", [error(529), error(401), Value::Null]),
        ("all", [error(529), error(401), slow_down]),
    ])
    .await;
    let came = trio.say(&play("two")).await;
    assert_answered(&came, 2, &[(MODELS[0], "overloaded"), (MODELS[1], "auth")]);

    let came = trio.say(&play("all")).await;
    assert_eq!(came.failure(), (503, "overloaded".to_owned()), "{came:?}");
    // What the only one asks for that asks for anything.
    assert_eq!(came.retry_after(), Some(7), "{came:?}");
    let kinds = ["overloaded", "auth", "rate_limited"];
    let all = MODELS.into_iter().zip(kinds);
    let all: Vec<_> = all
        .map(|(model, kind)| (model.to_owned(), kind.to_owned()))
        .collect();
    assert_eq!(passed(&came), all, "{came:?}");
    assert_eq!(trio.counts(), [2, 2, 2]);
    trio.stop().await;
}

#[tokio::test]
async fn a_request_that_is_wrong_goes_nowhere_else() {
    let trio = Trio::start(&[("400", [error(400), Value::Null, Value::Null])]).await;
    for body in [asked(&play("400")), streamed(asked(&play("400")))] {
        let came = trio.ask(&body).await;
        assert_eq!(
            came.failure(),
            (400, "invalid_request".to_owned()),
            "{came:?}"
        );
        assert!(!came.headers.contains_key("x-ccpool-passed"), "{came:?}");
    }
    let [inside, others @ ..] = trio.counts();
    assert!(inside >= 2, "it was asked {inside} times");
    assert_eq!(others, [0, 0]);
    trio.stop().await;
}

/// A caller may begin further down, and goes on from there.
#[tokio::test]
async fn the_model_of_a_request_comes_first() {
    let trio = Trio::start(&[("cli", [Value::Null, error(529), Value::Null])]).await;
    for (model, scene, provider, others) in [
        ("claude-cli/opus", "itself", 1, vec![]),
        ("claude-cli/opus", "cli", 2, vec![(MODELS[1], "overloaded")]),
        ("anthropic/claude-x", "itself", 2, vec![]),
        ("opus", "itself", 0, vec![]),
    ] {
        let mut body = asked(&play(scene));
        body["model"] = json!(model);
        let came = trio.ask(&body).await;
        assert_answered(&came, provider, &others);
    }
    trio.stop().await;
}
