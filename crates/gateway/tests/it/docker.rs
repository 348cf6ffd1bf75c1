//! The whole way through real containers: Docker, Redis, the real CLI; only the model is scripted.

use std::os::unix::fs::PermissionsExt;

use reqwest::Method;
use serde_json::{Value, json};

use crate::gateway::{Folder, Gateway, answer};
use crate::network::Network;

/// What a command in the container prints, run by the agent as its Bash tool.
async fn bash(gateway: &Gateway, session: &str, command: &str) -> Value {
    let scene = json!({"replies": [
        {"toolUse": {"name": "Bash", "input": {"command": command, "description": "look"}}},
        {"text": "done"},
    ]});
    let prompt = format!("[[do: {scene}]]");
    let (status, answer) = gateway
        .turn(session, &json!({"prompt": prompt, "events": true}))
        .await;
    assert_eq!(status, 200, "{answer}");
    let events = answer["events"].as_array().expect("events were asked for");
    let result = events.iter().find(|event| event["type"] == "tool_result");
    result.expect("a result").clone()
}

#[tokio::test]
async fn a_prompt_goes_through_a_warm_container_and_comes_back() {
    let network = Network::create("way").await;
    let gateway = Gateway::start(network.setup(&json!({"minWarm": 2, "maxTotal": 4}))).await;
    gateway.wait_warm(2).await;

    let claimed = gateway.claim("agent:main:t1").await;
    let first = gateway
        .stream("agent:main:t1", "My favourite colour is teal. Remember it.")
        .await;
    let first = first.rest().await;
    assert_eq!(
        first.first().map(|m| m.event.as_str()),
        Some("started"),
        "{first:#?}"
    );
    assert_eq!(
        first.last().map(|m| m.event.as_str()),
        Some("completed"),
        "{first:#?}"
    );
    let second = gateway
        .stream("agent:main:t1", "What is my favourite colour?")
        .await;
    let second = second.rest().await;
    let text = &second.last().expect("an ending").data["text"];
    assert!(
        text.as_str().is_some_and(|text| text.contains("teal")),
        "{second:#?}"
    );
    let cli_session = |messages: &[crate::sse::Message]| messages[0].data["cliSessionId"].clone();
    assert_eq!(
        cli_session(&first),
        cli_session(&second),
        "one process serves both turns"
    );

    // Named after its session, and made as configured.
    let there = network
        .inspect("_agent_cmain_ct1")
        .await
        .expect("it is found by its session");
    let host = there.host_config.expect("a host configuration");
    assert_eq!(host.memory, Some(768 << 20));
    assert_eq!(host.nano_cpus, Some(1_500_000_000));
    assert_eq!(host.pids_limit, Some(200));
    assert_eq!(host.cap_drop.as_deref(), Some(&["ALL".to_owned()][..]));
    assert_eq!(
        host.security_opt.as_deref(),
        Some(&["no-new-privileges".to_owned()][..])
    );
    assert_eq!(host.network_mode.as_deref(), Some(network.name.as_str()));
    let labels = there
        .config
        .and_then(|config| config.labels)
        .unwrap_or_default();
    assert_eq!(labels["clawdbot.docker-cc"], "1");
    assert!(
        labels.values().all(|value| !value.contains("sk-ant")),
        "{labels:?}"
    );

    gateway.wait_warm(2).await;
    let (status, _) =
        answer(gateway.request(Method::DELETE, "/api/docker-cc/sessions/agent:main:t1")).await;
    assert_eq!(status, 204);
    assert!(
        network.inspect("_agent_cmain_ct1").await.is_none(),
        "its container is destroyed"
    );
    let pool = gateway.get("/api/docker-cc/pool").await;
    let containers = pool["containers"].as_array().expect("a list");
    assert!(
        containers
            .iter()
            .all(|c| c["container"] != claimed["container"]),
        "{pool}"
    );
    gateway.wait_warm(2).await;
    gateway.stop().await;
    network.remove().await;
}

#[tokio::test]
async fn the_agent_is_fenced_in() {
    let network = Network::create("fence").await;
    let given = Folder::new();
    std::fs::set_permissions(given.path(), std::fs::Permissions::from_mode(0o755)).expect("mode");
    std::fs::write(given.path().join("note"), "from the host\n").expect("a file");
    let mut setup = network.setup(&json!({"minWarm": 1, "maxTotal": 2}));
    setup.config["docker"]["binds"] = json!([format!("{}:/mnt/given:ro", given.path().display())]);
    let gateway = Gateway::start(setup).await;
    gateway.claim("s1").await;
    let looks = [
        (
            "cat /mnt/given/note; touch /mnt/given/x 2>/dev/null || echo read-only",
            "from the host\nread-only",
        ),
        ("id -u; id -g; id -G", "1001\n1001\n1001"),
        ("cat /proc/1/environ || echo refused", "refused"),
        (
            "grep -la CCPOOL_BOOT /proc/[0-9]*/environ 2>/dev/null || echo none",
            "none",
        ),
        ("ls /run/ccpool || echo refused", "refused"),
        ("touch /usr/local/bin/x || echo refused", "refused"),
        ("env | grep -c CCPOOL_BOOT || echo none", "none"),
        (
            "echo $FROM_CLAUDE_ENV $FROM_DOCKER_ENV; pwd",
            "yes yes\n/workspace",
        ),
        ("touch here && echo writable", "writable"),
        (
            "git --version >/dev/null && jq --version >/dev/null && curl --version >/dev/null && echo all",
            "all",
        ),
    ];
    for (command, wanted) in looks {
        let result = bash(&gateway, "s1", command).await;
        let content = result["content"].as_str().unwrap_or_default();
        assert!(content.contains(wanted), "{command}: {result}");
    }
    let effective = bash(&gateway, "s1", "grep CapEff /proc/self/status").await;
    assert!(
        effective["content"]
            .to_string()
            .contains("0000000000000000"),
        "{effective}"
    );
    // What is told about the surroundings reaches the model.
    let requests = gateway.model.requests();
    let told = requests.iter().any(|request| {
        let body = request
            .body()
            .map(|body| body.to_string())
            .unwrap_or_default();
        body.contains("isolated, single-use container")
    });
    assert!(told, "the awareness prompt is in the request");
    gateway.stop().await;
    network.remove().await;
}

#[tokio::test]
async fn a_killed_container_ends_its_turn_and_is_replaced() {
    let network = Network::create("kill").await;
    let gateway = Gateway::start(network.setup(&json!({"minWarm": 1, "maxTotal": 2}))).await;
    let claimed = gateway.claim("doomed").await;
    let scene = json!({"text": "one two three four", "stallAfter": 2});
    let mut stream = gateway.stream("doomed", &format!("[[do: {scene}]]")).await;
    loop {
        let message = stream.next().await.expect("it goes on");
        if message.event == "text_delta" {
            break;
        }
    }
    network.kill("doomed").await;
    let rest = stream.rest().await;
    let endings: Vec<_> = rest
        .iter()
        .filter(|m| m.event == "failed" || m.event == "completed")
        .collect();
    assert_eq!(endings.len(), 1, "{rest:#?}");
    let failed = &endings[0].data;
    assert_eq!(
        (&failed["kind"], &failed["visibleOutput"]),
        (&json!("container_lost"), &json!(true))
    );
    let pool = gateway
        .wait_for_pool(|pool| {
            let all = pool["containers"].as_array().expect("a list");
            all.iter().all(|c| c["container"] != claimed["container"])
                && pool["counts"]["warm"] == 1
        })
        .await;
    let failures = pool["failures"].as_array().expect("a list");
    assert!(
        failures
            .iter()
            .any(|f| f["container"] == claimed["container"]),
        "{pool}"
    );
    gateway.stop().await;
    network.remove().await;
}

/// The agent ends its own `claude`; the container and the conversation survive.
#[tokio::test]
async fn a_claude_that_dies_comes_back_with_its_conversation() {
    let network = Network::create("back").await;
    let gateway = Gateway::start(network.setup(&json!({"minWarm": 1, "maxTotal": 2}))).await;
    let claimed = gateway.claim("s1").await;
    let colour = json!({"prompt": "My favourite colour is teal. Remember it."});
    let (status, answer) = gateway.turn("s1", &colour).await;
    assert_eq!(status, 200, "{answer}");
    let scene = json!([{"toolUse": {"name": "Bash", "input": {"command": "kill -9 $PPID"}}}]);
    let (status, lost) = gateway
        .turn("s1", &json!({"prompt": format!("[[do: {scene}]]")}))
        .await;
    assert_eq!(
        (status, &lost["kind"]),
        (503, &json!("container_lost")),
        "{lost}"
    );
    assert_eq!(lost["toolEffects"], json!(true), "{lost}");
    let question = json!({"prompt": "What is my favourite colour?"});
    let (status, answer) = gateway.turn("s1", &question).await;
    assert_eq!(status, 200, "{answer}");
    assert!(
        answer["result"]["text"].to_string().contains("teal"),
        "{answer}"
    );
    let info = gateway.get("/api/docker-cc/sessions/s1").await;
    assert_eq!(info["container"], claimed["container"]);
    gateway.stop().await;
    network.remove().await;
}

#[tokio::test]
async fn a_container_that_dies_at_boot_is_told_with_the_reason() {
    let network = Network::create("dies").await;
    let mut setup = network.setup(&json!({"minWarm": 0, "maxTotal": 2, "claimTimeoutMs": 4000}));
    setup.config["docker"]["binds"] = json!(["/bin/false:/usr/local/bin/claude:ro"]);
    let gateway = Gateway::start_cold(setup).await;
    let problem = gateway.refused_claim().await;
    assert!(
        problem["detail"]
            .to_string()
            .contains("claude exited with code 1"),
        "{problem}"
    );
    let pool = gateway.get("/api/docker-cc/pool").await;
    assert!(
        !pool["failures"][0]["logTail"]
            .as_array()
            .is_none_or(Vec::is_empty),
        "{pool}"
    );
    gateway.stop().await;
    network.remove().await;
}

#[tokio::test]
async fn a_missing_image_is_told_with_what_mends_it() {
    let network = Network::create("noimage").await;
    let mut setup = network.setup(&json!({"minWarm": 1, "maxTotal": 2, "claimTimeoutMs": 500}));
    setup.config["image"] = json!("ccpool/no-such-image:never");
    let gateway = Gateway::start_cold(setup).await;
    gateway.refused_claim().await;
    let (status, health) = answer(gateway.request(Method::GET, "/api/docker-cc/health")).await;
    assert_eq!(
        (status, &health["status"]),
        (503, &json!("unavailable")),
        "{health}"
    );
    let reasons = health["reasons"].to_string();
    assert!(
        reasons.contains("no-such-image") && reasons.contains("ccpool image build"),
        "{health}"
    );
    gateway.stop().await;
    network.remove().await;
}
