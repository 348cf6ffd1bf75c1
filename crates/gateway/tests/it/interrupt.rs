//! Ending the running turn, by each way in.

use serde_json::json;
use tokio::process::Command;

use crate::gateway::{Gateway, Setup};
use crate::ledger::{Ledger, only_ending};
use crate::parts::PATIENCE;
use crate::sse::SseReader;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Http,
    CommandLine,
    RedisCli,
}

/// What the turn is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// The model has not answered.
    Nothing,
    /// Some words were said.
    Text,
    /// A tool is at work.
    Tool,
}

#[tokio::test]
async fn an_interrupt_ends_the_turn_whoever_asks() {
    let setup = Setup::default().with("permissions", json!({"allow": ["Bash"]}));
    let gateway = Gateway::start(setup).await;
    gateway.claim("s1").await;
    let mut ledger = Ledger::of(&gateway, "s1").await;
    for by in [By::Http, By::CommandLine, By::RedisCli] {
        for at in [At::Nothing, At::Text, At::Tool] {
            let mut stream = gateway.stream("s1", &prompt(at)).await;
            let turn = stream.turn.clone();
            let mut messages = Vec::new();
            until(&gateway, at, &mut stream, &mut messages).await;
            interrupt(&gateway, by).await;
            messages.extend(stream.rest().await);
            let shown = ledger.lists().await.shown(&turn);
            let ending = only_ending(&messages, &shown);
            assert_eq!(ending["kind"], "interrupted", "{by:?} {at:?}: {ending}");
            assert_eq!(shown.visible_output, at == At::Text, "{by:?} {at:?}");
            assert_eq!(shown.tool_effects, at == At::Tool, "{by:?} {at:?}");
        }
        // Between turns there is nothing to end, and the next one is not meant.
        interrupt(&gateway, by).await;
        let (status, next) = gateway.turn("s1", &json!({"prompt": "hello"})).await;
        assert_eq!(status, 200, "{by:?}: {next}");
    }
    let info = gateway.get("/api/docker-cc/sessions/s1").await;
    assert_eq!(info["status"], "assigned", "{info}");
    gateway.stop().await;
}

fn prompt(at: At) -> String {
    let scene = match at {
        At::Nothing => json!({"hang": true}),
        At::Text => json!({"text": "one two three four", "stallAfter": 2}),
        At::Tool => json!([{"toolUse": {"name": "Bash", "input": {"command": "sleep 300"}}}]),
    };
    format!("[[do: {scene}]]")
}

/// Reads until the turn is there.
async fn until(
    gateway: &Gateway,
    at: At,
    stream: &mut SseReader,
    messages: &mut Vec<crate::sse::Message>,
) {
    let wanted = match at {
        At::Nothing => "started",
        At::Text => "text_delta",
        At::Tool => "tool_use",
    };
    loop {
        let message = stream.next().await.expect("it goes on");
        let found = message.event == wanted;
        messages.push(message);
        if found {
            break;
        }
    }
    if at == At::Nothing {
        let hangs = |request: &ccpool_scripted_model::RecordedRequest| {
            request.stream && request.outcome().is_none()
        };
        let asked = gateway.model.wait_for_request(hangs, PATIENCE).await;
        asked.expect("the model is asked");
    }
}

async fn interrupt(gateway: &Gateway, by: By) {
    let mut command = match by {
        By::Http => {
            let path = "/api/docker-cc/sessions/s1/interrupt";
            let (status, told) = gateway.post(path, &json!({})).await;
            assert_eq!(status, 200, "{told}");
            return;
        }
        By::CommandLine => {
            let mut command = gateway.dir.ccpool();
            command
                .args(["sessions", "interrupt", "s1"])
                .env("CCPOOL_HTTP__LISTEN", gateway.address());
            command
        }
        By::RedisCli => {
            let mut command = Command::new("redis-cli");
            command.args(["-s", &gateway.redis_socket(), "PUBLISH"]);
            command.args(["clawdbot:cc:s1:control", "interrupt"]);
            command
        }
    };
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = output.expect("in time").expect("it starts");
    assert!(output.status.success(), "{by:?}: {output:?}");
    if by == By::RedisCli {
        let heard = String::from_utf8_lossy(&output.stdout);
        assert_eq!(heard.trim(), "1", "the wrapper listens");
    }
}
