//! Limits of the run: turns, money, length, and what the model will not say.

use serde_json::json;

use super::play::{Afterwards, Play};

fn arguments(boot: &mut ccpool_protocol::boot::Boot, arguments: [&str; 2]) {
    boot.claude.extra_args.extend(arguments.map(str::to_owned));
}

/// The limit counts per prompt, so the next one runs.
#[tokio::test]
async fn t15_max_turns() {
    let mut play = Play::with(|boot| arguments(boot, ["--max-turns", "2"])).await;
    let call = json!({"toolUse": {"name": "Bash", "input": {"command": "echo again"}}});
    play.acted("t1", json!([call, call, call])).await;
    insta::assert_snapshot!(play.finish().await, @"t1: started tool_use(Bash) tool_result tool_use(Bash) tool_result failed(max_turns, acted)");
}

/// The budget is the process's: nothing runs any more.
#[tokio::test]
async fn t15_max_budget() {
    let mut play = Play::with(|boot| arguments(boot, ["--max-budget-usd", "0.0001"])).await;
    let usage = json!({"inputTokens": 100_000, "outputTokens": 1000});
    play.acted("t1", json!({"text": "Dear.", "usage": usage}))
        .await;
    insta::assert_snapshot!(play.finish_as(Afterwards::Fails("max_turns")).await, @"t1: started text_delta text failed(max_turns, seen)");
}

#[tokio::test]
async fn an_answer_that_is_cut_goes_on() {
    let mut play = Play::begin().await;
    play.said("t1", "[[script:max-tokens]]").await;
    insta::assert_snapshot!(play.finish().await, @r#"t1: started text_delta text text_delta text completed " and goes on here.""#);
}

#[tokio::test]
async fn an_answer_that_is_always_cut_fails() {
    let mut play = Play::begin().await;
    let cut = json!({"text": "More and", "stopReason": "max_tokens"});
    play.acted("t1", json!([cut, cut, cut, cut, cut, cut]))
        .await;
    insta::assert_snapshot!(play.finish().await, @"t1: started text_delta text text_delta text text_delta text text_delta text failed(max_turns, seen)");
}

#[tokio::test]
async fn a_refusal() {
    let mut play = Play::begin().await;
    let refused = json!({"stopReason": "refusal"});
    play.acted("t1", json!([refused, refused, refused])).await;
    insta::assert_snapshot!(play.finish().await, @"t1: started status(notice) status(refusal) failed(invalid_request)");
}
