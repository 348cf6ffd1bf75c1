//! Commands on other machines.

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::sshd::Sshd;
use super::{call, text};
use crate::gateway::{Folder, Gateway, Setup};
use crate::parts::eventually;

fn node(sshd: &Sshd, allow: &[&str]) -> Value {
    json!({
        "host": "127.0.0.1",
        "port": sshd.port(),
        "user": sshd.user(),
        "identityFile": sshd.path("user_key"),
        "knownHostsFile": sshd.path("known_hosts"),
        "allow": allow,
        "timeoutMs": 600_000,
    })
}

#[tokio::test]
async fn an_agent_runs_what_its_nodes_allow() {
    let sshd = Sshd::start().await;
    let mut closed = node(&sshd, &["**"]);
    closed["allow"] = json!(["id **"]);
    closed["agents"] = json!(["other"]);
    let nodes = json!({"box": node(&sshd, &["printf *", "wc **"]), "closed": closed});
    let setup = Setup::default().with("tools", json!({"nodes": nodes}));
    let gateway = Gateway::start(setup).await;
    gateway.claim("mine").await;

    let listed = call(&gateway, "mine", "nodes_list", json!({})).await;
    let shown = text(&listed);
    assert!(shown.contains("box") && shown.contains("wc **"), "{shown}");
    assert!(!shown.contains("closed"), "{shown}");

    let input = json!({"node": "box", "command": ["wc", "-c"], "stdin": "12345"});
    let ran = call(&gateway, "mine", "nodes_exec", input).await;
    assert_eq!(ran["isError"], false, "{ran}\n{}", sshd.log());
    let said = text(&ran);
    assert!(said.starts_with("Exit code 0 after "), "{said}");
    assert!(
        said.ends_with(" bytes:\n5\n") || said.ends_with(" bytes:\n5"),
        "{said}"
    );

    let connections = sshd.connections();
    for input in [
        json!({"node": "box", "command": ["printf", "a", "b"]}),
        json!({"node": "closed", "command": ["id"]}),
    ] {
        let refused = call(&gateway, "mine", "nodes_exec", input).await;
        assert_eq!(refused["isError"], true, "{refused}");
    }
    assert_eq!(sshd.connections(), connections);
    gateway.stop().await;
}

/// A prompt whose turn runs a command for long, which writes its process down.
fn endless(sshd: &Sshd) -> String {
    let script = format!(
        "echo $$ > {0}.new; mv {0}.new {0}; exec sleep 1000",
        sshd.path("pid").display()
    );
    let scene = json!({"replies": [
        {"toolUse": {
            "name": "mcp__ccpool__nodes_exec",
            "input": {"node": "box", "command": ["sh", "-c", script]},
        }},
        {"text": "done"},
    ]});
    format!("[[do: {scene}]]")
}

/// Waits until that command runs; gives its process.
async fn running(sshd: &Sshd) -> Pid {
    let path = sshd.path("pid");
    let written = async || std::fs::read_to_string(&path).ok();
    let pid = eventually("the command runs", written).await;
    Pid::from_raw(pid.trim().parse().expect("a process id"))
}

async fn gone(pid: Pid) {
    let gone = async || (kill(pid, None) == Err(Errno::ESRCH)).then_some(());
    eventually("the command has ended on the node", gone).await;
}

#[tokio::test]
async fn a_killed_gateway_takes_its_commands_with_it() {
    let sshd = Sshd::start().await;
    let nodes = json!({"box": node(&sshd, &["sh -c **"])});
    let setup = Setup::default().with("tools", json!({"nodes": nodes}));
    let mut gateway = Gateway::start(setup).await;
    gateway.claim("mine").await;
    let stream = gateway.stream("mine", &endless(&sshd)).await;
    let pid = running(&sshd).await;
    gateway.crash().await;
    drop(stream);
    gone(pid).await;
    // The next one clears up.
    gateway.restart().await;
    gateway.stop().await;
}

#[tokio::test]
async fn an_interrupt_ends_the_command_on_the_node() {
    let sshd = Sshd::start().await;
    let nodes = json!({"box": node(&sshd, &["sh -c **"])});
    let setup = Setup::default().with("tools", json!({"nodes": nodes}));
    let gateway = Gateway::start(setup).await;
    gateway.claim("mine").await;
    let prompt = json!({"prompt": endless(&sshd)});
    let ((_, ending), pid) = tokio::join!(gateway.turn("mine", &prompt), async {
        let pid = running(&sshd).await;
        let interrupt = "/api/docker-cc/sessions/mine/interrupt";
        let (status, answer) = gateway.post(interrupt, &json!({})).await;
        assert_eq!(status, 200, "{answer}");
        pid
    });
    assert!(ending.to_string().contains("interrupted"), "{ending}");
    gone(pid).await;
    gateway.stop().await;
}

#[tokio::test]
async fn doctor_looks_for_what_nodes_need() {
    let sshd = Sshd::start().await;
    let dir = Folder::new();
    let check = async |node: Value| {
        let config = json!({"runtime": "process", "tools": {"nodes": {"box": node}}});
        std::fs::write(dir.config(), config.to_string()).expect("the configuration is written");
        let output = dir.ccpool().args(["doctor", "--json"]).output();
        let output = output.await.expect("it starts");
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let checks = report["checks"].as_array().expect("a list");
        let found = checks.iter().find(|check| check["name"] == "nodes");
        found.expect("it is looked at").clone()
    };
    let healthy = check(node(&sshd, &["true"])).await;
    assert_eq!(healthy["ok"], true, "{healthy}");
    let mut without = node(&sshd, &["true"]);
    without["identityFile"] = json!(sshd.path("missing"));
    let failed = check(without).await;
    assert_eq!(failed["ok"], false, "{failed}");
    let mend = failed["mend"].to_string();
    assert!(mend.contains("tools.nodes.box.identityFile"), "{failed}");
}
