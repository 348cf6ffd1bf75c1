//! A client of both routes, which reads both in the same way.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};

const TURN: Duration = Duration::from_secs(120);

/// An answer that has come to its good end.
#[derive(Debug)]
pub(super) struct Heard {
    /// From the request to the first words, in ms.
    pub(super) first_ms: f64,
    /// What was said, with the time at which it was heard, in µs since the Unix epoch.
    pub(super) said: Vec<(u128, String)>,
    /// The session that answered.
    pub(super) session: String,
}

impl Heard {
    /// All that was said.
    pub(super) fn text(&self) -> String {
        self.said.iter().map(|(_, words)| words.as_str()).collect()
    }
}

/// A turn by the gateway's own route. `base` is where those begin.
pub(super) async fn native(
    client: &Client,
    base: &str,
    session: &str,
    prompt: &str,
) -> Result<Heard> {
    let request = client
        .post(format!("{base}/sessions/{session}/turns"))
        .json(&json!({"prompt": prompt}));
    let mut heard = hear(request, said_natively).await?;
    session.clone_into(&mut heard.session);
    Ok(heard)
}

/// A turn by the OpenAI API. `base` is that of the gateway's own routes.
pub(super) async fn openai(client: &Client, base: &str, messages: &[Value]) -> Result<Heard> {
    let root = base.trim_end_matches("/api/docker-cc");
    let request = client
        .post(format!("{root}/v1/chat/completions"))
        .json(&json!({"model": "docker-claude-code/sonnet", "stream": true, "messages": messages}));
    let heard = hear(request, said_to_openai).await?;
    ensure!(!heard.session.is_empty(), "the answer names no session");
    Ok(heard)
}

/// What one piece of data tells.
enum Told {
    Words(String),
    End,
    Nothing,
}

fn said_natively(data: &str) -> Result<Told> {
    let event: Value = serde_json::from_str(data)?;
    Ok(match event["type"].as_str() {
        Some("text_delta") => Told::Words(words(&event["text"])),
        Some("completed") => Told::End,
        Some("failed" | "gap" | "retract") => bail!("the turn says {data}"),
        _ => Told::Nothing,
    })
}

fn said_to_openai(data: &str) -> Result<Told> {
    if data == "[DONE]" {
        return Ok(Told::End);
    }
    let chunk: Value = serde_json::from_str(data)?;
    ensure!(chunk["error"].is_null(), "the answer says {data}");
    Ok(match &chunk["choices"][0]["delta"]["content"] {
        Value::String(text) if !text.is_empty() => Told::Words(text.clone()),
        _ => Told::Nothing,
    })
}

fn words(text: &Value) -> String {
    text.as_str().unwrap_or_default().to_owned()
}

async fn hear(request: RequestBuilder, told: fn(&str) -> Result<Told>) -> Result<Heard> {
    tokio::time::timeout(TURN, follow(request, told))
        .await
        .context("an answer did not end in time")?
}

async fn follow(request: RequestBuilder, told: fn(&str) -> Result<Told>) -> Result<Heard> {
    let began = Instant::now();
    let mut response: Response = request.send().await?;
    let status = response.status();
    if !status.is_success() {
        bail!("{status}: {}", response.text().await?);
    }
    let session = response.headers().get("x-ccpool-session");
    let session = session.and_then(|name| name.to_str().ok());
    let mut heard = Heard {
        first_ms: 0.0,
        said: Vec::new(),
        session: session.unwrap_or_default().to_owned(),
    };
    let (mut buffer, mut ended) = (Vec::new(), false);
    // To the very end, so that the connection can be used again.
    while let Some(chunk) = response.chunk().await? {
        let at = crate::stream::now_us();
        buffer.extend_from_slice(&chunk);
        while let Some(end) = memchr::memchr(b'\n', &buffer) {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            let line = std::str::from_utf8(&line)?.trim_end();
            let Some(data) = line.strip_prefix("data: ") else {
                continue;
            };
            match told(data)? {
                Told::Words(words) => {
                    if heard.said.is_empty() {
                        heard.first_ms = began.elapsed().as_secs_f64() * 1e3;
                    }
                    heard.said.push((at, words));
                }
                Told::End => ended = true,
                Told::Nothing => {}
            }
        }
    }
    ensure!(ended, "an answer broke off after {:?}", heard.text());
    ensure!(!heard.said.is_empty(), "an answer has no words");
    Ok(heard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_routes_tell_words_and_an_end() {
        let native = |data: Value| said_natively(&data.to_string());
        let delta = native(json!({"type": "text_delta", "text": "a"}));
        assert!(matches!(delta.unwrap(), Told::Words(text) if text == "a"));
        assert!(matches!(
            native(json!({"type": "completed"})).unwrap(),
            Told::End
        ));
        assert!(native(json!({"type": "failed"})).is_err());

        let chunk =
            |delta: Value| said_to_openai(&json!({"choices": [{"delta": delta}]}).to_string());
        assert!(
            matches!(chunk(json!({"content": "a"})).unwrap(), Told::Words(text) if text == "a")
        );
        let begin = chunk(json!({"role": "assistant", "content": ""}));
        assert!(matches!(begin.unwrap(), Told::Nothing));
        assert!(matches!(said_to_openai("[DONE]").unwrap(), Told::End));
        assert!(said_to_openai(r#"{"error":{"code":"stalled"}}"#).is_err());
    }
}
