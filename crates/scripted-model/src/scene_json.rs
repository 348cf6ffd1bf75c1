//! The JSON form of a scene: raw fields, checked, into [`crate::scene`] types.

use std::{collections::BTreeMap, num::NonZeroUsize, time::Duration};

use axum::http::{HeaderName, HeaderValue};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    api_error::ApiError,
    scene::{Answer, Block, Ending, Message, Pace, Reply, Scene, StopReason, Usage},
};

/// Why a scene was refused.
#[derive(Debug, thiserror::Error)]
pub enum SceneError {
    /// The text is no JSON.
    #[error("the scene is not JSON: {0}")]
    NotJson(#[from] serde_json::Error),
    /// The JSON says something that a scene cannot say.
    #[error("{at}: {problem}")]
    Invalid {
        /// Where, such as `scene.replies[1].attempts[0]`.
        at: String,
        problem: String,
    },
}

pub(crate) fn parse(json: &str) -> Result<Scene, SceneError> {
    scene(&serde_json::from_str(json)?, "scene")
}

pub(crate) fn scene(value: &Value, at: &str) -> Result<Scene, SceneError> {
    let (list, at) = match value {
        Value::Array(list) => (list.as_slice(), at.to_owned()),
        Value::Object(fields) if fields.contains_key("replies") => {
            if let Some(other) = fields.keys().find(|key| *key != "replies") {
                return Err(invalid(
                    at,
                    format!("unknown field `{other}` beside `replies`"),
                ));
            }
            let Value::Array(list) = &fields["replies"] else {
                return Err(invalid(at, "`replies` must be a list"));
            };
            (list.as_slice(), format!("{at}.replies"))
        }
        single => (std::slice::from_ref(single), at.to_owned()),
    };
    if list.is_empty() {
        return Err(invalid(&at, "needs at least one reply"));
    }
    let replies = list
        .iter()
        .enumerate()
        .map(|(index, value)| reply(value, &format!("{at}[{index}]")))
        .collect::<Result<_, _>>()?;
    Ok(Scene { replies })
}

fn reply(value: &Value, at: &str) -> Result<Reply, SceneError> {
    let Some(attempts) = value.get("attempts") else {
        return Ok(answer(value, at)?.into());
    };
    if value.as_object().is_some_and(|fields| fields.len() > 1) {
        return Err(invalid(at, "`attempts` allows no other field beside it"));
    }
    let attempts = attempts
        .as_array()
        .filter(|list| !list.is_empty())
        .ok_or_else(|| invalid(at, "`attempts` must be a list with at least one answer"))?
        .iter()
        .enumerate()
        .map(|(index, value)| answer(value, &format!("{at}.attempts[{index}]")))
        .collect::<Result<_, _>>()?;
    Ok(Reply { attempts })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawAnswer {
    text: Option<String>,
    thinking: Option<String>,
    signature: Option<String>,
    tool_use: Option<Value>,
    blocks: Option<Vec<Value>>,
    #[serde(default)]
    empty: bool,
    chunk: Option<NonZeroUsize>,
    delay_ms: Option<u64>,
    #[serde(default)]
    first_byte_ms: u64,
    stop_reason: Option<StopReason>,
    usage: Option<RawUsage>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    stall_after: Option<usize>,
    disconnect_after: Option<usize>,
    error_after: Option<Value>,
    error: Option<Value>,
    #[serde(default)]
    hang: bool,
    #[serde(default)]
    drop: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawUsage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    #[serde(default)]
    cache_read_input_tokens: u64,
    #[serde(default)]
    cache_creation_input_tokens: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawBlock {
    text: Option<String>,
    thinking: Option<String>,
    signature: Option<String>,
    tool_use: Option<RawToolUse>,
    chunk: Option<NonZeroUsize>,
    delay_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawToolUse {
    id: Option<String>,
    name: String,
    #[serde(default = "empty_object")]
    input: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawError {
    status: u16,
    #[serde(rename = "type")]
    kind: Option<String>,
    message: Option<String>,
    retry_after: Option<u64>,
    /// Only in `errorAfter`.
    chunks: Option<usize>,
}

fn answer(value: &Value, at: &str) -> Result<Answer, SceneError> {
    let raw: RawAnswer = typed(value, at)?;
    let first_byte = Duration::from_millis(raw.first_byte_ms);
    let headers = headers(&raw.headers, at)?;
    let speaks = raw.text.is_some()
        || raw.thinking.is_some()
        || raw.tool_use.is_some()
        || raw.blocks.is_some()
        || raw.empty
        || raw.stop_reason.is_some()
        || raw.stall_after.is_some()
        || raw.disconnect_after.is_some()
        || raw.error_after.is_some();
    let choices = [speaks, raw.error.is_some(), raw.hang, raw.drop]
        .iter()
        .filter(|is| **is)
        .count();
    if choices != 1 {
        return Err(invalid(
            at,
            "must be exactly one of: a message (text, thinking, toolUse, blocks, empty, \
             stopReason, stallAfter, disconnectAfter, errorAfter), error, hang, drop",
        ));
    }
    if raw.hang {
        return Ok(Answer::Hang);
    }
    if raw.drop {
        return Ok(Answer::Drop);
    }
    if let Some(value) = &raw.error {
        let (error, chunks) = error(value, &format!("{at}.error"))?;
        if chunks.is_some() {
            return Err(invalid(at, "`chunks` belongs into `errorAfter`"));
        }
        return Ok(Answer::Error {
            error,
            headers,
            first_byte,
        });
    }
    let ending = ending(&raw, at)?;
    let blocks = blocks(&raw, at)?;
    if raw.empty && !blocks.is_empty() {
        return Err(invalid(at, "`empty` allows no content"));
    }
    let usage = raw.usage.map_or_else(Usage::default, |usage| Usage {
        input_tokens: usage.input_tokens,
        output_tokens: usage.output_tokens,
        cache_read_input_tokens: usage.cache_read_input_tokens,
        cache_creation_input_tokens: usage.cache_creation_input_tokens,
    });
    let message = Message::of(blocks);
    let stop_reason = raw.stop_reason.unwrap_or(message.stop_reason);
    Ok(Message {
        first_byte,
        stop_reason,
        ending,
        usage,
        headers,
        ..message
    }
    .into())
}

fn blocks(raw: &RawAnswer, at: &str) -> Result<Vec<Block>, SceneError> {
    let pace = Pace {
        chunk: raw.chunk,
        delay: Duration::from_millis(raw.delay_ms.unwrap_or_default()),
    };
    let mut found = Vec::new();
    if let Some(thinking) = &raw.thinking {
        found.push(thinking_block(
            thinking.clone(),
            raw.signature.clone(),
            pace,
        ));
    } else if raw.signature.is_some() {
        return Err(invalid(at, "`signature` needs `thinking`"));
    }
    if let Some(text) = &raw.text {
        found.push(Block::Text {
            text: text.clone(),
            pace,
        });
    }
    match &raw.tool_use {
        Some(Value::Array(calls)) => {
            for (index, call) in calls.iter().enumerate() {
                found.push(tool_block(
                    typed(call, &format!("{at}.toolUse[{index}]"))?,
                    pace,
                ));
            }
        }
        Some(call) => found.push(tool_block(typed(call, &format!("{at}.toolUse"))?, pace)),
        None => {}
    }
    let Some(listed) = &raw.blocks else {
        return Ok(found);
    };
    if !found.is_empty() {
        return Err(invalid(
            at,
            "`blocks` allows no text, thinking or toolUse beside it",
        ));
    }
    listed
        .iter()
        .enumerate()
        .map(|(index, value)| block(value, pace, &format!("{at}.blocks[{index}]")))
        .collect()
}

fn block(value: &Value, outer: Pace, at: &str) -> Result<Block, SceneError> {
    let raw: RawBlock = typed(value, at)?;
    let pace = Pace {
        chunk: raw.chunk.or(outer.chunk),
        delay: raw.delay_ms.map_or(outer.delay, Duration::from_millis),
    };
    match (raw.text, raw.thinking, raw.tool_use, raw.signature) {
        (Some(text), None, None, None) => Ok(Block::Text { text, pace }),
        (None, Some(thinking), None, signature) => Ok(thinking_block(thinking, signature, pace)),
        (None, None, Some(call), None) => Ok(tool_block(call, pace)),
        _ => Err(invalid(
            at,
            "must be exactly one of text, thinking (with signature), toolUse",
        )),
    }
}

fn thinking_block(thinking: String, signature: Option<String>, pace: Pace) -> Block {
    // Base64 of "scripted"; the CLI sends it back and only the API ever checks it.
    let signature = signature.unwrap_or_else(|| "c2NyaXB0ZWQ=".to_owned());
    Block::Thinking {
        thinking,
        signature,
        pace,
    }
}

fn tool_block(call: RawToolUse, pace: Pace) -> Block {
    Block::ToolUse {
        id: call.id,
        name: call.name,
        input: call.input,
        pace,
    }
}

fn ending(raw: &RawAnswer, at: &str) -> Result<Ending, SceneError> {
    match (raw.stall_after, raw.disconnect_after, &raw.error_after) {
        (None, None, None) => Ok(Ending::Complete),
        (Some(after), None, None) => Ok(Ending::Stall { after }),
        (None, Some(after), None) => Ok(Ending::Disconnect { after }),
        (None, None, Some(value)) => {
            let (error, after) = error(value, &format!("{at}.errorAfter"))?;
            Ok(Ending::Error {
                after: after.unwrap_or_default(),
                error,
            })
        }
        _ => Err(invalid(
            at,
            "only one of stallAfter, disconnectAfter, errorAfter",
        )),
    }
}

fn error(value: &Value, at: &str) -> Result<(ApiError, Option<usize>), SceneError> {
    let raw = match value {
        Value::Number(_) => RawError {
            status: typed(value, at)?,
            kind: None,
            message: None,
            retry_after: None,
            chunks: None,
        },
        object => typed(object, at)?,
    };
    if !(400..=599).contains(&raw.status) {
        return Err(invalid(
            at,
            format!("status {} is not an error status", raw.status),
        ));
    }
    let usual = ApiError::new(raw.status);
    let error = ApiError {
        status: raw.status,
        kind: raw.kind.unwrap_or(usual.kind),
        message: raw.message.unwrap_or(usual.message),
        retry_after: raw.retry_after.map(Duration::from_secs),
    };
    Ok((error, raw.chunks))
}

fn headers(raw: &BTreeMap<String, String>, at: &str) -> Result<Vec<(String, String)>, SceneError> {
    for (name, value) in raw {
        if HeaderName::try_from(name).is_err() || HeaderValue::try_from(value).is_err() {
            return Err(invalid(
                at,
                format!("`{name}` is not a possible HTTP header"),
            ));
        }
    }
    Ok(raw.clone().into_iter().collect())
}

fn typed<T: DeserializeOwned>(value: &Value, at: &str) -> Result<T, SceneError> {
    T::deserialize(value).map_err(|error| invalid(at, error.to_string()))
}

fn invalid(at: &str, problem: impl Into<String>) -> SceneError {
    SceneError::Invalid {
        at: at.to_owned(),
        problem: problem.into(),
    }
}

fn empty_object() -> Value {
    Value::Object(serde_json::Map::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(json: &str) -> Answer {
        let mut scene = parse(json).unwrap();
        assert_eq!(scene.replies.len(), 1);
        scene.replies.remove(0).attempts.remove(0)
    }

    #[test]
    fn text_with_a_pace() {
        let Answer::Message(message) =
            only(r#"{"text":"hello","chunk":3,"delayMs":20,"firstByteMs":50}"#)
        else {
            panic!("not a message");
        };
        let pace = Pace {
            chunk: NonZeroUsize::new(3),
            delay: Duration::from_millis(20),
        };
        assert_eq!(
            message.blocks,
            [Block::Text {
                text: "hello".into(),
                pace
            }]
        );
        assert_eq!(message.first_byte, Duration::from_millis(50));
        assert_eq!(message.stop_reason, StopReason::EndTurn);
    }

    #[test]
    fn a_list_is_a_scene_and_tools_stop_for_tool_use() {
        let scene = parse(
            r#"[{"toolUse":[{"name":"Bash","input":{"command":"true"}},{"name":"Read"}]},
                {"text":"done"}]"#,
        )
        .unwrap();
        assert_eq!(scene.replies.len(), 2);
        let Answer::Message(message) = &scene.replies[0].attempts[0] else {
            panic!()
        };
        assert_eq!(message.blocks.len(), 2);
        assert_eq!(message.stop_reason, StopReason::ToolUse);
    }

    #[test]
    fn attempts_and_errors() {
        let scene = parse(
            r#"{"replies":[{"attempts":[{"error":{"status":429,"retryAfter":1}},{"text":"ok"}]}]}"#,
        )
        .unwrap();
        let Answer::Error { error, .. } = &scene.replies[0].attempts[0] else {
            panic!()
        };
        assert_eq!(error.kind, "rate_limit_error");
        assert_eq!(error.retry_after, Some(Duration::from_secs(1)));
        assert_eq!(scene.replies[0].attempts[1], Answer::text("ok"));
    }

    #[test]
    fn endings() {
        let after = |json: &str| match only(json) {
            Answer::Message(message) => message.ending,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            after(r#"{"text":"a b","stallAfter":1}"#),
            Ending::Stall { after: 1 }
        );
        assert_eq!(
            after(r#"{"disconnectAfter":0}"#),
            Ending::Disconnect { after: 0 }
        );
        assert_eq!(
            after(r#"{"text":"a","errorAfter":{"chunks":2,"status":529}}"#),
            Ending::Error {
                after: 2,
                error: ApiError::new(529)
            }
        );
    }

    #[test]
    fn refusals_name_the_place() {
        let table = [
            ("{", "not JSON"),
            ("[]", "at least one reply"),
            ("{}", "exactly one of"),
            ("7", "invalid type"),
            (
                r#"{"replies":[{"text":"a"},{"txt":"b"}]}"#,
                "scene.replies[1]: unknown field `txt`",
            ),
            (r#"{"replies":[],"more":1}"#, "unknown field `more`"),
            (r#"{"text":"a","error":500}"#, "exactly one of"),
            (r#"{"error":200}"#, "not an error status"),
            (r#"{"text":"a","chunk":0}"#, "nonzero"),
            (r#"{"attempts":[]}"#, "at least one answer"),
            (
                r#"{"blocks":[{"text":"a","thinking":"b"}]}"#,
                "scene[0].blocks[0]",
            ),
            (
                r#"{"text":"a","headers":{"bad name":"x"}}"#,
                "not a possible HTTP header",
            ),
            (
                r#"{"text":"a","stallAfter":1,"disconnectAfter":1}"#,
                "only one of",
            ),
            (r#"{"empty":true,"text":"a"}"#, "allows no content"),
        ];
        for (json, expected) in table {
            let error = parse(json).expect_err(json).to_string();
            assert!(error.contains(expected), "{json}: {error}");
        }
    }
}
