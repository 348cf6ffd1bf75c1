//! Parts that do not work, and what a caller is told.

use serde_json::json;

use crate::gateway::{Gateway, Setup};

#[tokio::test]
async fn a_claude_that_exits_at_once_is_told_with_its_last_words() {
    let setup = Setup::default()
        .with(
            "pool",
            json!({"minWarm": 0, "maxTotal": 2, "claimTimeoutMs": 3000}),
        )
        .with("claude", json!({"extraArgs": ["--no-such-flag"]}));
    let gateway = Gateway::start_cold(setup).await;
    let problem = gateway.refused_claim().await;
    let detail = problem["detail"].to_string();
    assert!(
        detail.contains("claude exited with code 1") && detail.contains("no-such-flag"),
        "{problem}"
    );
    let pool = gateway.get("/api/docker-cc/pool").await;
    assert!(
        pool["failures"][0]["reason"]
            .to_string()
            .contains("no-such-flag"),
        "{pool}"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_missing_credential_is_an_auth_failure() {
    let setup = Setup::default().with("claude", json!({"env": {"ANTHROPIC_API_KEY": ""}}));
    let gateway = Gateway::start(setup).await;
    gateway.claim("s1").await;
    let (status, problem) = gateway.turn("s1", &json!({"prompt": "hello"})).await;
    assert_eq!(
        (status, &problem["kind"]),
        (401, &json!("auth")),
        "{problem}"
    );
    assert_eq!(problem["visibleOutput"], json!(false), "{problem}");
    gateway.stop().await;
}
