//! `nodes_list` and `nodes_exec` against a real `sshd`.

use std::time::Duration;

use ccpool::config::{Config, Node};
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::call::{by, call, call_by, eventually, refused, tools, worked};
use crate::sshd::Sshd;

fn node(sshd: &Sshd, allow: &[&str]) -> Node {
    Node {
        host: "127.0.0.1".to_owned(),
        port: sshd.port(),
        user: sshd.user(),
        identity_file: sshd.path("user_key"),
        known_hosts_file: sshd.path("known_hosts"),
        description: Some("a test's".to_owned()),
        allow: allow.iter().map(|text| text.parse().unwrap()).collect(),
        agents: None,
        timeout: Duration::from_secs(50),
        max_output_bytes: 4_096,
    }
}

fn config(nodes: impl IntoIterator<Item = (&'static str, Node)>) -> Config {
    let mut config = Config::default();
    let named = nodes
        .into_iter()
        .map(|(name, node)| (name.to_owned(), node));
    config.tools.nodes = named.collect();
    config
}

/// Runs a command on the only node.
async fn exec(
    config: &Config,
    command: &[&str],
) -> Result<ccpool_tools::Answer, ccpool_tools::Refusal> {
    call(
        config,
        "nodes_exec",
        json!({"node": "box", "command": command}),
    )
    .await
}

/// The lines after the first one, which tells the time it took.
fn output(text: &str) -> &str {
    text.split_once('\n').map_or("", |(_, output)| output)
}

#[tokio::test]
async fn a_command_runs_as_it_was_given() {
    let sshd = Sshd::start().await;
    let config = config([("box", node(&sshd, &["printf **", "cat", "sh -c **"]))]);
    let odd = [
        "printf", "<%s>", "a b", "it's", "$HOME", "`id`", r"\", "*", "-n", "ä\n", ";",
    ];
    let said = worked(exec(&config, &odd).await);
    assert!(
        said.starts_with("Exit code 0 after "),
        "{said}\n{}",
        sshd.log()
    );
    assert_eq!(
        output(&said),
        "--- stdout, 42 bytes:\n<a b><it's><$HOME><`id`><\\><*><-n><ä\n><;>"
    );
    let input = json!({"node": "box", "command": ["cat"], "stdin": "two\nlines\n"});
    let said = worked(call(&config, "nodes_exec", input).await);
    assert_eq!(output(&said), "--- stdout, 10 bytes:\ntwo\nlines\n");
    let said = worked(exec(&config, &["cat"]).await);
    assert_eq!(output(&said), "");
}

#[tokio::test]
async fn exit_codes_and_stderr_are_the_commands_own() {
    let sshd = Sshd::start().await;
    let config = config([("box", node(&sshd, &["sh -c **", "no-such-program"]))]);
    // 255 is also how ssh says that it failed itself.
    for code in [0, 1, 7, 255] {
        let script = format!("echo Permission denied >&2; exit {code}");
        let said = worked(exec(&config, &["sh", "-c", &script]).await);
        assert!(
            said.starts_with(&format!("Exit code {code} after ")),
            "{said}"
        );
        assert_eq!(output(&said), "--- stderr, 18 bytes:\nPermission denied\n");
    }
    let said = worked(exec(&config, &["no-such-program"]).await);
    assert!(said.starts_with("Exit code 127 "), "{said}");
    let said = worked(exec(&config, &["sh", "-c", "kill -9 $$"]).await);
    assert!(said.starts_with("Exit code 137 "), "{said}");
}

#[tokio::test]
async fn what_is_not_allowed_never_gets_there() {
    let sshd = Sshd::start().await;
    let config = config([
        ("box", node(&sshd, &["uptime", "systemctl status *"])),
        ("shut", node(&sshd, &[])),
    ]);
    for command in [
        &["id"][..],
        &["uptime", "-p"],
        &["sh", "-c", "uptime"],
        &["systemctl", "status", "a; id"],
        &["uptime; id"],
    ] {
        let said = refused(exec(&config, command).await);
        assert!(said.contains("`uptime`, `systemctl status *`"), "{said}");
    }
    let input = json!({"node": "shut", "command": ["true"]});
    let said = refused(call(&config, "nodes_exec", input).await);
    assert!(
        said.contains("Nothing may be run on the node `shut`"),
        "{said}"
    );
    for wrong in [
        json!({"node": "box", "command": []}),
        json!({"node": "box", "command": "uptime"}),
        json!({"node": "box", "command": ["uptime"], "timeoutMs": 0}),
        json!({"node": "box", "command": ["uptime"], "timeoutMs": 50_001}),
        json!({"node": "box", "command": ["uptime"], "stdin": "\0"}),
        json!({"node": "other", "command": ["uptime"]}),
    ] {
        refused(call(&config, "nodes_exec", wrong).await);
    }
    assert_eq!(sshd.connections(), 0);
}

#[tokio::test]
async fn an_agent_has_its_own_nodes_only() {
    let sshd = Sshd::start().await;
    let mut other = node(&sshd, &["true"]);
    other.agents = Some(vec!["deployer".to_owned()]);
    let config = config([("box", node(&sshd, &["uptime", "ls **"])), ("prod", other)]);
    let listed = call(&config, "nodes_list", json!({})).await.unwrap();
    assert_eq!(listed.text, "box (a test's):\n  uptime\n  ls **");
    let data = listed.data.unwrap();
    assert_eq!(data["nodes"][0]["allow"], json!(["uptime", "ls **"]));
    let shown = data.to_string();
    assert!(
        !shown.contains("prod") && !shown.contains("user_key"),
        "{shown}"
    );

    let input = json!({"node": "prod", "command": ["true"]});
    let said = refused(call(&config, "nodes_exec", input.clone()).await);
    assert_eq!(said, "You have no node `prod`. There are: `box`.");
    let said = worked(call_by(&config, by("deployer"), "nodes_exec", input).await);
    assert!(said.starts_with("Exit code 0 "), "{said}");
    let none = self::config([]);
    let said = worked(call(&none, "nodes_list", json!({})).await);
    assert!(said.contains("`tools.nodes`"), "{said}");
}

type Change<'a> = &'a dyn Fn(&mut Node);

#[tokio::test]
async fn why_a_node_cannot_be_used_is_told_for_a_person_to_mend() {
    let sshd = Sshd::start().await;
    let with = |change: Change<'_>| {
        let mut node = node(&sshd, &["true"]);
        change(&mut node);
        config([("box", node)])
    };
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = free.local_addr().unwrap().port();
    drop(free);
    let cases: [(Change<'_>, &str); 5] = [
        (&|node| node.port = closed, ".host and .port are right"),
        (
            &|node| node.known_hosts_file = sshd.path("wrong_known_hosts"),
            ".knownHostsFile",
        ),
        (
            &|node| node.known_hosts_file = sshd.path("missing"),
            ".knownHostsFile",
        ),
        (
            &|node| node.identity_file = sshd.path("other_user_key"),
            "authorized_keys",
        ),
        (
            &|node| node.identity_file = sshd.path("missing"),
            ".identityFile is there",
        ),
    ];
    for (change, wanted) in cases {
        let said = refused(exec(&with(change), &["true"]).await);
        assert!(
            said.contains(wanted) && said.contains("A person must"),
            "{wanted}: {said}\n{}",
            sshd.log()
        );
        assert!(said.contains("nothing was run"), "{said}");
    }
}

#[tokio::test]
async fn of_a_long_output_beginning_and_end_are_kept() {
    let sshd = Sshd::start().await;
    let config = config([("box", node(&sshd, &["seq *"]))]);
    let said = worked(exec(&config, &["seq", "300000"]).await);
    let kept = output(&said);
    assert!(
        kept.starts_with("--- stdout, 1988895 bytes:\n1\n2\n3\n"),
        "{kept}"
    );
    assert!(kept.ends_with("\n299999\n300000\n"), "{kept}");
    assert!(
        kept.contains("[... 1984799 bytes are left out here ...]"),
        "{kept}"
    );
    assert!(said.len() < 4_300, "{}", said.len());
}

/// A command that writes down its process and that of a child, and runs for long.
fn endless(sshd: &Sshd, before: &str, then: &str) -> [String; 3] {
    let pids = sshd.path("pids");
    let script = format!(
        "{before} sleep 1000 & echo $$ $! > {0}.new; mv {0}.new {0}; echo begun; {then}",
        pids.display()
    );
    ["sh".to_owned(), "-c".to_owned(), script]
}

async fn pids(sshd: &Sshd) -> Vec<Pid> {
    let path = sshd.path("pids");
    let text = eventually("the command runs", async || {
        std::fs::read_to_string(&path).ok()
    })
    .await;
    let pids = text.split_whitespace().map(|pid| pid.parse().unwrap());
    pids.map(Pid::from_raw).collect()
}

async fn gone(pids: &[Pid]) {
    let are_gone = || pids.iter().all(|pid| kill(*pid, None) == Err(Errno::ESRCH));
    eventually("the command has ended on the node", async || {
        are_gone().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_command_that_takes_too_long_is_ended_on_the_node_too() {
    let sshd = Sshd::start().await;
    let config = config([("box", node(&sshd, &["sh -c **"]))]);
    // SIGTERM does not impress it.
    let command = endless(&sshd, "trap '' TERM;", "wait");
    let input = json!({"node": "box", "command": command, "timeoutMs": 3_000});
    let said = refused(call(&config, "nodes_exec", input).await);
    assert!(said.contains("longer than 3000 ms"), "{said}");
    assert_eq!(output(&said), "--- stdout, 6 bytes:\nbegun\n");
    gone(&pids(&sshd).await).await;
}

#[tokio::test]
async fn a_cancelled_command_is_ended_on_the_node_too() {
    let sshd = Sshd::start().await;
    let config = config([("box", node(&sshd, &["sh -c **"]))]);
    let Value::Object(arguments) = json!({"node": "box", "command": endless(&sshd, "", "wait")})
    else {
        unreachable!("an object")
    };
    let tools = tools(&config);
    let pids = {
        // The bridge drops a call that is cancelled.
        let mut called = std::pin::pin!(tools.call("nodes_exec", arguments, by("main")));
        tokio::select! {
            answer = &mut called => panic!("it has ended: {answer:?}"),
            pids = pids(&sshd) => pids,
        }
    };
    gone(&pids).await;
}

#[tokio::test]
async fn a_lost_connection_is_told_as_one() {
    // One that writes dies of it by itself, and leaves its child behind.
    for then in ["wait", "while echo more; do :; done"] {
        let sshd = Sshd::start().await;
        let config = config([("box", node(&sshd, &["sh -c **"]))]);
        let input = json!({"node": "box", "command": endless(&sshd, "", then)});
        let (answer, pids) = tokio::join!(call(&config, "nodes_exec", input), async {
            let pids = pids(&sshd).await;
            sshd.cut();
            pids
        });
        let said = refused(answer);
        assert!(
            said.contains("connection to the node `box` was lost"),
            "{said}"
        );
        gone(&pids).await;
    }
}
