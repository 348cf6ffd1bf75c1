//! The program: its one line of output, its files, its end.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::client::ask;

/// Ends the process if the test fails before it did.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn it_says_where_it_listens_and_ends_on_sigterm() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("script.json");
    fs::write(
        &script,
        r#"{"scenes":{"mine":{"text":"from the file"}},"default":"mine"}"#,
    )
    .unwrap();
    let port_file = folder.path().join("port");
    let mut command = Command::new(env!("CARGO_BIN_EXE_scripted-model"));
    command.args([
        "--listen",
        "127.0.0.1:0",
        "--listen",
        "127.0.0.1:0",
        "--script",
    ]);
    command
        .arg(&script)
        .arg("--port-file")
        .arg(&port_file)
        .stdout(Stdio::piped());
    let mut running = Running(command.spawn().unwrap());
    let mut line = String::new();
    BufReader::new(running.0.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap();
    let listening = ready["listening"].as_array().unwrap();
    assert_eq!(listening.len(), 2);
    let first = listening[0].as_str().unwrap();
    assert!(first.ends_with(&format!(":{}", fs::read_to_string(&port_file).unwrap())));
    for base in listening {
        let (_, answer) = ask(base.as_str().unwrap(), "Hi").await;
        assert_eq!(answer["content"][0]["text"], "from the file");
    }
    let pid = Pid::from_raw(i32::try_from(running.0.id()).unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
    assert!(running.0.wait().unwrap().success());
}

#[test]
fn a_bad_script_is_told_and_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("script.json");
    fs::write(&script, r#"{"scenes":{"x":{"txt":1}}}"#).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_scripted-model"));
    let output = command.arg("--script").arg(&script).output().unwrap();
    assert!(!output.status.success());
    assert!(output.stdout.is_empty());
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("scenes.x[0]: unknown field `txt`"), "{told}");
}
