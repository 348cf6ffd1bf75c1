//! What must not be told: secrets, and what was said, appear in no log, no metric and no span.

use std::path::{Path, PathBuf};

use ccpool_scripted_model::Scene;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::collector::Collector;
use crate::gateway::{Gateway, Setup, answer};
use crate::parts::eventually;

const API_KEY: &str = "sk-ant-fake-0f9c1b7d5e3a";
const HTTP_TOKEN: &str = "fake-http-token-8d2e6a4c";
const VARIABLE: &str = "fake-variable-77b1";
const PROMPT: &str = "the xylophone prompt 4417";
const REPLY: &str = "the marmalade reply 9052";
const SYSTEM: &str = "the periwinkle system prompt 3306";
const SESSION: &str = "agent:main:explicit:secret";

/// Files of this name below a folder.
fn files(folder: &Path, name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        if path.is_dir() && !path.is_symlink() {
            found.extend(files(&path, name));
        } else if path.file_name().is_some_and(|found| found == name) {
            found.push(path);
        }
    }
    found
}

/// The bearer token in a configuration of `claude`'s.
fn bearer(config: &Path) -> String {
    let text = std::fs::read_to_string(config).expect("the file can be read");
    let config: Value = serde_json::from_str(&text).expect("JSON");
    let header = &config["mcpServers"]["ccpool"]["headers"]["Authorization"];
    let header = header.as_str().expect("a header");
    header
        .strip_prefix("Bearer ")
        .expect("a bearer token")
        .to_owned()
}

async fn send(request: RequestBuilder) -> (u16, Value) {
    answer(request.bearer_auth(HTTP_TOKEN)).await
}

#[tokio::test]
async fn nothing_is_told_of_secrets_and_of_what_was_said() {
    let collector = Collector::start().await;
    let setup = Setup::default()
        .with("telemetry", json!({"otlpEndpoint": collector.url()}))
        .with("http", json!({"token": HTTP_TOKEN}))
        .with("claude", json!({"env": {"FAKE": VARIABLE}}))
        .with_env("ANTHROPIC_API_KEY", API_KEY)
        .with_env("CCPOOL_REDIS__URL", "embedded")
        .with_env("CCPOOL_LOG", "debug")
        .with_argument("--log-json");
    let mut gateway = Gateway::start_cold(setup).await;
    gateway
        .model
        .push(Scene::parse(&json!({"text": REPLY}).to_string()).unwrap());
    let path = format!("/api/docker-cc/sessions/{SESSION}");
    let post = |path: &str, body: Value| send(gateway.request(Method::POST, path).json(&body));
    let claim = json!({"session": SESSION, "appendSystemPrompt": SYSTEM});
    let (status, claimed) = post("/api/docker-cc/sessions", claim).await;
    assert_eq!(status, 201, "{claimed}");
    let turn = json!({"prompt": PROMPT, "turn": "t1", "stream": false});
    let (status, answered) = post(&format!("{path}/turns"), turn).await;
    assert_eq!(status, 200, "{answered}");
    assert_eq!(answered["result"]["text"], REPLY);
    // A failure, a refusal and a wrong token have their lines too.
    let turn = json!({"prompt": format!("{PROMPT} [[script:bad-key]]"), "turn": "t2"});
    let (status, failed) = post(&format!("{path}/turns"), turn).await;
    assert_eq!(status, 200, "{failed}");
    let wrong = json!({"prompt": PROMPT, "text": REPLY});
    let (status, refused) = post(&format!("{path}/turns"), wrong).await;
    assert_eq!(status, 400, "{refused}");
    let stranger = gateway.request(Method::GET, "/api/docker-cc/pool");
    let (status, _) = answer(stranger.bearer_auth("fake-wrong-token-5a")).await;
    assert_eq!(status, 401);

    let data = gateway.dir.path().join("data");
    let mut secrets: Vec<String> = [API_KEY, HTTP_TOKEN, VARIABLE, PROMPT, REPLY, SYSTEM]
        .map(str::to_owned)
        .to_vec();
    secrets.push("fake-wrong-token-5a".to_owned());
    let redis = data
        .join("redis")
        .join(format!("{}.password", gateway.pid()));
    let password = std::fs::read_to_string(redis).expect("the embedded Redis has a password");
    secrets.push(password.trim().to_owned());
    let tokens: Vec<String> = files(&data, "mcp.json")
        .iter()
        .map(|file| bearer(file))
        .collect();
    assert!(!tokens.is_empty(), "containers have tokens");
    // The first half of a token is the container's id, which is no secret.
    secrets.extend(tokens.iter().map(|token| {
        let (_, secret) = token.split_once('.').expect("id and secret");
        secret.to_owned()
    }));

    let (_, metrics) = send(gateway.request(Method::GET, "/metrics")).await;
    let metrics = metrics.as_str().expect("text").to_owned();
    let (_, pool) = send(gateway.request(Method::GET, "/api/docker-cc/pool")).await;
    let log = eventually("the end of the second turn in the log", async || {
        let log = gateway.log();
        let ends = log.lines().filter(|line| line.contains("turn over"));
        (ends.count() == 2).then_some(log)
    })
    .await;
    about_turns(&log);
    gateway.terminate().await;
    let log = gateway.log();

    let spans = collector.spans();
    assert!(spans.iter().any(|span| span.name == "turn"), "{spans:#?}");
    let exported: Vec<u8> = collector.bodies().concat();
    let exported = String::from_utf8_lossy(&exported).into_owned();
    assert!(metrics.contains("ccpool_turns_total") && log.contains("DEBUG"));
    let told = [
        ("log", &log),
        ("metrics", &metrics),
        ("spans", &exported),
        ("pool", &pool.to_string()),
    ];
    for secret in &secrets {
        for (where_, text) in told {
            assert!(
                !text.contains(secret.as_str()),
                "{secret} is in the {where_}"
            );
        }
    }
}

/// Every line that names a turn names its session, and the turn's own lines are there.
fn about_turns(log: &str) {
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect();
    let mut told = Vec::new();
    for line in &lines {
        if line["turn"].is_string() {
            assert_eq!(line["session"], SESSION, "{line}");
            told.push((line["message"].clone(), line["turn"].clone()));
        }
    }
    for turn in ["t1", "t2"] {
        for message in ["prompt", "turn over"] {
            let wanted = (json!(message), json!(turn));
            assert!(
                told.contains(&wanted),
                "{wanted:?} is not in the log:\n{log}"
            );
        }
    }
    // What a library says within a request says which session it is about.
    let within = lines.iter().filter(|line| {
        let path = line["span"]["path"].as_str().unwrap_or_default();
        path.contains(SESSION)
    });
    let mut count = 0;
    for line in within {
        assert_eq!(line["span"]["session"], SESSION, "{line}");
        count += 1;
    }
    assert!(count > 0, "no line within a request:\n{log}");
}
