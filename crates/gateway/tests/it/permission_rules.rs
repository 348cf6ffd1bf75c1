//! `permissions.mode`, `allow`, `deny`, `ask` and `skipPermissions`, each with the real CLI.

use serde_json::{Value, json};

use crate::asking::{Session, ending, play, setup, touch};
use crate::gateway::{Gateway, Setup};

/// What became of a command.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Became {
    /// It ran without a question.
    Ran,
    /// It was asked about.
    Asked,
    /// It was denied without a question.
    Denied,
}
use Became::{Asked, Denied, Ran};

/// Has the agent call a tool; a question is answered with no.
async fn call(session: &Session<'_>, tool: &str, input: Value) -> Became {
    let scene = json!([
        {"toolUse": {"name": tool, "input": input}},
        {"text": "done"},
    ]);
    let mut stream = session.say(&play(&scene)).await;
    let mut became = None;
    while let Some(message) = stream.next().await {
        let data = &message.data;
        match message.event.as_str() {
            "permission_request" => {
                became = Some(Asked);
                session.answer(data, json!({"behavior": "deny"})).await;
            }
            "status" if data["status"] == "permission_denied" => became = Some(Denied),
            "tool_result" => became = became.or(Some(Ran)),
            "failed" => panic!("{data}"),
            _ => {}
        }
    }
    became.expect("the tool has a result")
}

async fn bash(session: &Session<'_>, command: &str) -> Became {
    call(session, "Bash", json!({"command": command})).await
}

async fn write(session: &Session<'_>, file: &str) -> Became {
    let input = json!({"file_path": session.file(file), "content": "x\n"});
    call(session, "Write", input).await
}

#[tokio::test]
async fn rules_decide_in_the_order_deny_ask_allow() {
    let rules = json!({
        "allow": ["Bash(touch:*)", "Bash(mkdir a, b)", "Write"],
        "ask": ["Bash(touch asked*)"],
        "deny": ["Bash(touch secret*)", "WebFetch"],
    });
    let gateway = Gateway::start(setup(&rules)).await;
    let session = Session::claim(&gateway, "s1").await;
    for (command, wanted) in [
        ("touch fine", Ran),
        ("touch asked-about", Asked),
        ("touch secret-one", Denied),
        ("rm -f fine", Asked),
        // A rule may hold a comma.
        ("mkdir a, b", Ran),
    ] {
        assert_eq!(bash(&session, command).await, wanted, "{command}");
    }
    assert_eq!(write(&session, "new").await, Ran);
    // A tool that is denied altogether is not there.
    let request = gateway.model.requests().into_iter().rfind(|r| r.stream);
    let request = request.expect("the model was asked");
    assert!(
        !request.tool_names.contains(&"WebFetch".to_owned()),
        "{:?}",
        request.tool_names
    );
    gateway.stop().await;
}

#[tokio::test]
async fn modes_decide_what_no_rule_does() {
    for (mode, wanted) in [
        ("default", [Asked, Asked]),
        ("acceptEdits", [Ran, Asked]),
        ("dontAsk", [Denied, Denied]),
        // What reaches out is not asked about while a plan is made.
        ("plan", [Asked, Denied]),
    ] {
        let gateway = Gateway::start(setup(&json!({"mode": mode}))).await;
        let session = Session::claim(&gateway, "s1").await;
        let became = [
            write(&session, "new").await,
            bash(&session, "curl -s http://127.0.0.1:1/").await,
        ];
        assert_eq!(became, wanted, "{mode}");
        gateway.stop().await;
    }
}

#[tokio::test]
async fn without_the_switch_agents_ask_and_with_it_health_says_what_it_means() {
    let warned = |health: &Value| {
        let warnings = health["warnings"].as_array().expect("a list");
        let mut warnings = warnings.iter().filter_map(Value::as_str);
        warnings.any(|text| text.starts_with("skipPermissions is on: agents run every tool"))
    };
    for (switch, wanted) in [(None, Asked), (Some(true), Ran)] {
        let mut setup = Setup::default();
        if let Some(switch) = switch {
            setup = setup.with("skipPermissions", json!(switch));
        }
        let gateway = Gateway::start(setup).await;
        let session = Session::claim(&gateway, "s1").await;
        assert_eq!(bash(&session, "touch made").await, wanted, "{switch:?}");
        let health = gateway.get("/api/docker-cc/health").await;
        assert_eq!(warned(&health), switch.is_some(), "{health}");
        assert_eq!(health["status"], "ok", "{health}");
        assert_eq!(
            gateway.log().contains("skipPermissions is on"),
            switch.is_some()
        );
        gateway.stop().await;
    }
}

/// What an agent asks and what it is told stays out of the log.
#[tokio::test]
async fn requests_and_answers_stay_out_of_the_log() {
    let gateway = Gateway::start(setup(&json!({}))).await;
    let session = Session::claim(&gateway, "s1").await;
    let (stream, asked) = session.asked(&touch("heron-file")).await;
    let no = json!({"behavior": "deny", "message": "egret-reason"});
    session.answer(&asked, no).await;
    ending(stream).await;
    let metrics = gateway
        .request(reqwest::Method::GET, "/metrics")
        .send()
        .await;
    let metrics = metrics.expect("an answer").text().await.expect("a body");
    let denied = "ccpool_permission_requests_total{outcome=\"denied\"} 1";
    assert!(metrics.contains(denied), "{metrics}");
    let log = gateway.log();
    assert!(log.contains("answered"), "{log}");
    for word in ["heron", "egret"] {
        assert!(
            !log.contains(word) && !metrics.contains(word),
            "{word} is in the log"
        );
    }
    gateway.stop().await;
}

/// Rules that somebody gives to the CLI do not push those of `permissions` aside.
#[tokio::test]
async fn rules_hold_beside_arguments_of_ones_own() {
    let settings = json!({"permissions": {"deny": ["Bash(touch secret*)"]}}).to_string();
    let rules = json!({
        "allow": ["Bash(touch:*)"],
        "ask": ["Bash(touch asked*)"],
        "deny": ["Bash(touch closed*)"],
    });
    let arguments = [
        "--settings",
        &settings,
        "--disallowedTools",
        "Bash(touch hidden*)",
        "--allowedTools",
        "Bash(mkdir:*)",
    ];
    let claude = json!({"extraArgs": arguments});
    let gateway = Gateway::start(setup(&rules).with("claude", claude)).await;
    let session = Session::claim(&gateway, "s1").await;
    for (command, wanted) in [
        ("touch fine", Ran),
        ("mkdir fine-too", Ran),
        ("touch asked-about", Asked),
        ("touch secret-one", Denied),
        ("touch closed-one", Denied),
        ("touch hidden-one", Denied),
    ] {
        assert_eq!(bash(&session, command).await, wanted, "{command}");
    }
    gateway.stop().await;
}
