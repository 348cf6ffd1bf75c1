//! The other commands, against a running gateway and without one.

use std::process::Stdio;

use ccpool_testing::RedisServer;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use crate::gateway::{Folder, Gateway, Setup};
use crate::parts::{PATIENCE, claude, wrapper};

/// Runs a command to its end: exit code, stdout, stderr.
async fn ended(command: &mut Command) -> (Option<i32>, String, String) {
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = output.expect("it ends in time").expect("ccpool starts");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// A command against a running gateway.
fn against(gateway: &Gateway, arguments: &[&str]) -> Command {
    let mut command = gateway.dir.ccpool();
    let listen = gateway
        .base
        .strip_prefix("http://")
        .expect("the base is HTTP");
    command.args(arguments).env("CCPOOL_HTTP__LISTEN", listen);
    command
}

#[tokio::test]
async fn commands_talk_to_the_running_gateway() {
    let gateway = Gateway::start(Setup::default()).await;
    let run = async |arguments: &[&str]| ended(&mut against(&gateway, arguments)).await;

    let (code, stdout, stderr) = run(&["run", "[[script:hello]]", "--session", "kept", "-q"]).await;
    assert_eq!(
        (code, stdout.as_str(), stderr.as_str()),
        (Some(0), "Hello from the scripted model.\n", "")
    );
    let (code, stdout, _) = run(&["run", "hi", "--json"]).await;
    assert_eq!(code, Some(0));
    let events: Vec<Value> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON lines"))
        .collect();
    assert_eq!(
        events.last().map(|event| &event["type"]),
        Some(&json!("completed"))
    );
    let (code, _, stderr) = run(&["run", "[[script:bad-key]]", "--session", "kept"]).await;
    assert_eq!(code, Some(5), "{stderr}");
    assert!(
        stderr.starts_with("error: the turn failed (auth)"),
        "{stderr}"
    );

    // The session without a name has ended with its run, the other one lives.
    let (code, stdout, _) = run(&["sessions", "list", "--json"]).await;
    assert_eq!(code, Some(0));
    let listed: Value = serde_json::from_str(&stdout).expect("JSON");
    let names: Vec<&Value> = listed["sessions"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|s| &s["session"])
        .collect();
    assert_eq!(names, [&json!("kept")]);
    let (code, stdout, _) = run(&["sessions", "show", "kept"]).await;
    assert_eq!(code, Some(0));
    assert!(stdout.contains("turns: 2\n"), "{stdout}");
    let (code, stdout, _) = run(&["status"]).await;
    assert_eq!(code, Some(0));
    assert!(
        stdout.starts_with("status:   ok\n") && stdout.contains("none (process"),
        "{stdout}"
    );
    let (code, _, _) = run(&["sessions", "end", "kept"]).await;
    assert_eq!(code, Some(0));
    let (code, _, stderr) = run(&["sessions", "show", "nobody", "--json"]).await;
    assert_eq!(code, Some(1));
    let error: Value = serde_json::from_str(&stderr).expect("one JSON object");
    assert_eq!(error["error"]["kind"], "invalid_request");

    let (code, _, _) = run(&["pool", "drain"]).await;
    assert_eq!(code, Some(0));
    gateway
        .wait_for_pool(|pool| pool["draining"] == true && pool["counts"]["total"] == 0)
        .await;
    let (code, _, stderr) = run(&["run", "hi"]).await;
    assert_eq!(code, Some(4), "{stderr}");
    let (code, _, _) = run(&["pool", "drain", "--off"]).await;
    assert_eq!(code, Some(0));
    gateway.wait_warm(1).await;
    gateway.stop().await;
}

#[tokio::test]
async fn tail_follows_a_session() {
    let gateway = Gateway::start(Setup::default()).await;
    gateway.claim("s1").await;
    let (status, _) = gateway
        .turn("s1", &json!({"prompt": "[[script:hello]]"}))
        .await;
    assert_eq!(status, 200);
    let mut tail = against(
        &gateway,
        &["sessions", "tail", "s1", "--after", "0", "--json"],
    )
    .stdout(Stdio::piped())
    .spawn()
    .expect("ccpool starts");
    let mut lines = BufReader::new(tail.stdout.take().expect("a pipe")).lines();
    let found = async {
        loop {
            let line = lines
                .next_line()
                .await
                .expect("a pipe")
                .expect("it goes on");
            let event: Value = serde_json::from_str(&line).expect("JSON lines");
            if event["type"] == "completed" {
                return event;
            }
        }
    };
    let completed = tokio::time::timeout(PATIENCE, found)
        .await
        .expect("in time");
    assert_eq!(completed["text"], "Hello from the scripted model.");
    let pid = i32::try_from(tail.id().expect("it runs")).expect("positive");
    kill(Pid::from_raw(pid), Signal::SIGINT).expect("it can be told");
    let status = tokio::time::timeout(PATIENCE, tail.wait())
        .await
        .expect("in time");
    assert!(status.expect("a child").success());
    gateway.stop().await;
}

/// `ccpool run` with a pool of its own, in a folder of its own.
fn alone(dir: &Folder, model: &str, arguments: &[&str]) -> Command {
    let mut command = dir.ccpool();
    command
        .args(arguments)
        .args(["--runtime", "process", "--redis", "embedded", "--wrapper"])
        .arg(wrapper())
        .env("CCPOOL_CLAUDE__PATH", claude())
        .env("CCPOOL_DATADIR", dir.path().join("data"))
        .env("ANTHROPIC_API_KEY", "sk-ant-fake")
        .env("ANTHROPIC_BASE_URL", model);
    command
}

#[tokio::test]
async fn run_without_a_gateway_brings_its_own_pool() {
    let dir = Folder::new();
    let address = "127.0.0.1:0".parse().expect("an address");
    let model = ccpool_scripted_model::ScriptedModel::start(address)
        .await
        .expect("a model");
    let base = model.base_url();
    let mut command = alone(&dir, &base, &["run"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ccpool starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(b"[[script:tool]]").await.expect("it reads");
    drop(stdin);
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
    let output = output.expect("in time").expect("a child");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(stdout, "Let me run that.\nThe tool said: scripted-tool\n");
    assert!(stderr.contains("NO ISOLATION"), "{stderr}");
    for leftover in ["containers", "redis"] {
        let left = std::fs::read_dir(dir.path().join("data").join(leftover));
        assert_eq!(
            left.map_or(0, Iterator::count),
            0,
            "{leftover} is not empty"
        );
    }
    model.shutdown().await;
}

#[tokio::test]
async fn an_interrupted_run_says_so() {
    let dir = Folder::new();
    let address = "127.0.0.1:0".parse().expect("an address");
    let model = ccpool_scripted_model::ScriptedModel::start(address)
        .await
        .expect("a model");
    let mut child = alone(
        &dir,
        &model.base_url(),
        &["run", "[[script:slow]]", "--json"],
    )
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .expect("ccpool starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut next = async || {
        let line = tokio::time::timeout(PATIENCE, lines.next_line())
            .await
            .expect("in time");
        let line = line.expect("a pipe")?;
        Some(serde_json::from_str::<Value>(&line).expect("JSON lines"))
    };
    while next().await.expect("a delta comes")["type"] != "text_delta" {}
    let pid = i32::try_from(child.id().expect("it runs")).expect("positive");
    kill(Pid::from_raw(pid), Signal::SIGINT).expect("it can be told");
    let mut last = Value::Null;
    while let Some(event) = next().await {
        last = event;
    }
    assert_eq!(
        (&last["type"], &last["kind"]),
        (&json!("failed"), &json!("interrupted"))
    );
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
    assert_eq!(
        output.expect("in time").expect("a child").status.code(),
        Some(6)
    );
    model.shutdown().await;
}

#[tokio::test]
async fn replay_gives_events_and_numbers_wrong_lines() {
    let dir = Folder::new();
    let recording = dir.path().join("recording");
    let line = |n: u32| json!({"dir": "out", "t_ms": n, "line": {"type": "news", "n": n}});
    std::fs::write(&recording, format!("{}\nno json\n{}\n", line(1), line(2))).expect("a file");
    let (code, stdout, stderr) = ended(dir.ccpool().arg("replay").arg(&recording)).await;
    assert_eq!(code, Some(1));
    assert_eq!(stdout.lines().count(), 2);
    assert!(stderr.starts_with("line 2: "), "{stderr}");
    std::fs::write(&recording, format!("{}\n", line(1))).expect("a file");
    assert_eq!(
        ended(dir.ccpool().arg("replay").arg(&recording)).await.0,
        Some(0)
    );
}

#[tokio::test]
async fn doctor_checks_each_part_and_says_what_mends() {
    let dir = Folder::new();
    let healthy = |command: &mut Command| {
        command
            .args([
                "doctor",
                "--json",
                "--listen",
                "127.0.0.1:0",
                "--runtime",
                "process",
            ])
            .args(["--redis", "embedded", "--wrapper"])
            .arg(wrapper())
            .env("CCPOOL_DATADIR", dir.path().join("data"))
            .env("CCPOOL_CLAUDE__PATH", claude())
            .env("ANTHROPIC_API_KEY", "sk-ant-fake");
    };
    let mut command = dir.ccpool();
    healthy(&mut command);
    let (code, stdout, stderr) = ended(&mut command).await;
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    let report: Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!(report["ok"], true);
    assert!(!stdout.contains("sk-ant-fake"));

    let mut command = dir.ccpool();
    healthy(&mut command);
    command
        .env("CCPOOL_CLAUDE__PATH", "/nowhere/claude")
        .env_remove("ANTHROPIC_API_KEY");
    let (code, stdout, _) = ended(&mut command).await;
    assert_eq!(code, Some(1));
    let report: Value = serde_json::from_str(&stdout).expect("JSON");
    let failed = report["checks"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|c| c["ok"] == false);
    let failed: Vec<&Value> = failed.collect();
    assert_eq!(
        failed.iter().map(|c| &c["name"]).collect::<Vec<_>>(),
        ["claude", "credential"]
    );
    assert!(failed.iter().all(|check| check["mend"].is_string()));
}

#[tokio::test]
async fn doctor_tells_whether_containers_are_kept_apart_in_redis() {
    let dir = Folder::new();
    let redis = RedisServer::start(dir.path()).await;
    let client = redis::Client::open(redis.url()).expect("a URL");
    let mut connection = client
        .get_multiplexed_async_connection()
        .await
        .expect("a connection");
    redis::cmd("ACL")
        .arg(&["SETUSER", "gateway", "on", ">fake-password", "~*", "&*"])
        .arg(&["+@all", "-acl"])
        .exec_async(&mut connection)
        .await
        .expect("a user");
    let users = async |url: String, acl: &str| {
        let mut command = dir.ccpool();
        command
            .args(["doctor", "--json", "--runtime", "process", "--redis"])
            .arg(url)
            .env("CCPOOL_REDIS__ACL", acl)
            .env("CCPOOL_DATADIR", dir.path().join("data"));
        let (_, stdout, _) = ended(&mut command).await;
        assert!(!stdout.contains("fake-password"), "{stdout}");
        let report: Value = serde_json::from_str(&stdout).expect("JSON");
        let checks = report["checks"].as_array().expect("a list");
        let found = checks.iter().find(|check| check["name"] == "Redis users");
        found.expect("it is looked at").clone()
    };
    let open = users(redis.url(), "on").await;
    assert!(open["ok"] == true, "{open}");
    assert!(open["mend"].to_string().contains("requirepass"), "{open}");
    let refused = users(
        format!("{}?user=gateway&pass=fake-password", redis.url()),
        "on",
    )
    .await;
    assert!(refused["ok"] == false, "{refused}");
    assert!(
        refused["mend"].to_string().contains("redis.acl: off"),
        "{refused}"
    );
    let off = users(redis.url(), "off").await;
    assert!(off["ok"] == true && off["mend"].is_string(), "{off}");
}
