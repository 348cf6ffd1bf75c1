//! The example of a chat-bot, run as it is.

use std::path::Path;
use std::process::Stdio;

use ccpool_scripted_model::ScriptedModel;
use ccpool_testing::{built, claude, redis_server, wrapper};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::stage::count;
use crate::support::PATIENCE;

#[tokio::test]
async fn a_chat_bot_goes_on_in_the_same_container() {
    let dir = tempfile::TempDir::with_prefix("ccp-").unwrap();
    let programs = dir.path().join("bin");
    std::fs::create_dir(&programs).unwrap();
    let named = |name: &str, program: &Path| {
        std::os::unix::fs::symlink(program, programs.join(name)).unwrap();
    };
    named("claude", &claude());
    named("redis-server", &redis_server());
    named("ccpool-wrapper", &wrapper());
    let model = ScriptedModel::start("127.0.0.1:0".parse().unwrap());
    let model = model.await.unwrap();
    let mut program = Command::new(built("examples/chat_bot"))
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", programs.display()))
        .env("HOME", dir.path())
        .env("TMPDIR", dir.path())
        .env("ANTHROPIC_API_KEY", "sk-ant-fake")
        .env("ANTHROPIC_BASE_URL", model.base_url())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = program.stdin.take().unwrap();
    let lines = "My favourite colour is teal.\nWhat is my favourite colour?\n";
    stdin.write_all(lines.as_bytes()).await.unwrap();
    drop(stdin);
    let ran = tokio::time::timeout(PATIENCE * 3, program.wait_with_output()).await;
    let ran = ran.expect("it ends in time").unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (said, noted) = (text(&ran.stdout), text(&ran.stderr));
    assert!(ran.status.success(), "{said}{noted}");
    assert_eq!(said.lines().count(), 2, "{said}{noted}");
    assert!(said.lines().all(|line| line.contains("teal")), "{said}");
    assert_eq!(noted.matches("answered in room-1\n").count(), 2, "{noted}");
    assert!(noted.contains("Ok []"), "{noted}");
    let requests = model.requests();
    let last = requests.iter().rfind(|request| request.stream).unwrap();
    assert!(last.system_text().contains("assistant of this room"));
    assert_eq!(count(last, "My favourite colour is teal."), 1);
    model.shutdown().await;
}
