//! What is written to `claude`'s stdin: one JSON object per line.
//!
//! Text that is not JSON, two objects on a line, or a wrong role end the process, so every line is
//! made here, by a JSON library, and never from pieces of text.

use serde_json::{Map, Value, json};

use crate::input::InputItem;

/// A line for stdin, its newline included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StdinLine(String);

/// What a `claude` is told before its first prompt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Initialize<'a> {
    /// In the place of the CLI's own.
    pub system_prompt: Option<&'a str>,
    /// After either.
    pub append_system_prompt: Option<&'a str>,
    /// A JSON Schema of draft 7. Another one is left out without a word, and one that is no object ends
    /// the process (seen with 2.1.329).
    pub output_schema: Option<&'a Map<String, Value>>,
}

impl StdinLine {
    fn of(value: &Value) -> Self {
        let mut line = value.to_string();
        line.push('\n');
        Self(line)
    }

    /// The bytes to write.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// A prompt. `uuid` names it in the CLI's own lines.
    ///
    /// `client_composed` keeps the text from being run as a slash command or having `@path`
    /// expanded (2.1.329; earlier ones ignore the field).
    pub fn prompt(item: &InputItem, uuid: &str) -> Self {
        let content = match (&item.text, &item.content) {
            (Some(text), _) => Value::String(text.clone()),
            (None, Some(blocks)) => Value::Array(blocks.clone()),
            (None, None) => Value::String(String::new()),
        };
        let mut line = json!({
            "type": "user",
            "message": {"role": "user", "content": content},
            "parent_tool_use_id": null,
            "session_id": "",
            "uuid": uuid,
        });
        if !item.command {
            line["client_composed"] = Value::Bool(true);
        }
        Self::of(&line)
    }

    fn request(id: &str, request: &Value) -> Self {
        Self::of(&json!({"type": "control_request", "request_id": id, "request": request}))
    }

    /// Asks for the state of the MCP servers: harmless, and answered only once booted.
    pub fn mcp_status(id: &str) -> Self {
        Self::request(id, &json!({"subtype": "mcp_status"}))
    }

    /// Counts once, before the first prompt.
    pub fn initialize(id: &str, with: Initialize<'_>) -> Self {
        let mut request = json!({"subtype": "initialize"});
        if let Some(text) = with.system_prompt {
            request["systemPrompt"] = Value::from(text);
        }
        if let Some(text) = with.append_system_prompt {
            request["appendSystemPrompt"] = Value::from(text);
        }
        if let Some(schema) = with.output_schema {
            request["jsonSchema"] = Value::Object(schema.clone());
        }
        Self::request(id, &request)
    }

    /// The MCP servers beside those of the start: one that is spoken to over stdin and stdout, whose
    /// calls may take `timeout_ms`, or none.
    pub fn set_servers(id: &str, server: Option<(&str, u64)>) -> Self {
        let servers = match server {
            None => json!({}),
            Some((name, timeout_ms)) => json!({name: {
                "type": "sdk",
                "name": name,
                // In every request, and the first one waits for it.
                "alwaysLoad": true,
                // The turn waits for each call's own result.
                "disableAutoBackground": true,
                "timeout": timeout_ms,
            }}),
        };
        let request = json!({"subtype": "mcp_set_servers", "servers": servers});
        Self::request(id, &request)
    }

    /// From the next request on. An alias costs nothing, a full id one probing request.
    pub fn set_model(id: &str, model: &str) -> Self {
        Self::request(id, &json!({"subtype": "set_model", "model": model}))
    }

    /// Ends the running turn and drops what the CLI itself has queued.
    pub fn interrupt(id: &str) -> Self {
        Self::request(id, &json!({"subtype": "interrupt", "cancel_queued": true}))
    }

    /// The answer to a `control_request` of the CLI.
    pub fn answer(request_id: &str, response: &Value) -> Self {
        Self::of(&json!({
            "type": "control_response",
            "response": {"subtype": "success", "request_id": request_id, "response": response},
        }))
    }

    /// A refusal to answer one.
    pub fn refuse(request_id: &str, error: &str) -> Self {
        Self::of(&json!({
            "type": "control_response",
            "response": {"subtype": "error", "request_id": request_id, "error": error},
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_one_line_and_verbatim() {
        let mut item = InputItem::parse(br#"{"text":"/context\n@etc {\"type\""}"#).unwrap();
        let line = StdinLine::prompt(&item, "u1");
        let text = std::str::from_utf8(line.as_bytes()).unwrap();
        assert_eq!(text.matches('\n').count(), 1);
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(value["message"]["content"], "/context\n@etc {\"type\"");
        assert_eq!(value["client_composed"], true);
        item.command = true;
        let value: Value =
            serde_json::from_slice(StdinLine::prompt(&item, "u1").as_bytes()).unwrap();
        assert_eq!(value.get("client_composed"), None);
    }
}
