use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Stdio;

use ccpool_protocol::boot;
use ccpool_protocol::record::report;
use redis::AsyncCommands;
use serde_json::json;
use tokio::process::Command;

use crate::support::{PATIENCE, Rig, TOKEN, closed_mcp, eventually};

#[tokio::test]
async fn it_registers_and_becomes_ready() {
    let mut rig = Rig::prepare().await;
    let client = redis::Client::open(rig.redis.url()).unwrap();
    let mut events = client.get_async_pubsub().await.unwrap();
    events.subscribe("test:cc:pool:events").await.unwrap();
    rig.launch();
    rig.ready().await;
    assert!(rig.report(report::REGISTERED_AT).await.is_some());
    let cli_session = rig.report(report::CLI_SESSION_ID).await.unwrap();
    assert_eq!(cli_session.len(), 36);
    let first = rig.report(report::HEARTBEAT).await;
    eventually("the heartbeat moves", || async {
        let now = rig.report(report::HEARTBEAT).await;
        (now != first).then_some(())
    })
    .await;
    let ttl: i64 = rig
        .redis
        .connect()
        .await
        .pttl(&rig.container.report)
        .await
        .unwrap();
    assert!(ttl > 0, "the report would stay for ever");
    let mut nudges = events.into_on_message();
    let nudge = tokio_stream::StreamExt::next(&mut nudges);
    let nudge = tokio::time::timeout(PATIENCE, nudge)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        nudge.get_payload::<String>().unwrap(),
        rig.boot.container.as_str()
    );
}

#[tokio::test]
async fn the_token_is_in_a_private_file_and_nowhere_else() {
    let mut rig = Rig::prepare().await;
    let root = nix::unistd::geteuid().is_root();
    rig.boot.claude.uid = root.then_some(1001);
    rig.boot.claude.mcp = Some(closed_mcp());
    rig.launch();
    rig.ready().await;
    let claude = rig.claude_pid();
    let status = std::fs::read_to_string(format!("/proc/{claude}/status")).unwrap();
    let uid = rig
        .boot
        .claude
        .uid
        .unwrap_or_else(|| nix::unistd::getuid().as_raw());
    assert!(
        status.contains(&format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}")),
        "{status}"
    );
    if root {
        assert!(
            status.lines().any(|line| line.trim() == "Groups:"),
            "{status}"
        );
    }
    for name in ["cmdline", "environ"] {
        let bytes = std::fs::read(format!("/proc/{claude}/{name}")).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(
            !text.contains(TOKEN) && !text.contains("CCPOOL_BOOT"),
            "{name}: {text}"
        );
        assert!(name != "cmdline" || text.contains("--mcp-config"), "{text}");
    }
    let config = rig.dir.path().join("home/.ccpool/mcp.json");
    let meta = std::fs::metadata(&config).unwrap();
    assert_eq!(
        (meta.permissions().mode() & 0o777, meta.uid()),
        (0o600, uid)
    );
    assert!(std::fs::read_to_string(config).unwrap().contains(TOKEN));

    rig.assign().await;
    rig.push(json!({"turn": "t1", "text": "hello"})).await;
    assert_eq!(rig.ending("t1").await["type"], "completed");
    for envelope in rig.buffer().await {
        assert!(!envelope.line.get().contains(TOKEN));
    }
    assert!(!rig.log().contains(TOKEN));
}

#[tokio::test]
async fn a_claude_that_does_not_start_is_reported() {
    let mut rig = Rig::prepare().await;
    rig.boot.claude.extra_args = vec!["--no-such-option".to_owned()];
    rig.launch();
    assert_eq!(rig.exit().await.code(), Some(1));
    let failure = rig.report(report::FAILURE).await.unwrap();
    assert!(
        failure.starts_with("claude exited with code 1: "),
        "{failure}"
    );
    assert!(failure.contains("--no-such-option"), "{failure}");

    rig.boot.claude.path = "/no/such/claude".to_owned();
    rig.launch();
    assert_eq!(rig.exit().await.code(), Some(1));
    let failure = rig.report(report::FAILURE).await.unwrap();
    assert!(
        failure.contains("cannot start /no/such/claude"),
        "{failure}"
    );
}

#[tokio::test]
async fn without_usable_parameters_it_says_so_and_exits_2() {
    for (value, part) in [
        (None, "CCPOOL_BOOT is not set"),
        (Some("{\"secret\":"), "of one version"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ccpool-wrapper"));
        command.env_clear().stdin(Stdio::null());
        if let Some(value) = value {
            command.env(boot::ENV, value);
        }
        let output = command.output().await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(part) && !said.contains("secret"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}
