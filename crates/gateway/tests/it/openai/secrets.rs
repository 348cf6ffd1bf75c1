//! What was said, and by whom, appears in no log and no metric.

use reqwest::Method;
use serde_json::{Value, json};

use super::chat::{Came, Chunks, post, streamed, user};
use crate::gateway::{Gateway, Setup};

const TOKEN: &str = "fake-http-token-51c7";
const PROMPT: &str = "the xylophone prompt 4417";
const SYSTEM: &str = "the periwinkle system prompt 3306";
const REPLY: &str = "the marmalade reply 9052";
const USER: &str = "ann-of-the-hill-8118";

#[tokio::test]
async fn nothing_is_told_of_what_was_said() {
    let setup = Setup::default()
        .with("http", json!({"token": TOKEN}))
        .with("pool", json!({"maxTotal": 4, "maxPerAgent": 4}))
        .with_env("CCPOOL_LOG", "debug")
        .with_argument("--log-json");
    let mut gateway = Gateway::start_cold(setup).await;
    let scene = json!({"text": REPLY});
    let mut body = user(&format!("{PROMPT} [[do: {scene}]]"));
    body["user"] = json!(USER);
    let messages = body["messages"].as_array_mut().expect("messages");
    messages.insert(0, json!({"role": "system", "content": SYSTEM}));
    let authorized = |body: &Value| post(&gateway, body).bearer_auth(TOKEN);
    let came = Came::of(authorized(&body)).await;
    assert!(came.text.contains(REPLY), "{came:?}");
    let pieces = Chunks::of(authorized(&streamed(body.clone())))
        .await
        .rest()
        .await;
    assert!(!pieces.is_empty());
    // A failure and a refusal have their lines too.
    let failed = user(&format!("{PROMPT} [[script:bad-key]]"));
    assert_eq!(Came::of(authorized(&failed)).await.status, 401);
    body["n"] = json!(2);
    assert_eq!(Came::of(authorized(&body)).await.status, 400);

    let metrics = gateway.request(Method::GET, "/metrics").bearer_auth(TOKEN);
    let metrics = Came::of(metrics).await.text;
    assert!(
        metrics.contains("route=\"/v1/chat/completions\""),
        "{metrics}"
    );
    gateway.terminate().await;
    let log = gateway.log();
    assert!(log.contains("/v1/chat/completions"), "{log}");
    for secret in [TOKEN, PROMPT, SYSTEM, REPLY, USER] {
        for (place, text) in [("log", &log), ("metrics", &metrics)] {
            assert!(!text.contains(secret), "{secret} is in the {place}");
        }
    }
}
