//! Functions of whoever asks: offered to the model beside the gateway's tools, and carried out by
//! the caller itself while the turn waits.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The MCP server under which `claude` knows them.
pub const SERVER: &str = "client";

/// How names of such functions begin in the CLI's own lines (PROTOCOL section 7).
const PREFIX: &str = "mcp__client__";

/// A function that the model may call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FunctionTool {
    /// By the caller's own name: 1 to 64 of `[A-Za-z0-9_-]`.
    pub name: String,
    /// What it does, for the model.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// JSON Schema of its arguments, of type `object`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub parameters: Map<String, Value>,
}

/// A call that waits for its result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FunctionCall {
    /// Names the call; the model's own `tool_use` id.
    pub id: String,
    /// The function, by the caller's own name.
    pub name: String,
    /// What it is called with: an object.
    pub arguments: Value,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionResult {
    /// The call.
    pub id: String,
    /// MCP content blocks: `{"type":"text","text":"…"}`, `{"type":"image","data":"…","mimeType":"…"}`.
    pub content: Vec<Value>,
    /// It did not work, and the content says why.
    #[serde(default)]
    pub is_error: bool,
}

/// The name by which `claude` knows a function.
pub fn cli_name(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// The function that a tool of `claude` is. None: it is none of the caller's.
pub fn of_cli(name: &str) -> Option<&str> {
    name.strip_prefix(PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back() {
        assert_eq!(cli_name("get_weather"), "mcp__client__get_weather");
        assert_eq!(of_cli("mcp__client__get_weather"), Some("get_weather"));
        assert_eq!(of_cli("mcp__ccpool__get_weather"), None);
        assert_eq!(of_cli("Bash"), None);
    }
}
