//! `sessions_send` and `sessions_spawn`.

use serde_json::{Value, json};

use super::{call, text};
use crate::gateway::{Gateway, Setup};

/// A prompt upon which the model calls a tool and then says what came back, as far as it is told to.
fn does(tool: &str, input: &Value) -> String {
    let scene = json!({"replies": [
        {"toolUse": {"name": format!("mcp__ccpool__{tool}"), "input": input}},
        {"text": "handed on"},
    ]});
    format!("[[do: {scene}]]")
}

async fn two_sessions() -> Gateway {
    let pool = json!({"minWarm": 2, "maxTotal": 6, "maxPerAgent": 4});
    let gateway = Gateway::start(Setup::default().with("pool", pool)).await;
    gateway.claim("one").await;
    gateway.wait_warm(1).await;
    gateway.claim("two").await;
    gateway
}

#[tokio::test]
async fn a_session_asks_another_one_and_gets_its_answer() {
    let gateway = two_sessions().await;
    let asked = json!({"session": "two", "prompt": "[[do: {\"text\": \"blue\"}]] which colour?"});
    let answer = call(&gateway, "one", "sessions_send", asked).await;
    assert_eq!(text(&answer), "two answers:\n\nblue", "{answer}");

    let asked = json!({"session": "two", "prompt": "[[script:invalid-request]]"});
    let failed = call(&gateway, "one", "sessions_send", asked).await;
    assert_eq!(failed["isError"], true);
    assert!(text(&failed).contains("failed ("), "{failed}");

    let sent = json!({"session": "two", "prompt": "later", "wait": false});
    let sent = call(&gateway, "one", "sessions_send", sent).await;
    assert!(text(&sent).contains("Sent to two as turn"), "{sent}");
    let late = json!({"session": "two", "prompt": "[[script:stall]]", "wait_seconds": 1});
    let late = call(&gateway, "one", "sessions_send", late).await;
    assert!(
        text(&late).contains("has not answered within 1 s"),
        "{late}"
    );
    let read = text(
        &call(
            &gateway,
            "one",
            "sessions_history",
            json!({"session": "two"}),
        )
        .await,
    );
    assert!(read.contains("asked: later"), "{read}");

    for session in ["one", "nobody"] {
        let input = json!({"session": session, "prompt": "hello"});
        let refused = call(&gateway, "one", "sessions_send", input).await;
        assert_eq!(refused["isError"], true, "{refused}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn two_sessions_never_wait_for_each_other() {
    let gateway = two_sessions().await;
    let back = does(
        "sessions_send",
        &json!({"session": "one", "prompt": "hello"}),
    );
    let asked = json!({"session": "two", "prompt": back});
    let answer = call(&gateway, "one", "sessions_send", asked).await;
    assert_eq!(text(&answer), "two answers:\n\nhanded on", "{answer}");
    let events = gateway.get("/api/docker-cc/sessions/two").await;
    assert_eq!(events["turns"], 1, "{events}");
    let log = gateway.log();
    let refused = log.lines().find(|line| {
        line.contains("tool call") && line.contains("session=two") && line.contains("refused")
    });
    assert!(refused.is_some(), "{log}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_child_does_its_task_and_goes() {
    let pool = json!({"minWarm": 1, "maxTotal": 6, "maxPerAgent": 3});
    let gateway = Gateway::start(Setup::default().with("pool", pool)).await;
    gateway.claim("parent").await;
    let task = json!({"prompt": "[[do: {\"text\": \"done, parent\"}]]"});
    let answer = call(&gateway, "parent", "sessions_spawn", task).await;
    assert!(
        text(&answer).ends_with("answers:\n\ndone, parent"),
        "{answer}"
    );
    let sessions = |pool: &Value| {
        let all = pool["containers"].as_array().expect("containers").clone();
        all.into_iter().filter(|c| !c["session"].is_null()).count()
    };
    gateway.wait_for_pool(|pool| sessions(pool) == 1).await;

    // One that is kept is there to be asked again.
    let task = json!({"prompt": "hello", "keep": true});
    let answer = text(&call(&gateway, "parent", "sessions_spawn", task).await);
    let child = answer
        .split_once(" answers:")
        .expect("its name")
        .0
        .to_owned();
    let more = json!({"session": child, "prompt": "[[do: {\"text\": \"still here\"}]]"});
    let more = call(&gateway, "parent", "sessions_send", more).await;
    assert!(text(&more).ends_with("still here"), "{more}");

    // Children of children may have none of their own.
    let deep = |inner: String| json!({"prompt": inner});
    let fourth = does("sessions_spawn", &deep("hello".to_owned()));
    let third = does("sessions_spawn", &deep(fourth));
    let before = gateway
        .log()
        .matches("tool=\"sessions_spawn\" outcome=\"refused\"")
        .count();
    let answer = call(&gateway, "parent", "sessions_spawn", deep(third)).await;
    assert!(text(&answer).ends_with("handed on"), "{answer}");
    let after = gateway
        .log()
        .matches("tool=\"sessions_spawn\" outcome=\"refused\"")
        .count();
    assert_eq!(after, before + 1, "{}", gateway.log());
    gateway.stop().await;
}

#[tokio::test]
async fn an_interrupt_ends_the_child_too() {
    let pool = json!({"minWarm": 2, "maxTotal": 6});
    let gateway = Gateway::start(Setup::default().with("pool", pool)).await;
    gateway.claim("parent").await;
    let prompt = does("sessions_spawn", &json!({"prompt": "[[script:stall]]"}));
    let mut turn = gateway.stream("parent", &prompt).await;
    gateway
        .wait_for_pool(|pool| pool["counts"]["busy"] == 2)
        .await;
    let (status, _) = gateway
        .post("/api/docker-cc/sessions/parent/interrupt", &json!({}))
        .await;
    assert_eq!(status, 200);
    let failed = turn.wait_for("failed").await.data;
    assert_eq!(failed["kind"], "interrupted", "{failed}");
    gateway
        .wait_for_pool(|pool| pool["counts"]["busy"] == 0 && pool["counts"]["assigned"] == 1)
        .await;
    gateway.stop().await;
}
