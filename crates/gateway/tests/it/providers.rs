//! Which providers a gateway has, by its configuration.

use reqwest::Method;
use serde_json::json;

use crate::gateway::{Folder, Gateway, Setup};
use crate::parts::wrapper;

#[tokio::test]
async fn naming_a_provider_in_the_configuration_adds_it() {
    let chain = json!({"primary": "docker-claude-code/opus", "fallbacks": ["anthropic/haiku"]});
    let setup = Setup::default().with("model", chain);
    let gateway = Gateway::start_cold(setup).await;
    let text = gateway.request(Method::GET, "/metrics").send().await;
    let text = text.expect("an answer").text().await.expect("a body");
    for provider in ["docker-claude-code", "anthropic"] {
        let line = format!("ccpool_provider_breaker{{provider=\"{provider}\"}} 0");
        assert!(text.contains(&line), "{text}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_provider_that_is_none_and_an_address_that_is_none_are_told() {
    for (fallback, base, told) in [
        (
            "antropic/haiku",
            "http://127.0.0.1:1",
            "did you mean `anthropic/haiku`?",
        ),
        ("anthropic/haiku", "nowhere", "correct `ANTHROPIC_BASE_URL`"),
    ] {
        let dir = Folder::new();
        let config = json!({
            "runtime": "process",
            "model": {"fallbacks": [fallback]},
            "redis": {"url": "embedded"},
            "dataDir": dir.path().join("data"),
        });
        std::fs::write(dir.config(), config.to_string()).expect("the configuration is written");
        let mut command = dir.ccpool();
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(dir.config())
            .arg("--wrapper")
            .arg(wrapper())
            .env("ANTHROPIC_API_KEY", "sk-ant-fake")
            .env("ANTHROPIC_BASE_URL", base);
        let output = command.output().await.expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(told), "{said}");
        assert_eq!(output.status.code(), Some(2), "{said}");
    }
}
