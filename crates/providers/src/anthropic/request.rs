//! A conversation in the words of the Messages API.

use ccpool::provider::{
    Content, Conversation, FunctionCall, FunctionTool, ImageSource, Message, ToolChoice,
};
use serde_json::{Map, Value, json};

/// The user's, where a conversation begins with the model's words: the API wants the first ones to be
/// the user's.
const BEGINNING: &str = "(The conversation begins with your words.)";

/// The body of a streaming request.
pub(super) fn body(conversation: &Conversation, model: &str, max_tokens: u32) -> Value {
    let mut body = json!({
        "model": model,
        "max_tokens": conversation.max_tokens.unwrap_or(max_tokens),
        "messages": messages(conversation),
        "stream": true,
    });
    if let Some(system) = said(conversation.system.as_deref().unwrap_or_default()) {
        body["system"] = json!(system);
    }
    if let Some(schema) = &conversation.output_schema {
        // <https://platform.claude.com/docs/en/build-with-claude/structured-outputs>
        let format = json!({"type": "json_schema", "schema": schema});
        body["output_config"] = json!({"format": format});
    }
    if !conversation.stop.is_empty() {
        body["stop_sequences"] = json!(conversation.stop);
    }
    if !conversation.tools.is_empty() {
        body["tools"] = conversation.tools.iter().map(tool).collect();
        let mut choice = choice(&conversation.tool_choice);
        if conversation.single_calls && conversation.tool_choice != ToolChoice::None {
            choice["disable_parallel_tool_use"] = json!(true);
        }
        body["tool_choice"] = choice;
    }
    body
}

/// Roles that alternate, the user's first: neighbours are merged, and what is empty is left out.
fn messages(conversation: &Conversation) -> Vec<Value> {
    // Without any functions the API takes no calls either, so old ones are told in words.
    let in_words = conversation.tools.is_empty();
    let mut messages: Vec<(&str, Vec<Value>)> = Vec::new();
    for message in &conversation.messages {
        let (role, blocks) = match message {
            Message::User(content) | Message::Aside(content) => ("user", blocks(content)),
            Message::Assistant { text, calls } => ("assistant", words(text, calls, in_words)),
            Message::Tool { call, content } => ("user", result(call, content, in_words)),
        };
        match messages.last_mut() {
            _ if blocks.is_empty() => {}
            Some((last, merged)) if *last == role => merged.extend(blocks),
            Some(_) | None => messages.push((role, blocks)),
        }
    }
    if messages.first().is_some_and(|(role, _)| *role != "user") {
        messages.insert(0, ("user", vec![text(BEGINNING)]));
    }
    let told = messages.into_iter().map(|(role, mut blocks)| {
        // Results come before anything else that the user says; the rest stays as it was.
        blocks.sort_by_key(|block| block["type"] != "tool_result");
        json!({"role": role, "content": blocks})
    });
    told.collect()
}

fn words(said_text: &str, calls: &[FunctionCall], in_words: bool) -> Vec<Value> {
    let mut blocks: Vec<Value> = said(said_text).map(text).into_iter().collect();
    for FunctionCall {
        id,
        name,
        arguments,
    } in calls
    {
        blocks.push(if in_words {
            text(&format!("[called {name} with {arguments}]"))
        } else {
            json!({"type": "tool_use", "id": id, "name": name, "input": arguments})
        });
    }
    blocks
}

fn result(call: &str, content: &[Content], in_words: bool) -> Vec<Value> {
    if in_words {
        let mut told = vec![text(&format!("[result of {call}]"))];
        told.extend(blocks(content));
        return told;
    }
    vec![json!({"type": "tool_result", "tool_use_id": call, "content": blocks(content)})]
}

fn blocks(content: &[Content]) -> Vec<Value> {
    content.iter().filter_map(block).collect()
}

fn block(content: &Content) -> Option<Value> {
    Some(match content {
        Content::Text(words) => text(said(words)?),
        Content::Image(ImageSource::Base64 { media_type, data }) => json!({
            "type": "image",
            "source": {"type": "base64", "media_type": media_type, "data": data},
        }),
        Content::Image(ImageSource::Url(url)) => {
            json!({"type": "image", "source": {"type": "url", "url": url}})
        }
    })
}

fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

/// The API refuses text of nothing but blanks.
fn said(text: &str) -> Option<&str> {
    (!text.trim().is_empty()).then_some(text)
}

fn tool(tool: &FunctionTool) -> Value {
    let mut schema: Map<String, Value> = tool.parameters.clone();
    schema.entry("type").or_insert_with(|| json!("object"));
    let mut told = json!({"name": tool.name, "input_schema": schema});
    if !tool.description.is_empty() {
        told["description"] = json!(tool.description);
    }
    told
}

fn choice(choice: &ToolChoice) -> Value {
    match choice {
        ToolChoice::Auto => json!({"type": "auto"}),
        ToolChoice::None => json!({"type": "none"}),
        ToolChoice::Required => json!({"type": "any"}),
        ToolChoice::Function(name) => json!({"type": "tool", "name": name}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(id: &str) -> FunctionCall {
        FunctionCall {
            id: id.into(),
            name: "look".into(),
            arguments: json!({"at": 1}),
        }
    }

    fn result_of(id: &str, text: &str) -> Message {
        Message::Tool {
            call: id.into(),
            content: vec![Content::Text(text.into())],
        }
    }

    fn look() -> FunctionTool {
        FunctionTool {
            name: "look".into(),
            description: "Looks.".into(),
            parameters: Map::new(),
        }
    }

    #[test]
    fn a_plain_question() {
        let conversation = Conversation {
            messages: vec![Message::user("hello")],
            ..Conversation::default()
        };
        assert_eq!(
            body(&conversation, "m", 100),
            json!({
                "model": "m",
                "max_tokens": 100,
                "messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}],
                "stream": true,
            })
        );
    }

    #[test]
    fn everything_that_can_be_asked_for_is() {
        let conversation = Conversation {
            system: Some("Be brief.".into()),
            messages: vec![Message::User(vec![
                Content::Text("what is this?".into()),
                Content::Image(ImageSource::Base64 {
                    media_type: "image/png".into(),
                    data: "AAAA".into(),
                }),
                Content::Image(ImageSource::Url("https://example.org/a.png".into())),
            ])],
            tools: vec![look()],
            tool_choice: ToolChoice::Function("look".into()),
            single_calls: true,
            max_tokens: Some(7),
            stop: vec!["END".into()],
            ..Conversation::default()
        };
        let body = body(&conversation, "m", 100);
        assert_eq!(body["max_tokens"], 7);
        assert_eq!(body["system"], "Be brief.");
        assert_eq!(body["stop_sequences"], json!(["END"]));
        assert_eq!(
            body["tools"],
            json!([{"name": "look", "description": "Looks.", "input_schema": {"type": "object"}}])
        );
        assert_eq!(
            body["tool_choice"],
            json!({"type": "tool", "name": "look", "disable_parallel_tool_use": true})
        );
        assert_eq!(
            body["messages"][0]["content"],
            json!([
                {"type": "text", "text": "what is this?"},
                {"type": "image",
                 "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
            ])
        );
    }

    #[test]
    fn choices_are_the_apis() {
        for (given, single, told) in [
            (ToolChoice::Auto, false, json!({"type": "auto"})),
            (ToolChoice::None, true, json!({"type": "none"})),
            (
                ToolChoice::Required,
                true,
                json!({"type": "any", "disable_parallel_tool_use": true}),
            ),
        ] {
            let conversation = Conversation {
                tools: vec![look()],
                tool_choice: given,
                single_calls: single,
                ..Conversation::default()
            };
            assert_eq!(body(&conversation, "m", 1)["tool_choice"], told);
        }
    }

    #[test]
    fn roles_alternate_and_results_come_first() {
        let conversation = Conversation {
            tools: vec![look()],
            messages: vec![
                Message::assistant("Welcome."),
                Message::user("look twice"),
                Message::user(" \n"),
                Message::Assistant {
                    text: String::new(),
                    calls: vec![call("a"), call("b")],
                },
                Message::user("and hurry"),
                result_of("a", "one"),
                result_of("b", ""),
                Message::Aside(vec![Content::Text("it is noon".into())]),
            ],
            ..Conversation::default()
        };
        let text = |text: &str| json!({"type": "text", "text": text});
        let used =
            |id: &str| json!({"type": "tool_use", "id": id, "name": "look", "input": {"at": 1}});
        assert_eq!(
            json!(messages(&conversation)),
            json!([
                {"role": "user", "content": [text(BEGINNING)]},
                {"role": "assistant", "content": [text("Welcome.")]},
                {"role": "user", "content": [text("look twice")]},
                {"role": "assistant", "content": [used("a"), used("b")]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "a", "content": [text("one")]},
                    {"type": "tool_result", "tool_use_id": "b", "content": []},
                    text("and hurry"),
                    text("it is noon"),
                ]},
            ])
        );
    }

    #[test]
    fn without_functions_old_calls_are_told_in_words() {
        let conversation = Conversation {
            messages: vec![
                Message::user("look"),
                Message::Assistant {
                    text: "I look.".into(),
                    calls: vec![call("a")],
                },
                result_of("a", "a heron"),
            ],
            ..Conversation::default()
        };
        let told = json!(messages(&conversation)).to_string();
        assert!(told.contains(r#"[called look with {\"at\":1}]"#), "{told}");
        assert!(
            told.contains("[result of a]") && told.contains("a heron"),
            "{told}"
        );
        assert!(!told.contains("tool_use\""), "{told}");
    }
}
