//! The control routes.

use serde_json::{Value, json};

use crate::client::{ask, started};

#[tokio::test]
async fn scenes_are_queued_and_refused_over_http() {
    let model = started().await;
    let url = format!("{}/_scripted/script", model.base_url());
    let client = reqwest::Client::new();
    let scene = r#"[{"text":"one"},{"attempts":[{"error":500},{"text":"two"}]}]"#;
    let queued: Value = client
        .post(&url)
        .body(scene)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(queued, json!({"queued": 3}));
    assert_eq!(
        ask(&model.base_url(), "Hi").await.1["content"][0]["text"],
        "one"
    );
    assert_eq!(ask(&model.base_url(), "Hi").await.0, 500);
    assert_eq!(client.delete(&url).send().await.unwrap().status(), 204);
    assert_eq!(
        ask(&model.base_url(), "Hi").await.1["content"][0]["text"],
        "You said: Hi"
    );
    let refused = client.post(&url).body(r#"{"txt":1}"#).send().await.unwrap();
    assert_eq!(refused.status(), 400);
    assert!(
        refused
            .text()
            .await
            .unwrap()
            .contains("unknown field `txt`")
    );
    model.shutdown().await;
}

#[tokio::test]
async fn requests_are_listed_from_a_number_and_cleared() {
    let model = started().await;
    let base = model.base_url();
    ask(&base, "One").await;
    ask(&base, "Two").await;
    let client = reqwest::Client::new();
    let list = |since: u64| {
        let request = client.get(format!("{base}/_scripted/requests?since={since}"));
        async move { request.send().await.unwrap().json::<Value>().await.unwrap() }
    };
    let all = list(0).await;
    assert_eq!(all["last"], 2);
    assert_eq!(all["requests"][0]["lastUserText"], "One");
    assert_eq!(all["requests"][0]["body"]["model"], "claude-test");
    assert_eq!(all["requests"][0]["outcome"], "sent");
    let key = json!({"kind": "apiKey", "credential": {"fake": "sk-ant-fake"}});
    assert_eq!(all["requests"][0]["auth"], key);
    let newer = list(1).await;
    assert_eq!(newer["requests"].as_array().unwrap().len(), 1);
    assert_eq!(newer["requests"][0]["seq"], 2);
    let cleared = client
        .delete(format!("{base}/_scripted/requests"))
        .send()
        .await
        .unwrap();
    assert_eq!(cleared.status(), 204);
    assert_eq!(list(0).await["requests"], json!([]));
    model.shutdown().await;
}
