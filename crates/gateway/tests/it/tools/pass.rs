//! Tokens for people, by which any MCP client calls the tools as a session does.

use reqwest::Method;
use serde_json::json;

use super::direct::ask;
use crate::gateway::{Gateway, Setup};

#[tokio::test]
async fn a_person_acts_as_a_session_as_long_as_it_lives() {
    let pool = json!({"minWarm": 2, "maxTotal": 4});
    let gateway = Gateway::start(Setup::default().with("pool", pool)).await;
    gateway.claim("mine").await;
    gateway.wait_warm(1).await;
    let theirs = json!({"session": "theirs", "agent": "other"});
    let (status, claimed) = gateway.post("/api/docker-cc/sessions", &theirs).await;
    assert_eq!(status, 201, "{claimed}");

    let mut command = gateway.dir.ccpool();
    let output = command
        .args(["mcp", "token", "--session", "mine"])
        .env("CCPOOL_HTTP__LISTEN", gateway.address())
        .output();
    let output = output.await.expect("it runs");
    assert!(output.status.success(), "{output:?}");
    let token = String::from_utf8(output.stdout).expect("UTF-8");
    let token = token.trim();

    let (status, listed) = ask(&gateway, token, "tools/list", json!({})).await;
    assert_eq!(status, 200, "{listed}");
    let tools = listed["result"]["tools"].as_array().expect("tools").len();
    assert!(tools >= 7, "{listed}");
    let call = json!({"name": "sessions_list", "arguments": {}});
    let (_, called) = ask(&gateway, token, "tools/call", call).await;
    let text = called["result"]["content"][0]["text"].as_str();
    let text = text.unwrap_or_else(|| panic!("{called}"));
    assert!(text.contains("mine") && !text.contains("theirs"), "{text}");
    let data = &called["result"]["_meta"]["ccpool/data"];
    assert_eq!(data["sessions"][0]["session"], "mine", "{called}");

    // It is the session's alone, cannot be guessed from its name, and is logged nowhere.
    let (names, secret) = token.rsplit_once('.').expect("names and a secret");
    let (name, container) = names.split_once('.').expect("a name and a container");
    let forged = [
        format!("{names}.{}", "0".repeat(64)),
        // Neither is it the container's own, nor another one's.
        format!("{container}.{secret}"),
        format!(
            "{name}.{}.{secret}",
            claimed["container"].as_str().expect("an id")
        ),
        format!("{name}.{secret}"),
        format!("p-0123456789ab.{container}.{secret}"),
    ];
    for wrong in forged
        .iter()
        .map(String::as_str)
        .chain([names, "p-0123456789ab."])
    {
        assert_eq!(ask(&gateway, wrong, "tools/list", json!({})).await.0, 401);
    }
    assert!(!gateway.log().contains(token), "the token is in the log");
    let unknown = "/api/docker-cc/sessions/nobody/mcp-token";
    assert_eq!(gateway.post(unknown, &json!({})).await.0, 404);

    let end = gateway.request(Method::DELETE, "/api/docker-cc/sessions/mine");
    assert_eq!(end.send().await.expect("an answer").status(), 204);
    assert_eq!(ask(&gateway, token, "tools/list", json!({})).await.0, 401);
    // Another session of that name is another session.
    gateway.wait_warm(1).await;
    gateway.claim("mine").await;
    assert_eq!(ask(&gateway, token, "tools/list", json!({})).await.0, 401);
    gateway.stop().await;
}

#[tokio::test]
async fn a_slow_tool_tells_that_it_is_under_way() {
    let pool = json!({"minWarm": 2, "maxTotal": 4});
    let gateway = Gateway::start(Setup::default().with("pool", pool)).await;
    gateway.claim("one").await;
    gateway.wait_warm(1).await;
    gateway.claim("two").await;
    let path = "/api/docker-cc/sessions/one/mcp-token";
    let (status, issued) = gateway.post(path, &json!({"lastsSeconds": 60})).await;
    assert_eq!(status, 201, "{issued}");
    let token = issued["token"].as_str().expect("a token");
    let arguments = json!({"session": "two", "prompt": "[[script:stall]]", "wait_seconds": 7});
    let call = json!({
        "name": "sessions_send",
        "arguments": arguments,
        "_meta": {"progressToken": "p1"},
    });
    let (status, told) = ask(&gateway, token, "tools/call", call).await;
    assert_eq!(status, 200, "{told}");
    let told = told.as_str().expect("a stream of events").to_owned();
    let progress = told.find("notifications/progress");
    let answer = told.find("has not answered within 7 s");
    assert!(progress.is_some() && progress < answer, "{told}");
    assert!(
        told.contains("sessions_send is under way for 5 s"),
        "{told}"
    );
    gateway.stop().await;
}
