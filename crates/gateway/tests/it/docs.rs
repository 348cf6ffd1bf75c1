//! The commands in the documentation, run as they stand there.

use std::path::Path;
use std::time::Duration;

use tokio::process::Command;

use crate::asking::{Session, ending, touch};
use crate::gateway::{Gateway, Setup};
use crate::parts::{PATIENCE, ccpool};

/// The shell block that follows `<!-- run: NAME -->` in a file of the repository.
fn block(file: &str, name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join(file)).expect("the file is there");
    let marker = format!("<!-- run: {name} -->\n```sh\n");
    let (_, after) = text.split_once(&marker).expect("the block is marked");
    let (block, _) = after.split_once("```").expect("the block ends");
    block.to_owned()
}

/// Runs a script; gives what it prints.
async fn sh(gateway: &Gateway, script: &str) -> String {
    // What a user has by default is elsewhere in a test: Redis and the gateway's port.
    let here = format!(
        "redis-cli() {{ command redis-cli -s '{}' \"$@\"; }}\n\
         ccpool() {{ CCPOOL_CONFIG='{}' CCPOOL_HTTP__LISTEN='{}' '{}' \"$@\"; }}\n",
        gateway.redis_socket(),
        gateway.dir.config().display(),
        gateway.address(),
        ccpool().display()
    );
    let script = script.replace("http://127.0.0.1:18789", &gateway.base);
    let run = Command::new("bash")
        .args(["-euc", &format!("{here}{script}")])
        .output();
    let output = tokio::time::timeout(PATIENCE, run)
        .await
        .expect("in time")
        .expect("bash runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{script}\n{}",
        text(&output.stderr)
    );
    text(&output.stdout)
}

#[tokio::test]
async fn a_session_by_curl() {
    let gateway = Gateway::start(Setup::default()).await;
    let said = sh(&gateway, &block("README.md", "curl")).await;
    for part in [
        "\"session\":\"demo\"",
        "event: text_delta",
        "event: completed",
        "\"result\":{",
        "\"status\":\"ok\"",
    ] {
        assert!(said.contains(part), "{part} is missing: {said}");
    }
    assert!(
        !said.contains("event: failed") && !said.contains("urn:ccpool:problem"),
        "{said}"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn the_openai_api_by_curl() {
    let gateway = Gateway::start(Setup::default()).await;
    let said = sh(&gateway, &block("docs/openai.md", "openai by curl")).await;
    for part in [
        "\"id\":\"docker-claude-code/opus\"",
        "\"object\":\"chat.completion\"",
        "\"object\":\"chat.completion.chunk\"",
        "\"total_tokens\":",
        "data: [DONE]",
    ] {
        assert!(said.contains(part), "{part} is missing: {said}");
    }
    assert!(!said.contains("\"error\""), "{said}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_conversation_by_curl() {
    let gateway = Gateway::start(Setup::default()).await;
    let said = sh(
        &gateway,
        &block("docs/providers.md", "conversation by curl"),
    )
    .await;
    let (_, second) = said.split_once('\n').expect("two answers");
    let second: serde_json::Value = serde_json::from_str(second).expect("JSON");
    let content = second["choices"][0]["message"]["content"].as_str();
    assert!(content.is_some_and(|text| text.contains("teal")), "{said}");
    let sessions = gateway.get("/api/docker-cc/sessions").await;
    let listed = sessions["sessions"].as_array().expect("a list");
    assert_eq!(listed.len(), 1, "{sessions}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_session_by_redis_cli() {
    let gateway = Gateway::start(Setup::default()).await;
    gateway.claim("demo").await;
    for file in ["README.md", "docs/redis.md"] {
        let block = block(file, "redis-cli");
        let turn = if file == "README.md" { "t1" } else { "by-hand" };
        for line in block.lines() {
            let said = sh(&gateway, line).await;
            let wanted = match line {
                line if line.contains("RPUSH") => {
                    until_answered(&gateway, turn).await;
                    "1"
                }
                line if line.contains(":state") => "lastHeartbeat",
                line if line.contains("output_buffer") => "\"subtype\":\"terminal\"",
                line if line.contains(":result") => "\"type\":\"completed\"",
                line if line.contains(":control") => "1",
                line if line.contains("pool:sessions") => "demo",
                line if line.contains("pool:warm") => "",
                line if line.contains("pool:containers") => "c-",
                line => panic!("{file}: nothing is known of {line}"),
            };
            assert!(said.contains(wanted), "{file}: {line}: {said}");
        }
    }
    gateway.stop().await;
}

async fn until_answered(gateway: &Gateway, turn: &str) {
    let mut look = tokio::time::interval(Duration::from_millis(50));
    let answered = async {
        loop {
            look.tick().await;
            let result = sh(gateway, "redis-cli GET clawdbot:cc:demo:result").await;
            if result.contains(&format!("\"turn\":\"{turn}\"")) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, answered)
        .await
        .expect("the turn ends");
}

#[tokio::test]
async fn requests_are_answered_as_the_page_says() {
    let gateway = Gateway::start(Setup::default()).await;
    let session = Session::claim(&gateway, "demo").await;
    let by = async |name: &str| {
        let (stream, asked) = session.asked(&touch("made")).await;
        let said = sh(&gateway, &block("docs/permissions.md", name)).await;
        let request = asked["requestId"].as_str().expect("a request");
        assert!(
            said.contains(request) && said.contains("touch made"),
            "{said}"
        );
        let (ending, _) = ending(stream).await;
        (said, ending["text"].clone())
    };
    let (said, _) = by("permissions by curl").await;
    assert!(said.contains("\"outcome\":\"allowed\""), "{said}");
    let (said, text) = by("permissions by command").await;
    assert!(said.contains("is denied"), "{said}");
    assert_eq!(text, "The tool said: write the tests first");
    let (_, text) = by("permissions by redis-cli").await;
    assert!(!text.to_string().contains("denied"), "{text}");
    gateway.stop().await;
}
