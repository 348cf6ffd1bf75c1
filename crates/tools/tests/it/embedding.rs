//! The example of a program that embeds the pool, run as it is.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use ccpool_scripted_model::ScriptedModel;
use ccpool_testing::{built, claude, redis_server, wrapper};
use serde_json::json;
use tokio::process::Command;

#[tokio::test]
async fn an_agent_calls_a_tool_of_the_embedding_program() {
    let dir = tempfile::TempDir::with_prefix("ccp-").expect("a temporary folder");
    let programs = dir.path().join("bin");
    std::fs::create_dir(&programs).expect("a folder can be made");
    let named = |name: &str, program: &Path| {
        std::os::unix::fs::symlink(program, programs.join(name)).expect("a link can be made");
    };
    named("claude", &claude());
    named("redis-server", &redis_server());
    named("ccpool-wrapper", &wrapper());
    let model = ScriptedModel::start("127.0.0.1:0".parse().expect("an address"))
        .await
        .expect("the model starts");
    let scene = json!({"replies": [
        {"toolUse": {"name": "mcp__ccpool__mailbox", "input": {"name": "somebody"}}},
        {"text": "done"},
    ]});
    let mut program = Command::new(built("examples/own_tool"));
    program
        .arg(format!("[[do: {scene}]]"))
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", programs.display()))
        .env("HOME", dir.path())
        .env("TMPDIR", dir.path())
        .env("ANTHROPIC_API_KEY", "sk-ant-fake")
        .env("ANTHROPIC_BASE_URL", model.base_url())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let ran = tokio::time::timeout(Duration::from_secs(60), program.output()).await;
    let ran = ran.expect("it ends in time").expect("it starts");
    let said = String::from_utf8_lossy(&ran.stdout);
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}{errors}");
    assert!(
        said.contains("main sees: somebody has 3 mails."),
        "{said}{errors}"
    );
    let offered = model.requests();
    let offered = offered
        .iter()
        .find(|request| request.stream)
        .expect("a request");
    let offered = offered.body().expect("JSON")["tools"].to_string();
    assert!(offered.contains("mcp__ccpool__mailbox"), "{offered}");
    let gone = "\"mcp__ccpool__nodes_exec\"";
    assert!(!offered.contains(gone), "{offered}");
    model.shutdown().await;
}
