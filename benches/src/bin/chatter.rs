//! Stands in for `claude` where the stream behind it is measured: it speaks just enough of its
//! protocol to become warm, and answers a prompt `count=N pace=P mark=M` with N text deltas, P of them a
//! second, or as fast as they are taken when P is 0. Each is a numbered word that begins with M. Without
//! a mark it begins with `w`, and the whole text is not told once more at the end: it may be very long.
//!
//! The real CLI cannot print fast enough to show what the rest of the way can carry. Each delta's text
//! begins with the time at which it was printed, in µs since the Unix epoch.

use std::io::{BufRead, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde_json::{Value, json};

const SESSION: &str = "5c2a6b1e-0000-4000-8000-000000000000";
/// So many bytes are handed to the pipe at a time when there is no pace.
const WRITE: usize = 64 << 10;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    list_tools().await?;
    for line in std::io::stdin().lock().lines() {
        let line: Value = serde_json::from_str(&line?)?;
        match line["type"].as_str() {
            Some("control_request") => answer(&line["request_id"])?,
            Some("user") => {
                let prompt = prompt_text(&line["message"]["content"]);
                let number = |name: &str| {
                    let mut words = prompt.split_whitespace();
                    words.find_map(|word| word.strip_prefix(name)?.parse::<u64>().ok())
                };
                let count = number("count=").context("the prompt says no count=")?;
                let mut words = prompt.split_whitespace();
                let mark = words.find_map(|word| word.strip_prefix("mark="));
                turn(&line["uuid"], count, number("pace=").unwrap_or(0), mark)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// A container is warm once its token has listed the tools.
async fn list_tools() -> Result<()> {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--mcp-config");
    let Some(path) = arguments.nth(1) else {
        return Ok(());
    };
    let config: Value = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    let servers = config["mcpServers"].as_object().context("no MCP servers")?;
    for server in servers.values() {
        let url = server["url"]
            .as_str()
            .context("an MCP server without URL")?;
        let token = server["headers"]["Authorization"]
            .as_str()
            .context("an MCP server without a token")?;
        let client = reqwest::Client::builder().no_proxy().build()?;
        client
            .post(url)
            .header("authorization", token)
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2025-11-25")
            .json(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}))
            .send()
            .await?
            .error_for_status()?;
    }
    Ok(())
}

fn prompt_text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        other => other[0]["text"].as_str().unwrap_or_default().to_owned(),
    }
}

fn print(line: &Value) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

fn answer(request_id: &Value) -> Result<()> {
    print(&json!({"type": "control_response", "response":
        {"subtype": "success", "request_id": request_id, "response": {}}}))
}

fn turn(prompt: &Value, count: u64, pace: u64, mark: Option<&str>) -> Result<()> {
    let event =
        |event: Value| json!({"type": "stream_event", "event": event, "session_id": SESSION});
    print(
        &json!({"type": "system", "subtype": "init", "session_id": SESSION, "model": "chatter",
        "tools": [], "mcp_servers": [], "claude_code_version": "chatter", "cwd": "/",
        "user_message_uuids": [prompt]}),
    )?;
    print(&event(
        json!({"type": "message_start", "message": {"id": "msg_1"}}),
    ))?;
    print(&event(
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
    ))?;
    let text = deltas(count, pace, mark)?;
    if mark.is_some() {
        let content = json!([{"type": "text", "text": text}]);
        print(
            &json!({"type": "assistant", "parent_tool_use_id": null, "session_id": SESSION,
            "message": {"id": "msg_1", "role": "assistant", "content": content}}),
        )?;
    }
    print(&event(json!({"type": "content_block_stop", "index": 0})))?;
    print(&event(json!({"type": "message_stop"})))?;
    print(
        &json!({"type": "result", "subtype": "success", "is_error": false, "result": text,
        "session_id": SESSION, "duration_ms": 1, "total_cost_usd": 0.0, "num_turns": 1,
        "usage": {"input_tokens": 1, "output_tokens": 1}, "user_message_uuids": [prompt]}),
    )
}

#[expect(clippy::disallowed_methods, reason = "the pace is what was asked for")]
fn deltas(count: u64, pace: u64, mark: Option<&str>) -> Result<String> {
    let mut out = std::io::stdout().lock();
    let mut waiting = Vec::with_capacity(WRITE + 1024);
    let began = std::time::Instant::now();
    let (mut said, begins) = (String::new(), mark.unwrap_or("w"));
    for number in 0..count {
        if pace > 0 {
            let due = Duration::from_secs_f64(number as f64 / pace as f64);
            std::thread::sleep(due.saturating_sub(began.elapsed()));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros();
        let word = format!("{now} {begins}{number:07} ");
        if mark.is_some() {
            said.push_str(&word);
        }
        // What the CLI prints for a delta, as long as its lines are.
        writeln!(
            waiting,
            "{{\"type\":\"stream_event\",\"event\":{{\"type\":\"content_block_delta\",\"index\":0,\
             \"delta\":{{\"type\":\"text_delta\",\"text\":\"{word}\"}}}},\
             \"session_id\":\"{SESSION}\",\"parent_tool_use_id\":null,\
             \"uuid\":\"8d4f4a52-0000-4000-8000-{number:012}\",\"api_message_id\":\"msg_1\"}}"
        )?;
        if pace > 0 || waiting.len() >= WRITE {
            out.write_all(&waiting)?;
            out.flush()?;
            waiting.clear();
        }
    }
    out.write_all(&waiting)?;
    out.flush()?;
    Ok(said)
}
