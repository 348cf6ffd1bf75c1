//! The model's service says no.

use ccpool_protocol::boot::Boot;
use serde_json::{Value, json};

use super::play::{Afterwards, Play};

fn retries(number: u32) -> impl FnOnce(&mut Boot) {
    move |boot| {
        let number = number.to_string();
        boot.claude
            .env
            .insert("CLAUDE_CODE_MAX_RETRIES".to_owned(), number);
    }
}

/// The service answers every request of the turn with this; how that ends, and what it looks like.
async fn fails(retried: u32, error: Value) -> (Value, String) {
    let mut play = Play::with(retries(retried)).await;
    let ending = play.acted("t1", json!({"error": error})).await;
    assert_eq!(ending["visibleOutput"], false, "{ending}");
    assert_eq!(ending["toolEffects"], false, "{ending}");
    assert!(!ending["message"].as_str().unwrap().is_empty(), "{ending}");
    (ending, play.finish().await)
}

#[tokio::test]
async fn t13a_err_401() {
    let (_, events) = fails(1, json!(401)).await;
    insta::assert_snapshot!(events, @"t1: started status(retry) failed(auth)");
}

#[tokio::test]
async fn t13b_err_400() {
    let error = json!({"status": 400, "message": "messages.0: all is wrong"});
    let (ending, events) = fails(2, error).await;
    assert!(
        ending["message"].as_str().unwrap().contains("all is wrong"),
        "{ending}"
    );
    insta::assert_snapshot!(events, @"t1: started failed(invalid_request)");
}

#[tokio::test]
async fn t13c_err_403() {
    let (_, events) = fails(2, json!(403)).await;
    insta::assert_snapshot!(events, @"t1: started failed(auth)");
}

#[tokio::test]
async fn t13d_an_unknown_model() {
    let mut play = Play::with(|boot| boot.claude.model = Some("no-such-model-1".to_owned())).await;
    let ending = play.said("t1", "hello").await;
    assert!(
        ending["message"]
            .as_str()
            .unwrap()
            .contains("no-such-model-1"),
        "{ending}"
    );
    insta::assert_snapshot!(
        play.finish_as(Afterwards::Fails("invalid_request")).await,
        @"t1: started failed(invalid_request)"
    );
}

#[tokio::test]
async fn t13e_err_413() {
    let (_, events) = fails(2, json!(413)).await;
    insta::assert_snapshot!(events, @"t1: started failed(invalid_request)");
}

#[tokio::test]
async fn t13f_err_429_retries0() {
    let (ending, events) = fails(0, json!(429)).await;
    assert_eq!(ending["retryAfterMs"], Value::Null, "{ending}");
    insta::assert_snapshot!(events, @"t1: started failed(rate_limited)");
}

/// What the service asked for, with what the CLI adds to it, is passed on.
#[tokio::test]
async fn t13w_429_with_retry_after() {
    let (ending, events) = fails(1, json!({"status": 429, "retryAfter": 1})).await;
    assert!(ending["retryAfterMs"].as_u64() >= Some(1000), "{ending}");
    insta::assert_snapshot!(events, @"t1: started status(retry) failed(rate_limited, retry)");
}

/// So long a wait is not waited for: the turn fails at once. How long it would be, the CLI keeps to
/// itself.
#[tokio::test]
async fn t13w_429_long_retry_after() {
    let (_, events) = fails(2, json!({"status": 429, "retryAfter": 86400})).await;
    insta::assert_snapshot!(events, @"t1: started failed(rate_limited)");
}

#[tokio::test]
async fn t13g_err_429_then_ok() {
    let mut play = Play::begin().await;
    let refusal = json!({"error": {"status": 429, "retryAfter": 1}});
    let scene = json!({"attempts": [refusal, {"text": "Through."}]});
    play.acted("t1", scene).await;
    insta::assert_snapshot!(play.finish().await, @r#"t1: started status(retry) text_delta text completed "Through.""#);
}

#[tokio::test]
async fn t13h_err_500_retries() {
    let (_, events) = fails(1, json!(500)).await;
    insta::assert_snapshot!(events, @"t1: started status(retry) failed(unavailable)");
}

#[tokio::test]
async fn t13h_err_500_then_ok() {
    let mut play = Play::begin().await;
    play.said("t1", "[[script:server-error-once]]").await;
    insta::assert_snapshot!(play.finish().await, @r#"t1: started status(retry) text_delta text completed "Through after a server error.""#);
}

#[tokio::test]
async fn t13j_err_529_retries() {
    let (ending, events) = fails(1, json!(529)).await;
    assert!(ending["retryAfterMs"].as_u64() > Some(0), "{ending}");
    insta::assert_snapshot!(events, @"t1: started status(retry) failed(overloaded, retry)");
}

#[tokio::test]
async fn t13l_err_credit() {
    let message = "Your credit balance is too low to access the Anthropic API.";
    let (_, events) = fails(2, json!({"status": 400, "message": message})).await;
    insta::assert_snapshot!(events, @"t1: started failed(auth)");
}

#[tokio::test]
async fn t13m_err_prompt_too_long() {
    let message = "prompt is too long: 210000 tokens > 200000 maximum";
    let (_, events) = fails(2, json!({"status": 400, "message": message})).await;
    insta::assert_snapshot!(events, @"t1: started failed(invalid_request)");
}

/// An error after something has been done: who falls back to another model must know.
#[tokio::test]
async fn an_error_after_a_tool_has_acted() {
    let mut play = Play::with(retries(0)).await;
    let scene = json!([
        {"text": "Let me.", "toolUse": {"name": "Bash", "input": {"command": "touch made"}}},
        {"error": 529},
    ]);
    play.acted("t1", scene).await;
    insta::assert_snapshot!(play.finish().await, @"t1: started text_delta text tool_use(Bash) tool_result failed(overloaded, seen, acted)");
}

#[tokio::test]
async fn au5_no_credential() {
    let mut play = Play::with(|boot| {
        boot.claude.env.remove("ANTHROPIC_API_KEY");
    })
    .await;
    play.said("t1", "hello").await;
    assert!(
        play.rig
            .model
            .requests()
            .iter()
            .all(|request| !request.stream)
    );
    insta::assert_snapshot!(
        play.finish_as(Afterwards::Fails("auth")).await,
        @"t1: started failed(auth)"
    );
}

#[tokio::test]
async fn t13s_network_down() {
    let mut play = Play::with(|boot| {
        // The discard port: refused at once.
        let nobody = "http://127.0.0.1:9".to_owned();
        boot.claude
            .env
            .insert("ANTHROPIC_BASE_URL".to_owned(), nobody);
        retries(1)(boot);
    })
    .await;
    play.said("t1", "hello").await;
    insta::assert_snapshot!(
        play.finish_as(Afterwards::Fails("unavailable")).await,
        @"t1: started status(retry) failed(unavailable)"
    );
}

/// Another model answers where the first is overloaded, and a reader learns of it.
#[tokio::test]
async fn t13k_fallback_model() {
    let arguments = ["--fallback-model", "sonnet"].map(str::to_owned);
    let mut play = Play::with(|boot| {
        boot.claude.extra_args.extend(arguments);
        retries(4)(boot);
    })
    .await;
    let busy = json!({"error": {"status": 529, "retryAfter": 0}});
    let scene = json!({"attempts": [busy, busy, busy, {"text": "I am another."}]});
    play.acted("t1", scene).await;
    let request = play.asked_model();
    assert!(
        request.model.as_deref().unwrap().contains("sonnet"),
        "{:?}",
        request.model
    );
    insta::assert_snapshot!(play.finish().await, @r#"t1: started status(retry) status(model_fallback) text_delta text completed "I am another.""#);
}
