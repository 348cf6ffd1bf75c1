//! How it is.

use std::os::unix::fs::PermissionsExt;

use ccpool::HealthStatus;
use ccpool::provider::{Conversation, Message, Provider, ToolChoice};
use ccpool_protocol::FailureKind;

use super::failures::until_spoken;
use super::rig::{Rig, eventually, scene};

#[tokio::test]
async fn a_missing_program_is_told_with_what_mends_it() {
    let rig = Rig::with(|config| config.claude_cli.path = "/no/such/claude".into()).await;
    let health = rig.provider.health().await;
    assert_eq!(health.status, HealthStatus::Unavailable);
    let reason = health.reasons.join(" ");
    assert!(reason.contains("claudeCli.path"), "{reason}");
    let conversation = Conversation {
        messages: vec![Message::user("Hello.")],
        ..Conversation::default()
    };
    let refused = rig.reply(&conversation).await.unwrap_err();
    assert_eq!(refused.kind, FailureKind::Unavailable);
    assert!(refused.message.contains("/no/such/claude"), "{refused}");
    assert!(refused.message.contains("claudeCli.path"), "{refused}");
    rig.finish().await;
}

#[tokio::test]
async fn a_folder_that_is_missing_is_not_taken_for_the_program() {
    let rig = Rig::with(|config| config.claude_cli.cwd = Some("/no/such/folder".into())).await;
    let conversation = Conversation {
        messages: vec![Message::user("Hello.")],
        ..Conversation::default()
    };
    let refused = rig.reply(&conversation).await.unwrap_err();
    assert_eq!(refused.kind, FailureKind::Unavailable);
    assert!(refused.message.contains("claudeCli.cwd"), "{refused}");
    rig.finish().await;
}

#[tokio::test]
async fn the_real_program_is_well() {
    let rig = Rig::new().await;
    // The first answer may take longer than anybody waits for it.
    eventually("it is well", async || {
        let health = rig.provider.health().await;
        (health.status == HealthStatus::Ok && health.reasons.is_empty()).then_some(())
    })
    .await;
    rig.finish().await;
}

#[tokio::test]
async fn the_program_is_asked_once() {
    let dir = tempfile::tempdir().unwrap();
    let (program, log) = (dir.path().join("claude"), dir.path().join("log"));
    let script = format!("#!/bin/sh\necho \"$@\" >> {}\necho 1.2.3\n", log.display());
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let rig = Rig::with(|config| config.claude_cli.path.clone_from(&program)).await;
    let healthy = async || (rig.provider.health().await.status == HealthStatus::Ok).then_some(());
    eventually("it is well", healthy).await;
    for _ in 0..20 {
        healthy().await.expect("it stays well");
    }
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "--version\n");
    rig.finish().await;
}

#[tokio::test]
async fn a_program_that_fails_is_told() {
    let rig = Rig::with(|config| config.claude_cli.path = "false".into()).await;
    let reason = eventually("it is asked", async || {
        let health = rig.provider.health().await;
        assert_eq!(health.status, HealthStatus::Unavailable);
        let reason = health.reasons.join(" ");
        reason.contains("--version failed").then_some(reason)
    })
    .await;
    assert!(reason.contains("claudeCli.path"), "{reason}");
    rig.finish().await;
}

#[tokio::test]
async fn who_demands_a_call_is_sent_elsewhere() {
    let rig = Rig::new().await;
    let conversation = Conversation {
        messages: vec![Message::user("Hello.")],
        tool_choice: ToolChoice::Required,
        ..Conversation::default()
    };
    let refused = rig.reply(&conversation).await.unwrap_err();
    assert_eq!(refused.kind, FailureKind::Unavailable, "{refused}");
    rig.finish().await;
}

#[tokio::test]
async fn when_all_are_at_work_it_is_exhausted() {
    let rig = Rig::with(|config| config.claude_cli.max_processes = 1).await;
    let slow = scene(&serde_json::json!({"text": vec!["word"; 200].join(" "), "delayMs": 100}));
    let conversation = |text: &str| Conversation {
        messages: vec![Message::user(text)],
        ..Conversation::default()
    };
    let mut reply = rig.reply(&conversation(&slow)).await.unwrap();
    until_spoken(&mut reply.events).await;
    let refused = rig.reply(&conversation("Hello.")).await.unwrap_err();
    assert_eq!(refused.kind, FailureKind::Exhausted, "{refused}");
    assert!(refused.retry_after.is_some());
    eventually("it says so", async || {
        let health = rig.provider.health().await;
        (health.status == HealthStatus::Degraded).then_some(())
    })
    .await;
    drop(reply);
    rig.finish().await;
}
