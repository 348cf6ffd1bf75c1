//! Messages, streamed and whole; the routes around them.

use std::time::Instant;

use ccpool_scripted_model::{Auth, Outcome, Scene, ScriptedModel};
use serde_json::json;

use crate::client::{DEADLINE, ask, body, post, prompt, started, stream};

#[tokio::test]
async fn a_conversation_remembers_and_streams() {
    let model = started().await;
    let told = prompt("My favourite colour is teal. Remember it.");
    let first = stream(&model.base_url(), std::slice::from_ref(&told)).await;
    assert_eq!(first.kinds()[..2], ["message_start", "content_block_start"]);
    assert_eq!(
        first.kinds()[first.events.len() - 2..],
        ["message_delta", "message_stop"]
    );
    assert!(first.deltas() > 3, "{first:?}");
    let ack = first.joined("text");
    assert_eq!(
        ack,
        "Got it: your favourite colour is teal. I will remember it."
    );
    let asked = prompt("What is my favourite colour?");
    let said = json!({"role": "assistant", "content": ack});
    let second = stream(&model.base_url(), &[told, said, asked.clone()]).await;
    assert_eq!(second.joined("text"), "Your favourite colour is teal.");
    let alone = stream(&model.base_url(), &[asked]).await;
    assert_eq!(alone.joined("text"), "You have not told me.");
    model.shutdown().await;
}

#[tokio::test]
async fn thinking_and_parallel_tools_then_the_result() {
    let model = started().await;
    let go = prompt(
        r#"[[do: [{"thinking":"hm","toolUse":[{"name":"Bash","input":{"command":"a"}},
        {"name":"Bash","input":{"command":"b"}}]},{"text":"saw {{toolResult}}"}]]]"#,
    );
    let first = stream(&model.base_url(), std::slice::from_ref(&go)).await;
    assert_eq!(first.joined("thinking"), "hm");
    assert!(!first.joined("signature").is_empty());
    assert_eq!(
        first.joined("partial_json"),
        r#"{"command":"a"}{"command":"b"}"#
    );
    let ids: Vec<_> = first
        .events
        .iter()
        .filter_map(|event| event["content_block"]["id"].as_str())
        .collect();
    assert_eq!(ids.len(), 2);
    assert_ne!(ids[0], ids[1]);
    assert_eq!(
        first.events[first.events.len() - 2]["delta"]["stop_reason"],
        "tool_use"
    );
    let call = json!({"role": "assistant", "content": [{"type": "tool_use", "id": ids[0]}]});
    let result = json!({"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": ids[0], "content": "heron"}]});
    let environment = json!({"role": "system", "content": "# Environment"});
    let second = stream(&model.base_url(), &[go, environment, call, result]).await;
    assert_eq!(second.joined("text"), "saw heron");
    model.shutdown().await;
}

#[tokio::test]
async fn errors_have_the_api_shape_and_attempts_move_on() {
    let model = started().await;
    let base = model.base_url();
    let text = r#"[[do: {"attempts":[{"error":{"status":429,"retryAfter":7}},{"text":"ok"}]}]]"#;
    let limited = post(&base, &body(&[prompt(text)], true)).await.unwrap();
    assert_eq!(limited.status(), 429);
    assert_eq!(limited.headers()["retry-after"], "7");
    let error: serde_json::Value = limited.json().await.unwrap();
    assert_eq!(error["error"]["type"], "rate_limit_error");
    assert_eq!(stream(&base, &[prompt(text)]).await.joined("text"), "ok");
    for (status, kind) in [(400, "invalid_request_error"), (413, "request_too_large")] {
        let (got, answer) = ask(&base, &format!(r#"[[do: {{"error":{status}}}]]"#)).await;
        assert_eq!((got, &answer["error"]["type"]), (status, &json!(kind)));
    }
    let (status, answer) = ask(&base, "[[script:nobody]]").await;
    assert_eq!(status, 400);
    assert!(
        answer["error"]["message"]
            .as_str()
            .unwrap()
            .contains("no scene `nobody`")
    );
    model.shutdown().await;
}

#[tokio::test]
async fn whole_messages_counts_and_probes() {
    let model = started().await;
    let base = model.base_url();
    let (status, answer) = ask(&base, "Hi").await;
    assert_eq!(status, 200);
    assert_eq!(
        answer["content"],
        json!([{"type": "text", "text": "You said: Hi"}])
    );
    assert_eq!(answer["stop_reason"], "end_turn");
    model.push(Scene::text("queued"));
    let mut probe = body(&[prompt("Hi")], false);
    probe["max_tokens"] = json!(1);
    let probed: serde_json::Value = post(&base, &probe).await.unwrap().json().await.unwrap();
    assert_eq!(probed["stop_reason"], "max_tokens");
    assert_eq!(model.queued(), 1);
    assert_eq!(ask(&base, "Hi").await.1["content"][0]["text"], "queued");
    let client = reqwest::Client::new();
    let counted = client
        .post(format!("{base}/v1/messages/count_tokens"))
        .json(&probe)
        .send()
        .await;
    let counted: serde_json::Value = counted.unwrap().json().await.unwrap();
    assert!(counted["input_tokens"].as_u64().unwrap() > 10);
    model.shutdown().await;
}

#[tokio::test]
async fn greetings_and_unknown_routes() {
    let model = started().await;
    let base = model.base_url();
    let client = reqwest::Client::new();
    for path in ["/", "/api/hello"] {
        assert_eq!(
            client
                .head(format!("{base}{path}"))
                .send()
                .await
                .unwrap()
                .status(),
            200
        );
        assert_eq!(
            client
                .get(format!("{base}{path}"))
                .send()
                .await
                .unwrap()
                .status(),
            200
        );
    }
    let unknown = client
        .get(format!("{base}/v1/nothing"))
        .send()
        .await
        .unwrap();
    assert_eq!(unknown.status(), 404);
    let unknown: serde_json::Value = unknown.json().await.unwrap();
    assert_eq!(unknown["error"]["type"], "not_found_error");
    let broken = client
        .post(format!("{base}/v1/messages"))
        .body("{")
        .send()
        .await
        .unwrap();
    assert_eq!(broken.status(), 400);
    model.shutdown().await;
}

#[tokio::test]
async fn a_body_of_64_mb_is_taken_but_not_kept() {
    let model = started().await;
    let text = "x".repeat(64 * 1024 * 1024);
    let (status, answer) = ask(&model.base_url(), &text).await;
    assert_eq!(status, 200);
    assert!(
        answer["content"][0]["text"]
            .as_str()
            .unwrap()
            .starts_with("You said: xxx")
    );
    let requests = model.requests();
    assert!(requests[0].body_bytes > text.len());
    assert_eq!(requests[0].body(), None);
    assert_eq!(requests[0].last_user_text.len(), 2000);
    model.shutdown().await;
}

#[tokio::test]
async fn deltas_come_at_their_pace_and_each_by_itself() {
    let model = started().await;
    let text = r#"[[do: {"text":"abcdef","chunk":1,"delayMs":30,"firstByteMs":100}]]"#;
    let begun = Instant::now();
    let mut response = post(&model.base_url(), &body(&[prompt(text)], true))
        .await
        .unwrap();
    assert!(begun.elapsed().as_millis() >= 100);
    let mut with_deltas = 0;
    while let Some(part) = response.chunk().await.unwrap() {
        let deltas = String::from_utf8_lossy(&part)
            .matches("event: content_block_delta")
            .count();
        assert!(deltas <= 1, "several deltas in one write");
        with_deltas += deltas;
    }
    assert_eq!(with_deltas, 6);
    assert!(begun.elapsed().as_millis() >= 100 + 6 * 30);
    model.shutdown().await;
}

#[tokio::test]
async fn requests_are_recorded() {
    let model = started().await;
    let base = model.base_url();
    let response = reqwest::Client::new()
        .post(format!("{base}/v1/messages?beta=true"))
        .bearer_auth("some-token")
        .header("x-claude-code-session-id", "s1")
        .header("x-claude-code-agent-id", "a1")
        .json(&body(
            &[prompt("Hi"), json!({"role": "system", "content": "Aside"})],
            true,
        ))
        .send()
        .await
        .unwrap();
    assert!(response.text().await.unwrap().contains("message_stop"));
    let seen = model
        .wait_for_request(|request| request.outcome() == Some(Outcome::Sent), DEADLINE)
        .await
        .unwrap();
    assert_eq!(
        (seen.seq, seen.path.as_str(), seen.stream),
        (1, "/v1/messages", true)
    );
    assert_eq!(seen.query.as_deref(), Some("beta=true"));
    assert_eq!(seen.session_id.as_deref(), Some("s1"));
    assert_eq!(seen.agent_id.as_deref(), Some("a1"));
    assert_eq!(seen.model.as_deref(), Some("claude-test"));
    assert_eq!(
        (seen.last_user_text.as_str(), seen.message_count),
        ("Hi", 2)
    );
    assert_eq!(seen.tool_names, ["Bash"]);
    assert_eq!(seen.system_text(), "Be brief.");
    assert_eq!(seen.texts_of_role("system"), ["Aside"]);
    assert!(matches!(seen.auth, Auth::Bearer { .. }));
    assert!(!format!("{seen:?}").contains("some-token"));
    model.clear();
    assert!(model.requests().is_empty());
    model.shutdown().await;
}

#[tokio::test]
async fn several_addresses_share_one_script() {
    let any = "127.0.0.1:0".parse().unwrap();
    let model = ScriptedModel::start_on(&[any, any]).await.unwrap();
    model.push(Scene::parse(r#"[{"text":"one"},{"text":"two"}]"#).unwrap());
    let mut said = Vec::new();
    for addr in model.addrs() {
        said.push(ask(&format!("http://{addr}"), "Hi").await.1["content"][0]["text"].clone());
    }
    assert_eq!(said, ["one", "two"]);
    model.shutdown().await;
}
