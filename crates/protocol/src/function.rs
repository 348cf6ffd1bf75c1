//! Functions of whoever asks: offered to the model beside the gateway's tools, and carried out by
//! the caller itself while the turn waits.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{TurnId, UnixMs};

/// The MCP server under which `claude` knows them.
pub const SERVER: &str = "client";

/// How names of such functions begin in the CLI's own lines (PROTOCOL section 7), up to the number
/// of the server.
const PREFIX: &str = "mcp__client";

/// Most functions that a prompt may bring.
pub const MOST: usize = 128;
/// Longest name, in characters.
pub const LONGEST_NAME: usize = 64;
/// Largest list of functions, in bytes of JSON.
pub const LARGEST: usize = 512 << 10;
/// Largest list of results, in bytes of JSON.
pub const LARGEST_RESULTS: usize = 8 << 20;
/// How many characters of a result the model reads; of a longer one it gets the beginning, and the
/// CLI keeps the rest in a file. The CLI takes no higher limit (`anthropic/maxResultSizeChars`).
pub const RESULT_CHARS: u32 = 500_000;
/// Images that the model can look at.
const IMAGES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];

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

/// A call as the CLI asks for it: `tools/call` of MCP.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Which call of which function.
    pub call: FunctionCall,
    /// The name of the question in MCP.
    pub rpc: Value,
}

impl Call {
    /// Reads a JSON-RPC message. None: it asks for something else.
    pub fn of(message: &Value) -> Option<Self> {
        if message["method"] != "tools/call" {
            return None;
        }
        let params = &message["params"];
        let id = params["_meta"]["claudecode/toolUseId"].as_str()?;
        let arguments = match &params["arguments"] {
            Value::Null => json!({}),
            given => given.clone(),
        };
        let call = FunctionCall {
            id: id.to_owned(),
            name: params["name"].as_str()?.to_owned(),
            arguments,
        };
        let rpc = message["id"].clone();
        Some(Self { call, rpc })
    }
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

/// A call of the running turn whose result has not been given, as the session's state lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PendingFunction {
    /// The call.
    pub id: String,
    /// The function, by the caller's own name.
    pub name: String,
    /// The turn that waits.
    pub turn: TurnId,
    /// The `seq` of its `function_calls` event.
    pub seq: u64,
    /// When the caller was told of it.
    pub asked_at: UnixMs,
    /// When the turn ends if the result has not come.
    pub expires_at: UnixMs,
}

/// What became of results that somebody gave, as the session's state lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenResults {
    /// Names those who gave them, as they had named themselves.
    pub ticket: String,
    /// The calls that waited for them; others were ignored.
    pub ids: Vec<String>,
}

/// Functions that cannot be offered. The text says what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FunctionError {
    /// Too many of them.
    #[error("{0} functions are too many; at most {MOST} can be offered")]
    TooMany(usize),
    /// Too much of them.
    #[error("the functions have {0} bytes of JSON together; at most {LARGEST} can be offered")]
    TooLarge(usize),
    /// Not a name.
    #[error(
        "`{0}` cannot name a function: a name has 1 to {LONGEST_NAME} characters of [A-Za-z0-9_-]"
    )]
    Name(String),
    /// The same name for two.
    #[error("two functions are called `{0}`; give each a name of its own")]
    Twice(String),
    /// Not the schema of an object.
    #[error("the parameters of `{name}` are no JSON Schema of an object: {what}")]
    Schema {
        /// Which function.
        name: String,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// A result that no model can read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResultError {
    /// Not a block that is known.
    #[error(
        "block {at} of the result of `{id}` is neither {{\"type\":\"text\",\"text\":\"…\"}} nor \
         {{\"type\":\"image\",\"data\":\"<base64>\",\"mimeType\":\"image/png|jpeg|gif|webp\"}}"
    )]
    Block {
        /// Which call's.
        id: String,
        /// Which one, from 0.
        at: usize,
    },
    /// Too much of them.
    #[error("the results have {0} bytes of JSON together; at most {LARGEST_RESULTS} are taken")]
    TooLarge(usize),
    /// Two for one call.
    #[error("two results for the call `{0}`; only one counts")]
    Twice(String),
}

impl FunctionTool {
    /// The schema of its arguments as `claude` takes it, which drops all functions when one has
    /// another (seen with 2.1.329).
    ///
    /// # Errors
    /// [`FunctionError::Schema`].
    pub fn schema(&self) -> Result<Value, FunctionError> {
        let wrong = |what| FunctionError::Schema {
            name: self.name.clone(),
            what,
        };
        let mut schema = self.parameters.clone();
        schema.retain(|key, value| {
            !(value.is_null() && ["properties", "required"].contains(&&**key))
        });
        let kind = schema
            .entry("type")
            .or_insert_with(|| Value::from("object"));
        if kind != "object" {
            return Err(wrong("`type` must be `object`"));
        }
        let properties = schema.entry("properties").or_insert_with(|| json!({}));
        let Some(properties) = properties.as_object() else {
            return Err(wrong("`properties` must be an object"));
        };
        if !properties
            .values()
            .all(|value| value.is_object() || value.is_boolean())
        {
            return Err(wrong("each of `properties` must be a schema"));
        }
        let names = |list: &Value| {
            list.as_array()
                .is_some_and(|all| all.iter().all(Value::is_string))
        };
        if !schema.get("required").is_none_or(names) {
            return Err(wrong("`required` must be a list of names"));
        }
        Ok(Value::Object(schema))
    }
}

/// Whether these functions can be offered.
///
/// # Errors
/// [`FunctionError`] says what is wrong.
pub fn check(functions: &[FunctionTool]) -> Result<(), FunctionError> {
    if functions.len() > MOST {
        return Err(FunctionError::TooMany(functions.len()));
    }
    let mut names = HashSet::new();
    for function in functions {
        let name = function.name.as_str();
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(allowed) {
            // What is too long to be a name need not be repeated.
            return Err(FunctionError::Name(name.chars().take(80).collect()));
        }
        if !names.insert(name) {
            return Err(FunctionError::Twice(name.to_owned()));
        }
        function.schema()?;
    }
    match length(functions) {
        length if length > LARGEST => Err(FunctionError::TooLarge(length)),
        _ => Ok(()),
    }
}

/// Whether a model can read these results.
///
/// # Errors
/// [`ResultError`] says what is wrong.
pub fn check_results(results: &[FunctionResult]) -> Result<(), ResultError> {
    let mut calls = HashSet::new();
    for result in results {
        if !calls.insert(result.id.as_str()) {
            return Err(ResultError::Twice(result.id.clone()));
        }
        if let Some(at) = result.content.iter().position(|block| !is_readable(block)) {
            let id = result.id.clone();
            return Err(ResultError::Block { id, at });
        }
    }
    match length(results) {
        length if length > LARGEST_RESULTS => Err(ResultError::TooLarge(length)),
        _ => Ok(()),
    }
}

impl FunctionResult {
    /// A plain text.
    pub fn text(id: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            content: vec![json!({"type": "text", "text": text.into()})],
            is_error: false,
        }
    }

    /// The MCP result of the call. A block that `claude` would refuse, and the whole result with it,
    /// is given as text.
    pub fn told(&self) -> Value {
        let block = |block: &Value| match is_readable(block) {
            true => block.clone(),
            false => json!({"type": "text", "text": block.to_string()}),
        };
        let content: Vec<Value> = self.content.iter().map(block).collect();
        json!({"content": content, "isError": self.is_error})
    }
}

fn is_readable(block: &Value) -> bool {
    let text = |name: &str| block[name].as_str();
    match text("type") {
        Some("text") => text("text").is_some(),
        Some("image") => {
            text("data").is_some_and(is_base64)
                && text("mimeType").is_some_and(|kind| IMAGES.contains(&kind))
        }
        Some(_) | None => false,
    }
}

fn is_base64(text: &str) -> bool {
    let bare = text.trim_end_matches('=');
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'+' || b == b'/';
    !bare.is_empty()
        && text.len() - bare.len() <= 2
        && text.len().is_multiple_of(4)
        && bare.bytes().all(allowed)
}

fn length(list: &(impl Serialize + ?Sized)) -> usize {
    serde_json::to_string(list).map_or(usize::MAX, |json| json.len())
}

/// The MCP server's name of the `number`th set of functions, from 1.
///
/// To a name that `claude` has shown the model once, its definition is bound for the conversation, also
/// after a resume, and a function that was taken back stays visible as long as the server has others
/// (seen with 2.1.329). So a set that does not go with those before it comes from another server.
pub fn server(number: u32) -> String {
    match number {
        0 | 1 => SERVER.to_owned(),
        number => format!("{SERVER}{number}"),
    }
}

/// Whether an MCP server is one of these.
pub fn is_server(name: &str) -> bool {
    let number = name.strip_prefix(SERVER);
    number.is_some_and(|number| number.chars().all(|c| c.is_ascii_digit()))
}

/// The name by which `claude` knows a function of the first set.
pub fn cli_name(name: &str) -> String {
    format!("{PREFIX}__{name}")
}

/// The function that a tool of `claude` is, whichever set it belongs to. None: it is none of the
/// caller's.
pub fn of_cli(name: &str) -> Option<&str> {
    let rest = name.strip_prefix(PREFIX)?;
    rest.trim_start_matches(|c: char| c.is_ascii_digit())
        .strip_prefix("__")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str, parameters: &Value) -> FunctionTool {
        FunctionTool {
            name: name.into(),
            description: String::new(),
            parameters: parameters.as_object().unwrap().clone(),
        }
    }

    #[test]
    fn names_go_there_and_back() {
        assert_eq!(cli_name("get_weather"), "mcp__client__get_weather");
        assert_eq!(of_cli("mcp__client__get_weather"), Some("get_weather"));
        assert_eq!(of_cli("mcp__client12__2__x"), Some("2__x"));
        assert_eq!(of_cli("mcp__client__2__x"), Some("2__x"));
        assert_eq!((server(1), server(3)), ("client".into(), "client3".into()));
        assert!(is_server(&server(1)) && is_server(&server(12)));
        assert!(!is_server("ccpool") && !is_server("clients"));
        for other in [
            "mcp__ccpool__get_weather",
            "Bash",
            "mcp__client",
            "mcp__clients__x",
        ] {
            assert_eq!(of_cli(other), None, "{other}");
        }
    }

    #[test]
    fn what_can_be_offered() {
        let plain = tool("get-Weather_2", &json!({}));
        assert_eq!(
            plain.schema(),
            Ok(json!({"type": "object", "properties": {}}))
        );
        let bare = tool("b", &json!({"properties": {"x": true}, "required": null}));
        assert_eq!(
            bare.schema(),
            Ok(json!({"type": "object", "properties": {"x": true}}))
        );
        assert_eq!(check(&[plain.clone(), bare]), Ok(()));
        for name in ["", "a b", "é", "a.b", &"x".repeat(65)] {
            let refused = check(&[tool(name, &json!({}))]);
            assert!(matches!(refused, Err(FunctionError::Name(_))), "{name}");
        }
        assert_eq!(check(&[tool(&"x".repeat(64), &json!({}))]), Ok(()));
        for parameters in [
            json!({"type": "string"}),
            json!({"type": ["object"]}),
            json!({"properties": []}),
            json!({"properties": {"x": "string"}}),
            json!({"required": "x"}),
            json!({"required": [1]}),
        ] {
            let refused = check(&[tool("f", &parameters)]);
            assert!(
                matches!(refused, Err(FunctionError::Schema { .. })),
                "{parameters}"
            );
        }
        assert_eq!(
            check(&[plain.clone(), plain]),
            Err(FunctionError::Twice("get-Weather_2".into()))
        );
        let many: Vec<_> = (0..129)
            .map(|n| tool(&format!("f{n}"), &json!({})))
            .collect();
        assert_eq!(check(&many), Err(FunctionError::TooMany(129)));
        assert_eq!(check(&many[1..]), Ok(()));
        let large = tool("f", &json!({"description": "x".repeat(LARGEST)}));
        assert!(matches!(check(&[large]), Err(FunctionError::TooLarge(_))));
    }

    #[test]
    fn results_that_a_model_can_read() {
        let image = json!({"type": "image", "data": "aGk=", "mimeType": "image/png"});
        let good = FunctionResult {
            content: vec![json!({"type": "text", "text": ""}), image],
            ..FunctionResult::text("a", "")
        };
        assert_eq!(check_results(std::slice::from_ref(&good)), Ok(()));
        assert_eq!(good.told()["content"], json!(good.content));
        assert_eq!(
            check_results(&[good.clone(), good]),
            Err(ResultError::Twice("a".into()))
        );
        for block in [
            json!("hello"),
            json!(null),
            json!({"type": "text", "text": 5}),
            json!({"type": "hologram"}),
            json!({"type": "image", "data": "aGk=", "mimeType": "text/html"}),
            json!({"type": "image", "data": "a!", "mimeType": "image/png"}),
            json!({"type": "image", "data": "", "mimeType": "image/png"}),
        ] {
            let bad = FunctionResult {
                content: vec![block.clone()],
                ..FunctionResult::text("a", "")
            };
            let refused = check_results(std::slice::from_ref(&bad));
            assert!(
                matches!(refused, Err(ResultError::Block { at: 0, .. })),
                "{block}"
            );
            let told = bad.told();
            assert_eq!(told["content"][0]["type"], "text", "{block}");
            assert_eq!(told["content"][0]["text"], block.to_string());
        }
        let large = FunctionResult::text("a", "x".repeat(LARGEST_RESULTS));
        assert!(matches!(
            check_results(&[large]),
            Err(ResultError::TooLarge(_))
        ));
    }
}
