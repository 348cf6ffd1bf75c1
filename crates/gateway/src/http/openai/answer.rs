//! An answer in one piece.

use std::time::{SystemTime, UNIX_EPOCH};

use ccpool::provider::{FunctionCall, plain_call_id};
use futures::{Stream, StreamExt};
use serde_json::{Value, json};
use uuid::Uuid;

use super::error::ApiError;
use super::head::Head;
use super::said::{Ended, Finish, Said};
use super::tool::written_arguments;
use super::usage::Used;

/// What an answer is known by, in whichever way it is told.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) id: String,
    /// Seconds since 1970.
    pub(super) created: u64,
    pub(super) model: String,
}

impl Identity {
    /// A new one.
    pub(super) fn new(model: &str) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            id: format!("chatcmpl-{}", Uuid::new_v4().simple()),
            created: since.map_or(0, |since| since.as_secs()),
            model: model.to_owned(),
        }
    }
}

/// Listens to the end, and gives the body of the answer.
///
/// # Errors
/// [`ApiError`] if the answer does not end well; what was said of it is dropped.
pub(super) async fn gather(said: impl Stream<Item = Said>, head: &Head) -> Result<Value, ApiError> {
    let mut said = std::pin::pin!(said);
    let (mut text, mut thought) = (String::new(), String::new());
    while let Some(next) = said.next().await {
        match next {
            Said::Text(more) => text.push_str(&more),
            Said::Thought(more) => thought.push_str(&more),
            Said::Ended(Ended::Broken(error)) => return Err(error),
            Said::Ended(Ended::Finished { finish, used }) => {
                let message = message(&text, thought, &[]);
                let identity = Identity::new(head.model());
                return Ok(body(&identity, &message, finish, used));
            }
            Said::Ended(Ended::Called { calls, used }) => {
                let message = message(&text, thought, &calls);
                let identity = Identity::new(head.model());
                return Ok(body(&identity, &message, Finish::ToolCalls, used));
            }
        }
    }
    unreachable!("what is said has an end")
}

fn message(text: &str, thought: String, calls: &[FunctionCall]) -> Value {
    let mut message = json!({"role": "assistant", "content": text, "refusal": null});
    if !thought.is_empty() {
        message["reasoning_content"] = Value::String(thought);
    }
    if !calls.is_empty() {
        if text.is_empty() {
            message["content"] = Value::Null;
        }
        message["tool_calls"] = calls.iter().map(call).collect();
    }
    message
}

fn call(call: &FunctionCall) -> Value {
    json!({
        "id": plain_call_id(&call.id),
        "type": "function",
        "function": {"name": call.name, "arguments": written_arguments(call)},
    })
}

fn body(identity: &Identity, message: &Value, finish: Finish, used: Used) -> Value {
    json!({
        "id": identity.id,
        "object": "chat.completion",
        "created": identity.created,
        "model": identity.model,
        "choices": [{
            "index": 0,
            "message": message,
            "logprobs": null,
            "finish_reason": finish,
        }],
        "usage": used,
    })
}

#[cfg(test)]
mod tests {
    use ccpool::TurnId;
    use ccpool::provider::Reply;
    use ccpool_protocol::FailureKind;
    use ccpool_protocol::event::{Completed, Usage};

    use super::*;

    fn head() -> Head {
        let reply = Reply {
            provider: "docker-claude-code".to_owned(),
            model: "opus".to_owned(),
            session: None,
            turn: TurnId::new("t1").unwrap(),
            passed: Vec::new(),
            events: futures::stream::empty().boxed(),
        };
        Head::of(&reply, None)
    }

    async fn gathered(said: Vec<Said>) -> Result<Value, ApiError> {
        let mut body = gather(futures::stream::iter(said), &head()).await?;
        let id = body["id"].as_str().expect("an id");
        assert!(
            id.strip_prefix("chatcmpl-")
                .is_some_and(|id| id.len() == 32),
            "{id}"
        );
        assert!(body["created"].as_u64() > Some(1_700_000_000));
        body["id"] = json!("chatcmpl-1");
        body["created"] = json!(0);
        Ok(body)
    }

    #[tokio::test]
    async fn words_and_thoughts() {
        let usage = Usage {
            input_tokens: 3,
            output_tokens: 2,
            ..Usage::default()
        };
        let used = Used::by_end(&Completed {
            usage,
            ..Completed::default()
        });
        let finish = Finish::Length;
        let said = vec![
            Said::Thought("h".to_owned()),
            Said::Thought("m".to_owned()),
            Said::Text("two ".to_owned()),
            Said::Text("words".to_owned()),
            Said::Ended(Ended::Finished { finish, used }),
        ];
        insta::assert_json_snapshot!(gathered(said).await.unwrap());
    }

    #[tokio::test]
    async fn calls_with_and_without_words() {
        let called = || {
            let call = FunctionCall {
                id: "toolu_c1".to_owned(),
                name: "f".to_owned(),
                arguments: json!({"a": 1}),
            };
            let usage = Usage {
                input_tokens: 3,
                output_tokens: 2,
                ..Usage::default()
            };
            Said::Ended(Ended::Called {
                calls: vec![call],
                used: Used::by_calls(Some(usage)),
            })
        };
        insta::assert_json_snapshot!(gathered(vec![called()]).await.unwrap());
        let said = vec![Said::Text("Let me see.".to_owned()), called()];
        let body = gathered(said).await.unwrap();
        assert_eq!(body["choices"][0]["message"]["content"], "Let me see.");
    }

    #[tokio::test]
    async fn half_an_answer_is_none() {
        let error = ApiError::of_kind(FailureKind::Stalled, "silent");
        let broken = Said::Ended(Ended::Broken(error.clone()));
        let said = vec![Said::Text("half".to_owned()), broken];
        assert_eq!(gathered(said).await.unwrap_err(), error);
    }
}
