//! `messages`: what the system said apart from what everybody else did.

use ccpool::config::AsideFrame;
use ccpool::provider::{Content, Conversation, Message};

use super::content::{content, words};
use super::error::ApiError;
use super::field::Field;
use super::tool::calls;

/// Puts `messages` into a conversation. All that the system and the developer say is joined. What
/// stands in one of these frames is an aside, and not what the user says.
pub(super) fn tell(
    conversation: &mut Conversation,
    field: Field,
    asides: &[AsideFrame],
) -> Result<(), ApiError> {
    let missing = field.refuse("is missing, and must be a list of messages");
    let mut system = Vec::new();
    for message in field.list()?.ok_or(missing)? {
        let mut message = message.needed_object()?;
        let role = message.take("role").needed_text()?;
        let said = message.take("content");
        match role.as_str() {
            "system" | "developer" => system.push(words(said, "\n\n")?),
            "user" => {
                let content = content(said)?;
                conversation.messages.push(if is_aside(&content, asides) {
                    Message::Aside(content)
                } else {
                    Message::User(content)
                });
            }
            "assistant" => {
                let refused = message.take("refusal").text()?.unwrap_or_default();
                let text = words(said, "")?;
                if !message.take("function_call").is_null() {
                    return Err(message.refuse("has a function_call; send tool_calls instead"));
                }
                conversation.messages.push(Message::Assistant {
                    text: if text.is_empty() { refused } else { text },
                    calls: calls(message.take("tool_calls"))?,
                });
            }
            "tool" => conversation.messages.push(Message::Tool {
                call: message.take("tool_call_id").needed_text()?,
                content: if said.is_null() {
                    Vec::new()
                } else {
                    content(said)?
                },
            }),
            "function" => {
                return Err(message.refuse("is of role function; send role tool instead"));
            }
            other => {
                let shown: String = other.chars().take(40).collect();
                return Err(message.refuse(format!("has an unknown role, {shown:?}")));
            }
        }
    }
    system.retain(|text| !text.is_empty());
    conversation.system = (!system.is_empty()).then(|| system.join("\n\n"));
    awaits_an_answer(conversation)
}

fn is_aside(content: &[Content], frames: &[AsideFrame]) -> bool {
    let texts = content.iter().map(|part| match part {
        Content::Text(text) => Some(text.as_str()),
        Content::Image(_) => None,
    });
    let text: Option<String> = texts.collect();
    text.is_some_and(|text| frames.iter().any(|frame| frame.holds(&text)))
}

fn awaits_an_answer(conversation: &Conversation) -> Result<(), ApiError> {
    let new = &conversation.messages[conversation.known()..];
    if new.iter().all(|new| matches!(new, Message::Aside(_))) {
        let message = "messages must end with one of the user's, or with a function's result";
        return Err(ApiError::invalid("messages", message));
    }
    let says = |content: &Vec<Content>| !content.is_empty();
    let says = |message: &Message| match message {
        Message::User(content) => says(content),
        // A function may have nothing to say; that it is done is news enough.
        Message::Tool { .. } => true,
        Message::Assistant { .. } | Message::Aside(_) => false,
    };
    if new.iter().any(says) {
        Ok(())
    } else {
        Err(ApiError::invalid("messages", "the user's message is empty"))
    }
}

#[cfg(test)]
mod tests {
    use ccpool::provider::FunctionCall;
    use serde_json::{Value, json};

    use super::*;

    fn told(messages: Value) -> Result<Conversation, String> {
        let mut conversation = Conversation::default();
        let frame = AsideFrame {
            begin: "<<<".to_owned(),
            end: ">>>".to_owned(),
        };
        match tell(&mut conversation, Field::body(messages), &[frame]) {
            Ok(()) => Ok(conversation),
            Err(error) => Err(error.message().to_owned()),
        }
    }

    #[test]
    fn every_role_has_its_place() {
        let conversation = told(json!([
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Weather?", "name": "ann"},
            {"role": "developer", "content": [{"type": "text", "text": "In Celsius."}]},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "c1", "type": "function",
                 "function": {"name": "weather", "arguments": "{\"city\":\"Rome\"}"}},
            ]},
            {"role": "tool", "tool_call_id": "c1", "content": "21"},
        ]))
        .unwrap();
        assert_eq!(
            conversation.system.as_deref(),
            Some("Be brief.\n\nIn Celsius.")
        );
        assert_eq!(
            conversation.messages,
            [
                Message::user("Weather?"),
                Message::Assistant {
                    text: String::new(),
                    calls: vec![FunctionCall {
                        id: "c1".to_owned(),
                        name: "weather".to_owned(),
                        arguments: json!({"city": "Rome"}),
                    }],
                },
                Message::Tool {
                    call: "c1".to_owned(),
                    content: vec![Content::Text("21".to_owned())],
                },
            ]
        );
    }

    #[test]
    fn what_the_model_said_is_one_text() {
        let user = json!({"role": "user", "content": "go on"});
        let text = |said: Value| {
            let conversation = told(json!([said, user])).unwrap();
            let Message::Assistant { text, .. } = &conversation.messages[0] else {
                panic!("{conversation:?}");
            };
            text.clone()
        };
        let parts = json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]);
        assert_eq!(text(json!({"role": "assistant", "content": parts})), "ab");
        assert_eq!(text(json!({"role": "assistant", "content": "a"})), "a");
        assert_eq!(text(json!({"role": "assistant", "content": null})), "");
        let refused = json!({"role": "assistant", "content": null, "refusal": "no"});
        assert_eq!(text(refused), "no");
    }

    #[test]
    fn what_stands_in_a_frame_is_an_aside() {
        let user = |content: Value| json!({"role": "user", "content": content});
        let text = |text: &str| json!({"type": "text", "text": text});
        let is_aside = |content: Value| {
            let conversation = told(json!([user(json!("hi")), user(content)])).unwrap();
            matches!(conversation.messages[1], Message::Aside(_))
        };
        let image = json!({"type": "image_url", "image_url": {"url": "https://example.com/a"}});
        assert!(is_aside(json!("<<<now>>>\n")));
        assert!(is_aside(json!([text("<<<now>>>")])));
        assert!(is_aside(json!([text("<<<no"), text("w>>>")])));
        assert!(!is_aside(json!("<<<now>>> and?")));
        assert!(!is_aside(json!([text("<<<now>>>"), image])));
        assert!(!is_aside(json!([text("say"), text("<<<now>>>")])));
        let assistant = json!({"role": "assistant", "content": "<<<now>>>"});
        let conversation = told(json!([assistant, user(json!("hi"))])).unwrap();
        assert_eq!(conversation.messages[0], Message::assistant("<<<now>>>"));
        // It asks nothing, and stands in nobody's way.
        let aside = user(json!("<<<now>>>"));
        let error = told(json!([user(json!("hi")), assistant, aside])).unwrap_err();
        assert!(error.contains("must end with one of the user's"), "{error}");
        let result = json!({"role": "tool", "tool_call_id": "c1", "content": "x"});
        assert!(told(json!([user(json!("hi")), assistant, result, aside])).is_ok());
    }

    #[test]
    fn refusals() {
        let user = json!({"role": "user", "content": "hi"});
        let assistant = json!({"role": "assistant", "content": "hello"});
        for (messages, said) in [
            (
                json!(null),
                "the body is missing, and must be a list of messages",
            ),
            (json!([]), "messages must end with one of the user's"),
            (
                json!([{"role": "system", "content": "x"}]),
                "messages must end with",
            ),
            (json!([user, assistant]), "messages must end with"),
            (
                json!([{"role": "user", "content": ""}]),
                "the user's message is empty",
            ),
            (json!([user, "hi"]), "[1] is text, and must be an object"),
            (json!([{"content": "hi"}]), "[0].role is missing"),
            (
                json!([{"role": "narrator", "content": "x"}]),
                "[0] has an unknown role",
            ),
            (
                json!([{"role": "function", "name": "f", "content": "x"}]),
                "send role tool",
            ),
            (
                json!([user, {"role": "assistant", "function_call": {"name": "f"}}]),
                "send tool_calls instead",
            ),
            (
                json!([user, {"role": "tool", "content": "x"}]),
                "[1].tool_call_id is missing",
            ),
            (json!([{"role": "user"}]), "[0].content is missing"),
        ] {
            let error = told(messages.clone()).unwrap_err();
            assert!(error.contains(said), "{messages}: {error}");
        }
        assert!(told(json!([user, assistant, user])).is_ok());
        // A function that says nothing has done its work all the same.
        for content in [json!(null), json!(""), json!([])] {
            let done = json!({"role": "tool", "tool_call_id": "c1", "content": content});
            assert!(told(json!([user, assistant, done])).is_ok());
        }
    }
}
