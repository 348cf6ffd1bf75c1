//! A message as the API sends it: timed SSE frames, or one JSON object.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::scene::{Block, Ending, Message, Pace};

/// Characters per delta of tool input without a pace of its own.
const TOOL_INPUT_CHUNK: usize = 64;

/// What the frames need to know beside the message.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    /// The requested model; repeated in the answer.
    pub model: &'a str,
    /// Unique per answer; ids of the message and its tool calls are made from it.
    pub serial: &'a str,
    /// Estimated size of the prompt.
    pub input_tokens: u64,
}

/// One SSE event and the wait before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub delay: Duration,
    /// `event: ..`, `data: ..` and the blank line.
    pub bytes: Bytes,
}

/// What follows the last frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// The body ends properly.
    Close,
    /// Nothing until the client goes.
    Stall,
    /// The connection is closed in the middle of the body.
    Cut,
}

/// A streamed answer, ready to send.
#[derive(Debug, PartialEq, Eq)]
pub struct StreamPlan {
    pub frames: Vec<Frame>,
    /// Wait after the last frame.
    pub finish_delay: Duration,
    pub finish: Finish,
}

/// The streamed form of a message.
#[must_use]
pub fn stream(message: &Message, envelope: Envelope<'_>) -> StreamPlan {
    let mut events = vec![start_event(message, envelope)];
    for (index, block) in message.blocks.iter().enumerate() {
        block_events(block, index, envelope, &mut events);
        if index == 0 {
            // The API sends one about here; clients must skip it.
            events.insert(2, Event::plain(json!({"type": "ping"})));
        }
    }
    let (after, finish) = match &message.ending {
        Ending::Complete => {
            events.push(Event::plain(json!({
                "type": "message_delta",
                "delta": {"stop_reason": message.stop_reason, "stop_sequence": null},
                "usage": usage(message, envelope),
            })));
            events.push(Event::plain(json!({"type": "message_stop"})));
            (None, Finish::Close)
        }
        Ending::Stall { after } => (Some(*after), Finish::Stall),
        Ending::Disconnect { after } => (Some(*after), Finish::Cut),
        Ending::Error { after, .. } => (Some(*after), Finish::Close),
    };
    // A break comes when the next delta would have been due.
    let mut finish_delay = Duration::ZERO;
    if let Some(after) = after {
        events.truncate(place_of_cut(&events, after));
        finish_delay = events.last().map_or(Duration::ZERO, |event| event.delay);
    }
    if let Ending::Error { error, .. } = &message.ending {
        let data = error.body(&format!("req_{}", envelope.serial));
        events.push(Event {
            delay: std::mem::take(&mut finish_delay),
            data,
        });
    }
    StreamPlan {
        frames: events.iter().map(Event::frame).collect(),
        finish_delay,
        finish,
    }
}

/// The non-streamed form of a message.
#[must_use]
pub fn whole(message: &Message, envelope: Envelope<'_>) -> Value {
    let content: Vec<Value> = message
        .blocks
        .iter()
        .enumerate()
        .map(|(index, block)| match block {
            Block::Text { text, .. } => json!({"type": "text", "text": text}),
            Block::Thinking {
                thinking,
                signature,
                ..
            } => {
                json!({"type": "thinking", "thinking": thinking, "signature": signature})
            }
            Block::ToolUse {
                id, name, input, ..
            } => json!({
                "type": "tool_use", "id": tool_id(id.as_deref(), index, envelope),
                "name": name, "input": input,
            }),
        })
        .collect();
    let mut answer = bare_message(envelope);
    answer["content"] = Value::Array(content);
    answer["stop_reason"] = json!(message.stop_reason);
    answer["usage"] = usage(message, envelope);
    answer
}

/// How long the model takes to say all of a message, first byte included.
#[must_use]
pub fn speaking_time(message: &Message) -> Duration {
    let deltas = message.blocks.iter().map(|block| {
        let (content, pace, chunk) = content_of(block);
        pace.delay * u32::try_from(chunks(&content, chunk).len()).unwrap_or(u32::MAX)
    });
    message.first_byte + deltas.sum::<Duration>()
}

/// A rough token count of so many bytes of JSON or text.
#[must_use]
pub fn estimated_tokens(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(4)
}

struct Event {
    delay: Duration,
    data: Value,
}

impl Event {
    fn plain(data: Value) -> Self {
        Self {
            delay: Duration::ZERO,
            data,
        }
    }

    fn is_delta(&self) -> bool {
        self.data["type"] == "content_block_delta"
    }

    fn frame(&self) -> Frame {
        let kind = self.data["type"].as_str().unwrap_or_default();
        let text = format!("event: {kind}\ndata: {}\n\n", self.data);
        Frame {
            delay: self.delay,
            bytes: Bytes::from(text),
        }
    }
}

/// How many events come before the cut: none of the content for 0, up to and with the `after`-th
/// delta, or all of the content if there are fewer.
fn place_of_cut(events: &[Event], after: usize) -> usize {
    if after == 0 {
        return 1;
    }
    let delta = events
        .iter()
        .enumerate()
        .filter(|(_, event)| event.is_delta())
        .nth(after - 1);
    delta.map_or(events.len(), |(place, _)| place + 1)
}

fn start_event(message: &Message, envelope: Envelope<'_>) -> Event {
    let mut start = bare_message(envelope);
    start["usage"] = usage(message, envelope);
    start["usage"]["output_tokens"] = json!(1);
    Event::plain(json!({"type": "message_start", "message": start}))
}

fn bare_message(envelope: Envelope<'_>) -> Value {
    json!({
        "id": format!("msg_{}", envelope.serial),
        "type": "message",
        "role": "assistant",
        "model": envelope.model,
        "content": [],
        "stop_reason": null,
        "stop_sequence": null,
    })
}

fn block_events(block: &Block, index: usize, envelope: Envelope<'_>, events: &mut Vec<Event>) {
    let (empty_block, delta_kind, field) = match block {
        Block::Text { .. } => (json!({"type": "text", "text": ""}), "text_delta", "text"),
        Block::Thinking { .. } => (
            json!({"type": "thinking", "thinking": "", "signature": ""}),
            "thinking_delta",
            "thinking",
        ),
        Block::ToolUse { id, name, .. } => (
            json!({
                "type": "tool_use", "id": tool_id(id.as_deref(), index, envelope),
                "name": name, "input": {},
            }),
            "input_json_delta",
            "partial_json",
        ),
    };
    events.push(Event::plain(
        json!({"type": "content_block_start", "index": index, "content_block": empty_block}),
    ));
    let (content, pace, chunk) = content_of(block);
    for part in chunks(&content, chunk) {
        let delta = json!({"type": delta_kind, field: part});
        let data = json!({"type": "content_block_delta", "index": index, "delta": delta});
        events.push(Event {
            delay: pace.delay,
            data,
        });
    }
    if let Block::Thinking { signature, .. } = block {
        let delta = json!({"type": "signature_delta", "signature": signature});
        events.push(Event::plain(
            json!({"type": "content_block_delta", "index": index, "delta": delta}),
        ));
    }
    events.push(Event::plain(
        json!({"type": "content_block_stop", "index": index}),
    ));
}

fn content_of(block: &Block) -> (String, Pace, Option<usize>) {
    match block {
        Block::Text {
            text: content,
            pace,
        }
        | Block::Thinking {
            thinking: content,
            pace,
            ..
        } => (content.clone(), *pace, pace.chunk.map(usize::from)),
        Block::ToolUse { input, pace, .. } => {
            let chunk = pace.chunk.map_or(TOOL_INPUT_CHUNK, usize::from);
            (input.to_string(), *pace, Some(chunk))
        }
    }
}

/// Cuts by characters, or else after each word.
fn chunks(text: &str, chunk: Option<usize>) -> Vec<&str> {
    let Some(size) = chunk else {
        return text.split_inclusive(char::is_whitespace).collect();
    };
    let mut found = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest
            .char_indices()
            .nth(size)
            .map_or(rest.len(), |(at, _)| at);
        let (part, after) = rest.split_at(end);
        found.push(part);
        rest = after;
    }
    found
}

fn tool_id(given: Option<&str>, index: usize, envelope: Envelope<'_>) -> String {
    given.map_or_else(
        || format!("toolu_{}_{index}", envelope.serial),
        str::to_owned,
    )
}

fn usage(message: &Message, envelope: Envelope<'_>) -> Value {
    let said: usize = message
        .blocks
        .iter()
        .map(|block| content_of(block).0.len())
        .sum();
    json!({
        "input_tokens": message.usage.input_tokens.unwrap_or(envelope.input_tokens),
        "cache_creation_input_tokens": message.usage.cache_creation_input_tokens,
        "cache_read_input_tokens": message.usage.cache_read_input_tokens,
        "output_tokens": message.usage.output_tokens.unwrap_or(estimated_tokens(said)),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::scene::{Answer, Scene};

    const ENVELOPE: Envelope<'_> = Envelope {
        model: "m",
        serial: "1",
        input_tokens: 7,
    };

    fn message(json: &str) -> Message {
        let scene = Scene::parse(json).unwrap();
        match &scene.replies[0].attempts[0] {
            Answer::Message(message) => message.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn events(plan: &StreamPlan) -> Vec<Value> {
        let parse = |frame: &Frame| {
            let text = std::str::from_utf8(&frame.bytes).unwrap();
            let (event, data) = text.split_once('\n').unwrap();
            let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            assert_eq!(event.strip_prefix("event: "), data["type"].as_str());
            assert!(text.ends_with("\n\n"));
            data
        };
        plan.frames.iter().map(parse).collect()
    }

    fn kinds(plan: &StreamPlan) -> Vec<String> {
        events(plan)
            .iter()
            .map(|data| data["type"].as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn a_text_is_streamed_word_by_word() {
        let plan = stream(&message(r#"{"text":"one two","delayMs":5}"#), ENVELOPE);
        let expected = [
            "message_start",
            "content_block_start",
            "ping",
            "content_block_delta",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop",
        ];
        assert_eq!(kinds(&plan), expected);
        assert_eq!(plan.finish, Finish::Close);
        assert_eq!(plan.frames[3].delay, Duration::from_millis(5));
        let events = events(&plan);
        assert_eq!(events[0]["message"]["usage"]["input_tokens"], 7);
        assert_eq!(
            events[3]["delta"],
            json!({"type": "text_delta", "text": "one "})
        );
        assert_eq!(events[6]["delta"]["stop_reason"], "end_turn");
        assert_eq!(events[6]["usage"]["output_tokens"], 2);
    }

    #[test]
    fn thinking_ends_with_its_signature_and_tools_send_json() {
        let json = r#"{"thinking":"hm","signature":"c2ln","text":"t",
            "toolUse":{"name":"Bash","input":{"command":"true"}},"chunk":4}"#;
        let plan = stream(&message(json), ENVELOPE);
        let events = events(&plan);
        let deltas: Vec<_> = events
            .iter()
            .filter(|event| event["type"] == "content_block_delta")
            .collect();
        assert_eq!(
            deltas[1]["delta"],
            json!({"type": "signature_delta", "signature": "c2ln"})
        );
        let input: String = deltas
            .iter()
            .filter(|event| event["index"] == 2)
            .map(|event| event["delta"]["partial_json"].as_str().unwrap())
            .collect();
        assert_eq!(input, r#"{"command":"true"}"#);
        assert_eq!(events[events.len() - 2]["delta"]["stop_reason"], "tool_use");
    }

    #[test]
    fn broken_endings_cut_after_the_nth_delta() {
        let cut = |after: usize| {
            let json = format!(r#"{{"text":"a b c","disconnectAfter":{after}}}"#);
            let plan = stream(&message(&json), ENVELOPE);
            assert_eq!(plan.finish, Finish::Cut);
            kinds(&plan)
        };
        assert_eq!(cut(0), ["message_start"]);
        assert_eq!(cut(2).last().unwrap(), "content_block_delta");
        assert_eq!(cut(2).len(), 5);
        assert_eq!(cut(3).last().unwrap(), "content_block_delta");
        assert_eq!(cut(99).last().unwrap(), "content_block_stop");
        let paced = r#"{"text":"a b","delayMs":9,"disconnectAfter":1}"#;
        assert_eq!(
            stream(&message(paced), ENVELOPE).finish_delay,
            Duration::from_millis(9)
        );
        let stall = stream(&message(r#"{"text":"a b","stallAfter":1}"#), ENVELOPE);
        assert_eq!((stall.finish, stall.frames.len()), (Finish::Stall, 4));
        let error = r#"{"text":"a b","delayMs":9,"errorAfter":{"chunks":1,"status":529}}"#;
        let error = stream(&message(error), ENVELOPE);
        assert_eq!(error.frames.last().unwrap().delay, Duration::from_millis(9));
        assert_eq!(error.finish, Finish::Close);
        assert_eq!(
            events(&error).last().unwrap()["error"]["type"],
            "overloaded_error"
        );
    }

    #[test]
    fn the_whole_form_has_the_same_content() {
        let json = r#"{"thinking":"hm","text":"t","toolUse":{"id":"x","name":"Read"},
            "usage":{"inputTokens":1,"outputTokens":2,"cacheReadInputTokens":3,
                "cacheCreationInputTokens":4}}"#;
        let whole = whole(&message(json), ENVELOPE);
        assert_eq!(whole["content"][1], json!({"type": "text", "text": "t"}));
        assert_eq!(whole["content"][2]["id"], "x");
        assert_eq!(whole["stop_reason"], "tool_use");
        assert_eq!(whole["usage"]["input_tokens"], 1);
        assert_eq!(whole["usage"]["output_tokens"], 2);
        assert_eq!(whole["usage"]["cache_read_input_tokens"], 3);
        assert_eq!(whole["usage"]["cache_creation_input_tokens"], 4);
    }

    #[test]
    fn an_empty_answer_has_no_blocks() {
        let plan = stream(&message(r#"{"empty":true}"#), ENVELOPE);
        assert_eq!(
            kinds(&plan),
            ["message_start", "message_delta", "message_stop"]
        );
    }

    #[test]
    fn speaking_takes_all_delays() {
        let slow = message(r#"{"text":"a b c","delayMs":10,"firstByteMs":5}"#);
        assert_eq!(speaking_time(&slow), Duration::from_millis(35));
    }

    proptest! {
        #[test]
        fn chunks_join_to_the_text(text in "\\PC{0,60}", size in proptest::option::of(1usize..9)) {
            let parts = chunks(&text, size);
            prop_assert_eq!(parts.concat(), text.as_str());
            if let Some(size) = size {
                prop_assert!(parts.iter().all(|part| part.chars().count() <= size));
            }
        }
    }
}
