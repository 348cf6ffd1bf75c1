//! The client's functions: what is offered, what was called, and what the model may do with them.

use std::collections::HashSet;

use ccpool::provider::{FunctionCall, FunctionTool, ToolChoice};
use serde_json::{Map, Value, json};

use super::error::ApiError;
use super::field::{Field, Fields};

const LONGEST_NAME: usize = 64;

/// `tools`.
pub(super) fn tools(field: Field) -> Result<Vec<FunctionTool>, ApiError> {
    let mut tools = Vec::new();
    let mut names = HashSet::new();
    for tool in field.list()?.unwrap_or_default() {
        let mut tool = tool.needed_object()?;
        only_functions(&mut tool)?;
        let mut function = tool.take("function").needed_object()?;
        let name = name(&mut function)?;
        if !names.insert(name.clone()) {
            return Err(function.refuse(format!("has the name of another one, {name}")));
        }
        let parameters = function.take("parameters").object()?;
        tools.push(FunctionTool {
            name,
            description: function.take("description").text()?.unwrap_or_default(),
            parameters: parameters.map(Fields::into_map).unwrap_or_default(),
        });
    }
    Ok(tools)
}

fn only_functions(tool: &mut Fields) -> Result<(), ApiError> {
    match tool.take("type").text()?.as_deref() {
        Some("function") | None => Ok(()),
        Some(other) => {
            let shown: String = other.chars().take(40).collect();
            let what = format!("is of type {shown:?}, and must be of type \"function\"");
            Err(tool.refuse(what))
        }
    }
}

fn name(function: &mut Fields) -> Result<String, ApiError> {
    let field = function.take("name");
    let wrong = field.refuse(format!(
        "must be 1 to {LONGEST_NAME} letters, digits, underscores and dashes"
    ));
    let name = field.needed_text()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if name.len() <= LONGEST_NAME && name.bytes().all(is_plain) {
        Ok(name)
    } else {
        Err(wrong)
    }
}

/// `tool_choice`, which must suit the tools.
pub(super) fn choice(field: Field, tools: &[FunctionTool]) -> Result<ToolChoice, ApiError> {
    let choice = if field.is_null() {
        return Ok(ToolChoice::Auto);
    } else if field.is_text() {
        let unknown = field.refuse("is none of \"auto\", \"none\" and \"required\"");
        match field.text()?.as_deref() {
            Some("auto") => return Ok(ToolChoice::Auto),
            Some("none") => return Ok(ToolChoice::None),
            Some("required") => ToolChoice::Required,
            Some(_) | None => return Err(unknown),
        }
    } else {
        let mut choice = field.needed_object()?;
        only_functions(&mut choice)?;
        let mut function = choice.take("function").needed_object()?;
        ToolChoice::Function(function.take("name").needed_text()?)
    };
    let is_there = match &choice {
        ToolChoice::Function(name) => tools.iter().any(|tool| tool.name == *name),
        ToolChoice::Auto | ToolChoice::None | ToolChoice::Required => !tools.is_empty(),
    };
    if is_there {
        Ok(choice)
    } else {
        let message = "tool_choice asks for a function that is not among the tools";
        Err(ApiError::invalid("tool_choice", message))
    }
}

/// `tool_calls` of a message of the model.
pub(super) fn calls(field: Field) -> Result<Vec<FunctionCall>, ApiError> {
    let calls = field.list()?.unwrap_or_default();
    calls.into_iter().map(call).collect()
}

fn call(field: Field) -> Result<FunctionCall, ApiError> {
    let mut call = field.needed_object()?;
    only_functions(&mut call)?;
    let id = call.take("id").needed_text()?;
    let mut function = call.take("function").needed_object()?;
    let name = function.take("name").needed_text()?;
    let arguments = function.take("arguments").text()?.unwrap_or_default();
    Ok(FunctionCall {
        id,
        name,
        arguments: arguments_of(&arguments),
    })
}

/// A call's arguments as clients read them. One that has none has an empty object: clients take
/// nothing for a call that broke off.
pub(super) fn written_arguments(call: &FunctionCall) -> String {
    match &call.arguments {
        Value::Object(arguments) => Value::Object(arguments.clone()).to_string(),
        _ => "{}".to_owned(),
    }
}

/// Arguments are an object. What other models have written before may be none, and is kept as it is.
fn arguments_of(text: &str) -> Value {
    if text.trim().is_empty() {
        return Value::Object(Map::new());
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) => Value::Object(map),
        Ok(_) | Err(_) => json!({"arguments": text}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said<T>(result: Result<T, ApiError>) -> Result<T, String> {
        result.map_err(|error| error.message().to_owned())
    }

    fn tool(name: &str) -> Value {
        json!({"type": "function", "function": {"name": name}})
    }

    #[test]
    fn functions_are_taken_with_all_that_describes_them() {
        let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
        let offered = json!([{"type": "function", "function": {
            "name": "get_weather", "description": "Weather", "parameters": schema, "strict": true,
        }}, tool("now")]);
        let tools = said(tools(Field::body(offered))).unwrap();
        assert_eq!(
            serde_json::to_value(tools).unwrap(),
            json!([
                {"name": "get_weather", "description": "Weather", "parameters": schema},
                {"name": "now"},
            ])
        );
    }

    #[test]
    fn tools_that_are_no_functions_are_refused() {
        for wrong in [
            json!([{"type": "custom", "custom": {"name": "x"}}]),
            json!([{"type": "web_search"}]),
            json!([{"type": "function"}]),
            json!([tool("")]),
            json!([tool("a b")]),
            json!([tool(&"x".repeat(65))]),
            json!([tool("twice"), tool("twice")]),
            json!({"name": "x"}),
        ] {
            assert!(tools(Field::body(wrong.clone())).is_err(), "{wrong}");
        }
        assert!(tools(Field::body(json!([tool(&"x".repeat(64))]))).is_ok());
        assert_eq!(said(tools(Field::body(Value::Null))), Ok(vec![]));
    }

    #[test]
    fn choices_suit_the_tools() {
        let tools = tools(Field::body(json!([tool("now")]))).unwrap();
        let of = |value: Value| said(choice(Field::body(value), &tools));
        assert_eq!(of(Value::Null), Ok(ToolChoice::Auto));
        assert_eq!(of(json!("auto")), Ok(ToolChoice::Auto));
        assert_eq!(of(json!("none")), Ok(ToolChoice::None));
        assert_eq!(of(json!("required")), Ok(ToolChoice::Required));
        assert_eq!(of(tool("now")), Ok(ToolChoice::Function("now".to_owned())));
        for wrong in [
            json!("any"),
            tool("then"),
            json!({"type": "allowed_tools"}),
            json!(7),
        ] {
            assert!(of(wrong.clone()).is_err(), "{wrong}");
        }
        let without = |value: Value| said(choice(Field::body(value), &[]));
        assert_eq!(without(json!("auto")), Ok(ToolChoice::Auto));
        assert!(without(json!("required")).is_err());
    }

    #[test]
    fn arguments_are_never_empty() {
        let written = |arguments: Value| {
            written_arguments(&FunctionCall {
                id: "c1".to_owned(),
                name: "f".to_owned(),
                arguments,
            })
        };
        assert_eq!(written(json!({"a": [1.0]})), r#"{"a":[1.0]}"#);
        for none in [json!({}), Value::Null, json!("")] {
            assert_eq!(written(none), "{}");
        }
    }

    #[test]
    fn calls_are_read_with_their_arguments() {
        let call = |arguments: &str| {
            let call = json!({"id": "c1", "type": "function",
                "function": {"name": "f", "arguments": arguments}});
            said(calls(Field::body(json!([call])))).map(|calls| calls[0].arguments.clone())
        };
        assert_eq!(call(r#"{"a":1}"#), Ok(json!({"a": 1})));
        assert_eq!(call(""), Ok(json!({})));
        assert_eq!(call("{\"a\":"), Ok(json!({"arguments": "{\"a\":"})));
        assert_eq!(call("3"), Ok(json!({"arguments": "3"})));
        for wrong in [
            json!([{"type": "function", "function": {"name": "f"}}]),
            json!([{"id": "c", "function": {}}]),
            json!([{"id": "c", "type": "custom", "custom": {"name": "f"}}]),
        ] {
            assert!(calls(Field::body(wrong.clone())).is_err(), "{wrong}");
        }
    }
}
