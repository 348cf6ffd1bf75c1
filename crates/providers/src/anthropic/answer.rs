//! From the events of the Messages API to reply events.

use std::collections::BTreeMap;

use ccpool::FailureKind;
use ccpool::protocol::event::{Completed, Event, Usage};
use ccpool::provider::{Conversation, FunctionCall};
use serde_json::Value;

use super::mishap::{kind_of_type, one_line};
use super::wire::{BlockStart, Delta, Line};

/// Why an answer ends before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) kind: FailureKind,
    pub(super) message: String,
}

/// What was heard of an answer.
#[derive(Debug, Default)]
pub(super) struct Answer {
    message: String,
    blocks: BTreeMap<u64, Block>,
    usage: Usage,
    stop_reason: Option<String>,
    /// What is said is JSON.
    is_json: bool,
    /// Text was told.
    pub(super) is_visible: bool,
}

#[derive(Debug)]
enum Block {
    Text(String),
    Call {
        id: String,
        name: String,
        /// JSON in pieces.
        arguments: String,
    },
    /// Thinking, and whatever else there may be one day.
    Other,
}

impl Answer {
    /// To this conversation.
    pub(super) fn to(conversation: &Conversation) -> Self {
        Self {
            is_json: conversation.output_schema.is_some(),
            ..Self::default()
        }
    }

    /// Takes the data of one event, and gives what it tells a reader.
    ///
    /// # Errors
    /// [`Broken`]: the API says that it failed, or what it says makes no sense.
    pub(super) fn hear(&mut self, data: &str) -> Result<Option<Event>, Broken> {
        let line: Line = serde_json::from_str(data)
            .map_err(|error| Broken::nonsense(&format!("an event is wrong: {error}")))?;
        Ok(match line {
            Line::MessageStart { message } => {
                self.usage.update(&message.usage);
                self.message = message.id;
                Some(Event::Started {
                    model: message.model,
                    cli_session_id: String::new(),
                    claude_version: String::new(),
                })
            }
            Line::ContentBlockStart {
                index,
                content_block,
            } => self.begin(index, content_block),
            Line::ContentBlockDelta { index, delta } => self.add(index, delta),
            Line::ContentBlockStop { index } => match self.blocks.get(&index) {
                Some(Block::Text(text)) if !text.is_empty() => Some(Event::Text {
                    message_id: self.message.clone(),
                    text: text.clone(),
                    parent_tool_use_id: None,
                }),
                Some(Block::Text(_) | Block::Call { .. } | Block::Other) | None => None,
            },
            Line::MessageDelta { delta, usage } => {
                self.usage.update(&usage);
                self.stop_reason = delta.stop_reason.or(self.stop_reason.take());
                None
            }
            Line::MessageStop => Some(self.end()?),
            Line::Error { error } => {
                return Err(Broken {
                    kind: kind_of_type(&error.kind).unwrap_or(FailureKind::Unavailable),
                    message: one_line(&format!("the Messages API broke off: {}", error.message)),
                });
            }
            Line::Other => None,
        })
    }

    /// What was used so far.
    pub(super) fn usage(&self) -> Usage {
        self.usage
    }

    fn begin(&mut self, index: u64, block: BlockStart) -> Option<Event> {
        let (block, text) = match block {
            BlockStart::Text { text } => (Block::Text(text.clone()), text),
            BlockStart::ToolUse { id, name } => {
                let arguments = String::new();
                let call = Block::Call {
                    id,
                    name,
                    arguments,
                };
                (call, String::new())
            }
            BlockStart::Other => (Block::Other, String::new()),
        };
        self.blocks.insert(index, block);
        self.told(index, text)
    }

    fn add(&mut self, index: u64, delta: Delta) -> Option<Event> {
        match delta {
            Delta::Text { text } => {
                let block = self.blocks.entry(index);
                if let Block::Text(whole) = block.or_insert_with(|| Block::Text(String::new())) {
                    whole.push_str(&text);
                }
                self.told(index, text)
            }
            Delta::Thinking { thinking } if !thinking.is_empty() => Some(Event::ThinkingDelta {
                message_id: self.message.clone(),
                block: index,
                text: thinking,
            }),
            Delta::Arguments { partial_json } => {
                if let Some(Block::Call { arguments, .. }) = self.blocks.get_mut(&index) {
                    arguments.push_str(&partial_json);
                }
                None
            }
            Delta::Thinking { .. } | Delta::Other => None,
        }
    }

    fn told(&mut self, index: u64, text: String) -> Option<Event> {
        if text.is_empty() {
            return None;
        }
        self.is_visible = true;
        Some(Event::TextDelta {
            message_id: self.message.clone(),
            block: index,
            text,
        })
    }

    fn end(&mut self) -> Result<Event, Broken> {
        let blocks = std::mem::take(&mut self.blocks);
        match self.stop_reason.as_deref() {
            Some("tool_use") => {
                let calls = blocks.into_values().filter_map(Block::call);
                let calls = calls.collect::<Result<Vec<_>, _>>()?;
                if !calls.is_empty() {
                    return Ok(Event::FunctionCalls {
                        calls,
                        expires_at: None,
                        usage: self.usage.known(),
                    });
                }
                Err(Broken::nonsense("it stopped for calls and made none"))
            }
            Some("refusal") => Err(Broken {
                kind: FailureKind::InvalidRequest,
                message: "the model refused to answer".to_owned(),
            }),
            Some(_) | None => {
                let text = blocks.into_values().filter_map(|block| match block {
                    Block::Text(text) => Some(text),
                    Block::Call { .. } | Block::Other => None,
                });
                let text: String = text.collect();
                let structured_output = self.is_json.then(|| serde_json::from_str(&text).ok());
                Ok(Event::Completed(Box::new(Completed {
                    structured_output: structured_output.flatten(),
                    text,
                    usage: self.usage,
                    answer_usage: self.usage.known(),
                    stop_reason: self.stop_reason.take(),
                    ..Completed::default()
                })))
            }
        }
    }
}

impl Block {
    fn call(self) -> Option<Result<FunctionCall, Broken>> {
        let Self::Call {
            id,
            name,
            arguments,
        } = self
        else {
            return None;
        };
        let arguments = match arguments.as_str() {
            "" => "{}",
            given => given,
        };
        Some(match serde_json::from_str::<Value>(arguments) {
            Ok(arguments) if arguments.is_object() => Ok(FunctionCall {
                id,
                name,
                arguments,
            }),
            Ok(_) | Err(_) => Err(Broken {
                kind: FailureKind::Internal,
                message: "the model called a function with what is no JSON object".to_owned(),
            }),
        })
    }
}

impl Broken {
    pub(super) fn nonsense(what: &str) -> Self {
        Self {
            kind: FailureKind::Unavailable,
            message: one_line(&format!("the Messages API does not keep to itself: {what}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn heard(lines: &[Value]) -> Result<Vec<Event>, Broken> {
        let mut answer = Answer::default();
        let mut events = Vec::new();
        for line in lines {
            events.extend(answer.hear(&line.to_string())?);
        }
        Ok(events)
    }

    fn start() -> Value {
        json!({"type": "message_start", "message": {"id": "m1", "model": "claude", "content": [],
            "usage": {"input_tokens": 9, "output_tokens": 1, "cache_read_input_tokens": null}}})
    }

    fn block(index: u64, block: &Value) -> Value {
        json!({"type": "content_block_start", "index": index, "content_block": block})
    }

    fn delta(index: u64, delta: &Value) -> Value {
        json!({"type": "content_block_delta", "index": index, "delta": delta})
    }

    fn stop(index: u64) -> Value {
        json!({"type": "content_block_stop", "index": index})
    }

    fn end(reason: &str) -> [Value; 2] {
        [
            json!({"type": "message_delta", "delta": {"stop_reason": reason},
                "usage": {"output_tokens": 5}}),
            json!({"type": "message_stop"}),
        ]
    }

    #[test]
    fn an_answer_is_told_as_it_comes() {
        let mut lines = vec![
            start(),
            json!({"type": "ping"}),
            json!({"type": "something_new", "index": "?"}),
            block(0, &json!({"type": "thinking", "thinking": ""})),
            delta(0, &json!({"type": "thinking_delta", "thinking": "hm"})),
            delta(0, &json!({"type": "signature_delta", "signature": "x"})),
            stop(0),
            block(1, &json!({"type": "text", "text": ""})),
            delta(1, &json!({"type": "text_delta", "text": "one "})),
            delta(1, &json!({"type": "text_delta", "text": "two"})),
            stop(1),
        ];
        lines.extend(end("max_tokens"));
        let events = heard(&lines).unwrap();
        let names: Vec<_> = events.iter().map(Event::type_name).collect();
        assert_eq!(
            names,
            [
                "started",
                "thinking_delta",
                "text_delta",
                "text_delta",
                "text",
                "completed"
            ]
        );
        let Some(Event::Completed(completed)) = events.last() else {
            panic!("{events:?}");
        };
        assert_eq!(completed.text, "one two");
        assert_eq!(completed.stop_reason.as_deref(), Some("max_tokens"));
        assert_eq!(
            (completed.usage.input_tokens, completed.usage.output_tokens),
            (9, 5)
        );
        assert_eq!(completed.answer_usage, Some(completed.usage));
    }

    #[test]
    fn calls_end_it_and_wait_for_nobody() {
        let mut lines = vec![
            start(),
            block(
                0,
                &json!({"type": "tool_use", "id": "c1", "name": "look", "input": {}}),
            ),
            delta(
                0,
                &json!({"type": "input_json_delta", "partial_json": "{\"at\":"}),
            ),
            delta(
                0,
                &json!({"type": "input_json_delta", "partial_json": " 1}"}),
            ),
            stop(0),
            block(
                1,
                &json!({"type": "tool_use", "id": "c2", "name": "rest", "input": {}}),
            ),
            stop(1),
        ];
        lines.extend(end("tool_use"));
        let events = heard(&lines).unwrap();
        let call = |id: &str, name: &str, arguments| FunctionCall {
            id: id.into(),
            name: name.into(),
            arguments,
        };
        let calls = vec![
            call("c1", "look", json!({"at": 1})),
            call("c2", "rest", json!({})),
        ];
        let wanted = Event::FunctionCalls {
            calls,
            expires_at: None,
            usage: Some(Usage {
                input_tokens: 9,
                output_tokens: 5,
                ..Usage::default()
            }),
        };
        assert_eq!(events.last(), Some(&wanted));
    }

    #[test]
    fn what_goes_wrong_has_its_kind() {
        let error = |kind: &str| {
            let error = json!({"type": kind, "message": "no\nmore"});
            vec![json!({"type": "error", "error": error})]
        };
        let call = |json: &str| {
            let mut lines = vec![
                block(0, &json!({"type": "tool_use", "id": "c", "name": "look"})),
                delta(
                    0,
                    &json!({"type": "input_json_delta", "partial_json": json}),
                ),
            ];
            lines.extend(end("tool_use"));
            lines
        };
        for (lines, kind) in [
            (error("overloaded_error"), FailureKind::Overloaded),
            (error("rate_limit_error"), FailureKind::RateLimited),
            (error("what_error"), FailureKind::Unavailable),
            (end("refusal").to_vec(), FailureKind::InvalidRequest),
            (end("tool_use").to_vec(), FailureKind::Unavailable),
            (call("{\"at\":"), FailureKind::Internal),
            (call("[1]"), FailureKind::Internal),
            (vec![json!([])], FailureKind::Unavailable),
            (
                vec![json!({"type": "message_start"})],
                FailureKind::Unavailable,
            ),
        ] {
            let broken = heard(&lines).expect_err("it is wrong");
            assert_eq!(broken.kind, kind, "{lines:?}");
            assert!(!broken.message.contains('\n'), "{broken:?}");
        }
    }

    proptest! {
        #[test]
        fn no_order_of_events_is_too_odd(order in prop::collection::vec(0..9_usize, 0..30)) {
            let lines = [
                start(),
                block(0, &json!({"type": "text", "text": "a"})),
                block(0, &json!({"type": "tool_use", "id": "c", "name": "n"})),
                delta(0, &json!({"type": "text_delta", "text": "b"})),
                delta(1, &json!({"type": "input_json_delta", "partial_json": "{"})),
                delta(7, &json!({"type": "thinking_delta", "thinking": "c"})),
                stop(0),
                end("end_turn")[0].clone(),
                json!({"type": "message_stop"}),
            ];
            let mut answer = Answer::default();
            for at in order {
                let _ = answer.hear(&lines[at].to_string());
            }
        }
    }
}
