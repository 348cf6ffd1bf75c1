use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::{Rig, eventually};

#[tokio::test]
async fn sigterm_while_warm() {
    let mut rig = Rig::prepare().await;
    rig.launch();
    rig.ready().await;
    let claude = rig.claude_pid();
    Rig::signal(rig.pid(), Signal::SIGTERM);
    assert_eq!(rig.exit().await.code(), Some(0));
    assert!(!std::path::Path::new(&format!("/proc/{claude}")).exists());
}

#[tokio::test]
async fn the_end_of_the_gateway() {
    let mut rig = Rig::prepare().await;
    rig.boot.follow_stdin = true;
    rig.launch();
    rig.ready().await;
    let claude = rig.claude_pid();
    rig.close_stdin();
    assert_eq!(rig.exit().await.code(), Some(0));
    assert!(!std::path::Path::new(&format!("/proc/{claude}")).exists());
    assert!(rig.log().contains("the gateway is gone"));
}

#[tokio::test]
async fn sigterm_during_a_turn() {
    let mut rig = Rig::serving().await;
    let slow = r#"[[do: {"text":"one two three four five","delayMs":3000}]]"#;
    rig.push(json!({"turn": "t1", "text": slow})).await;
    rig.push(json!({"turn": "t2", "text": "waits"})).await;
    rig.line("text_delta").await;
    eventually("the second prompt is taken", || async {
        let inflight = rig.list(&rig.session.inflight).await;
        (inflight.len() == 2).then_some(())
    })
    .await;
    Rig::signal(rig.pid(), Signal::SIGTERM);
    assert_eq!(rig.exit().await.code(), Some(0));
    for turn in ["t1", "t2"] {
        let endings = rig.endings(turn).await;
        assert_eq!(endings.len(), 1, "{turn}");
        assert_eq!(endings[0]["kind"], "interrupted", "{turn}");
    }
    assert_eq!(rig.list(&rig.session.inflight).await, Vec::<String>::new());
}

#[tokio::test]
async fn shutdown_before_the_claim_and_after() {
    let mut rig = Rig::prepare().await;
    rig.launch();
    rig.ready().await;
    let channel = rig.container.control.clone();
    eventually("the wrapper listens", || async {
        let mut connection = rig.redis.connect().await;
        let heard: i64 = redis::AsyncCommands::publish(&mut connection, &channel, "shutdown")
            .await
            .unwrap();
        (heard > 0).then_some(())
    })
    .await;
    assert_eq!(rig.exit().await.code(), Some(0));

    let mut rig = Rig::serving().await;
    rig.push(json!({"turn": "t1", "text": "hello"})).await;
    rig.ending("t1").await;
    rig.control("shutdown").await;
    assert_eq!(rig.exit().await.code(), Some(0));
}

#[tokio::test]
async fn a_claude_that_hangs_is_killed() {
    let mut rig = Rig::prepare().await;
    rig.boot.stop_ms = 1000;
    rig.launch();
    rig.ready().await;
    rig.assign().await;
    let slow = r#"[[do: {"text":"one two three four five","delayMs":3000}]]"#;
    rig.push(json!({"turn": "t1", "text": slow})).await;
    rig.line("text_delta").await;
    let claude = rig.claude_pid();
    Rig::signal(claude, Signal::SIGSTOP);
    Rig::signal(rig.pid(), Signal::SIGTERM);
    assert_eq!(rig.exit().await.code(), Some(0));
    let endings = rig.endings("t1").await;
    assert_eq!(endings.len(), 1);
    assert_eq!(endings[0]["kind"], "interrupted");
    eventually("claude is gone", || async {
        let gone = !std::path::Path::new(&format!("/proc/{claude}")).exists();
        gone.then_some(())
    })
    .await;
}
