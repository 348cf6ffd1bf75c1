//! What clients ask and get.

use reqwest::Method;
use serde_json::{Value, json};

use super::chat::{Came, Chunks, Piece, chunks_of, post, streamed, user, words_of};
use crate::gateway::{Gateway, Setup};
use crate::parts::PATIENCE;

/// A red pixel.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";

#[tokio::test]
async fn an_answer_in_one_piece_and_in_many() {
    let gateway = Gateway::start(Setup::default()).await;
    let came = Came::of(post(&gateway, &user("[[script:thinking]]"))).await;
    assert_eq!(came.status, 200, "{came:?}");
    let answer = came.json();
    let (choice, usage) = (&answer["choices"][0], &answer["usage"]);
    assert_eq!(answer["object"], "chat.completion");
    // Whoever gave it, by the model's full id.
    let model = answer["model"].as_str().expect("a model");
    assert!(
        model.starts_with("docker-claude-code/claude-sonnet"),
        "{model}"
    );
    assert_eq!(choice["message"]["role"], "assistant");
    assert_eq!(choice["message"]["content"], "I have thought about it.");
    let thought = &choice["message"]["reasoning_content"];
    assert!(
        thought
            .as_str()
            .is_some_and(|thought| thought.contains("thinking block")),
        "{answer}"
    );
    assert_eq!(choice["finish_reason"], "stop");
    assert!(usage["prompt_tokens"].as_u64() > Some(0), "{usage}");
    let sum = usage["prompt_tokens"]
        .as_u64()
        .zip(usage["completion_tokens"].as_u64());
    assert_eq!(
        usage["total_tokens"].as_u64(),
        sum.map(|(read, said)| read + said)
    );
    assert_eq!(came.header("x-ccpool-provider"), "docker-claude-code");
    // The session and the turn are those of the gateway's own routes.
    let session = came.header("x-ccpool-session");
    let path = format!("/api/docker-cc/sessions/{session}");
    assert_eq!(gateway.get(&path).await["session"], session);
    assert!(!came.header("x-ccpool-turn").is_empty());

    let mut body = streamed(user("[[script:thinking]]"));
    body["stream_options"] = json!({"include_usage": true});
    let request = post(&gateway, &body).header("x-request-id", "mine-7");
    let stream = Chunks::of(request).await;
    assert_eq!(stream.response["x-request-id"], "mine-7");
    assert_eq!(stream.response["x-ccpool-provider"], "docker-claude-code");
    let pieces = stream.rest().await;
    assert_eq!(words_of(&pieces), "I have thought about it.");
    assert_eq!(pieces.last(), Some(&Piece::Done));
    let chunks = chunks_of(&pieces);
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let thoughts: String = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["reasoning_content"].as_str())
        .collect();
    assert_eq!(json!(thoughts), *thought);
    let [.., last, used] = &chunks[..] else {
        panic!("{chunks:?}");
    };
    assert_eq!(last["choices"][0]["finish_reason"], "stop");
    assert_eq!((&used["choices"], &used["usage"]), (&json!([]), usage));
    for chunk in &chunks[..chunks.len() - 1] {
        assert_eq!((&chunk["id"], &chunk["usage"]), (&used["id"], &Value::Null));
    }
    gateway.stop().await;
}

/// System prompts and images reach the model, whichever form they come in.
#[tokio::test]
async fn what_is_told_reaches_the_model() {
    let gateway = Gateway::start(Setup::default()).await;
    let image = format!("data:image/png;base64,{PNG}");
    let body = json!({
        "model": "docker-claude-code/haiku",
        "messages": [
            {"role": "developer", "content": "The word is periwinkle."},
            {"role": "user", "content": [
                {"type": "text", "text": "What is it? [[script:hello]]"},
                {"type": "image_url", "image_url": {"url": image, "detail": "low"}},
            ]},
        ],
        "temperature": 0.1, "max_completion_tokens": 100, "seed": 1, "store": false,
        "reasoning_effort": "low", "metadata": {"anything": "else"}, "never_heard_of": [],
    });
    let came = Came::of(post(&gateway, &body)).await;
    assert_eq!(came.status, 200, "{came:?}");
    assert_eq!(
        came.json()["choices"][0]["message"]["content"],
        "Hello from the scripted model."
    );
    let asked = gateway
        .model
        .wait_for_request(
            |request| request.last_user_text.contains("What is it?"),
            PATIENCE,
        )
        .await
        .expect("the model was asked");
    assert!(
        asked.system_text().contains("The word is periwinkle."),
        "{}",
        asked.system_text()
    );
    assert!(
        asked
            .model
            .as_deref()
            .is_some_and(|model| model.contains("haiku")),
        "{:?}",
        asked.model
    );
    let body = asked.body().expect("the body is kept");
    let messages = body["messages"].as_array().expect("messages");
    let blocks = messages
        .iter()
        .filter_map(|message| message["content"].as_array())
        .flatten();
    let images: Vec<&Value> = blocks.filter(|block| block["type"] == "image").collect();
    assert_eq!(images.len(), 1, "{body}");
    assert_eq!(images[0]["source"]["media_type"], "image/png");
    gateway.stop().await;
}

#[tokio::test]
async fn a_silent_stream_says_that_it_lives() {
    let setup = Setup::default().with("openai", json!({"keepAliveMs": 100}));
    let gateway = Gateway::start(setup).await;
    let body = streamed(user("[[do: {\"text\":\"one two\",\"delayMs\":700}]]"));
    let pieces = Chunks::of(post(&gateway, &body)).await.rest().await;
    let is_silent = |chunk: &&Value| chunk["choices"][0]["delta"] == json!({});
    let chunks = chunks_of(&pieces);
    // The last one has the reason to stop.
    let silent = chunks.iter().copied().filter(is_silent).count();
    assert!(silent > 1, "{pieces:?}");
    assert_eq!(words_of(&pieces), "one two");
    assert_eq!(pieces.last(), Some(&Piece::Done));
    gateway.stop().await;
}

#[tokio::test]
async fn models_are_listed_and_counted_by_route() {
    let gateway = Gateway::start(Setup::default()).await;
    let list = gateway.get("/v1/models").await;
    let ids: Vec<&str> = list["data"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|model| model["id"].as_str())
        .collect();
    for id in [
        "docker-claude-code/opus",
        "docker-claude-code/haiku",
        "sonnet",
    ] {
        assert!(ids.contains(&id), "{ids:?}");
        let path = format!("/v1/models/{id}");
        assert_eq!(gateway.get(&path).await["id"], id);
    }
    let came = Came::of(gateway.request(Method::GET, "/v1/models/gpt-4o")).await;
    assert_eq!(came.failure(), (404, "model_not_found".to_owned()));
    let metrics = Came::of(gateway.request(Method::GET, "/metrics"))
        .await
        .text;
    for route in [
        "/v1/models",
        "/v1/models/{model}",
        "/v1/models/{provider}/{model}",
    ] {
        assert!(
            metrics.contains(&format!("route=\"{route}\"")),
            "{route}: {metrics}"
        );
    }
    gateway.stop().await;
}

/// The shapes in the description are what the gateway sends.
#[tokio::test]
async fn answers_are_as_described() {
    let gateway = Gateway::start(Setup::default()).await;
    let api = gateway.get("/openapi.json").await;
    let answer = Came::of(post(&gateway, &user("hi"))).await.json();
    let pieces = Chunks::of(post(&gateway, &streamed(user("hi"))))
        .await
        .rest()
        .await;
    let mut wrong = user("hi");
    wrong["n"] = json!(2);
    let error = Came::of(post(&gateway, &wrong)).await.json();
    let list = gateway.get("/v1/models").await;
    for (schema, value) in [
        ("ChatCompletion", &answer),
        ("ChatCompletionUsage", &answer["usage"]),
        ("ChatCompletionTurnUsage", &answer["usage"]["turn"]),
        ("ChatCompletionChunk", chunks_of(&pieces)[0]),
        ("OpenAiError", &error),
        ("OpenAiErrorDetails", &error["error"]),
        ("ModelList", &list),
        ("Model", &list["data"][0]),
    ] {
        let described = &api["components"]["schemas"][schema];
        let keys = |value: &Value| -> Vec<String> {
            let keys = value.as_object().into_iter().flat_map(|map| map.keys());
            keys.cloned().collect()
        };
        let (known, sent) = (keys(&described["properties"]), keys(value));
        assert!(!sent.is_empty(), "{schema}: {value}");
        assert!(
            sent.iter().all(|key| known.contains(key)),
            "{schema}: {sent:?}"
        );
        for key in described["required"].as_array().into_iter().flatten() {
            let key = key.as_str().expect("a name");
            assert!(
                sent.iter().any(|sent| sent == key),
                "{schema}: {key} is not sent"
            );
        }
    }
    gateway.stop().await;
}
