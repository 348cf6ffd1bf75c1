//! From reply events to what a client of the OpenAI API can be told.

use ccpool::provider::{FunctionCall, Spoken};
use ccpool::{Event, FailureKind, ReplyEvent};
use ccpool_protocol::event::Completed;
use futures::stream::{BoxStream, unfold};
use futures::{Stream, StreamExt};
use serde::Serialize;

use super::error::ApiError;
use super::usage::Used;

/// Something to be told.
#[derive(Debug, PartialEq)]
pub(super) enum Said {
    /// More of the answer.
    Text(String),
    /// More of what the model thinks.
    Thought(String),
    /// That was all.
    Ended(Ended),
}

/// How an answer ends.
#[derive(Debug, PartialEq)]
pub(super) enum Ended {
    /// The model has said what it wanted, or could.
    Finished { finish: Finish, used: Used },
    /// It waits for results.
    Called {
        calls: Vec<FunctionCall>,
        used: Used,
    },
    /// It does not end.
    Broken(ApiError),
}

/// Why an answer is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Finish {
    /// The model was done.
    Stop,
    /// It ran out of room.
    Length,
    /// It calls functions.
    ToolCalls,
    /// It would not go on.
    ContentFilter,
}

/// What is told of an answer, in its order. The last is [`Said::Ended`], and nothing comes after it.
/// `spoken`: where it begins. `thoughts`: whether what the model thinks before it speaks is told. What
/// it thinks later is not: there are clients that take only what comes after a thought for the answer.
pub(super) fn said(
    events: BoxStream<'static, ReplyEvent>,
    spoken: Spoken,
    thoughts: bool,
) -> impl Stream<Item = Said> + Send + 'static {
    let hearing = Hearing {
        thoughts,
        spoken,
        thought: None,
        end: None,
    };
    unfold(Some((events, hearing)), async |state| {
        let (mut events, mut hearing) = state?;
        if let Some(end) = hearing.end.take() {
            return Some((Said::Ended(end), None));
        }
        loop {
            let Some(event) = events.next().await else {
                let message = "the answer broke off: the gateway stops, or the session has ended";
                let error = ApiError::of_kind(FailureKind::Unavailable, message);
                return Some((Said::Ended(Ended::Broken(error)), None));
            };
            let Some(said) = hearing.hear(event.event) else {
                continue;
            };
            let is_last = matches!(said, Said::Ended(_));
            return Some((said, (!is_last).then_some((events, hearing))));
        }
    })
}

struct Hearing {
    thoughts: bool,
    spoken: Spoken,
    /// The message and block of which something was thought last.
    thought: Option<(String, u64)>,
    /// What follows the last words.
    end: Option<Ended>,
}

impl Hearing {
    fn hear(&mut self, event: Event) -> Option<Said> {
        if let Some(text) = self.spoken.hear(&event) {
            if let Event::Completed(completed) = &event {
                self.end = Some(finished(completed));
            }
            return Some(Said::Text(text));
        }
        let ended = match event {
            Event::Completed(completed) if self.spoken.is_in_form() => formless(&completed),
            Event::Completed(completed) => finished(&completed),
            Event::FunctionCalls { calls, usage, .. } => Ended::Called {
                calls,
                used: Used::by_calls(usage),
            },
            Event::Failed(failed) => Ended::Broken(ApiError::of_turn(&failed)),
            Event::Gap { .. } => {
                let message = "a part of the answer is lost: it was read too slowly";
                Ended::Broken(ApiError::of_kind(FailureKind::Unavailable, message))
            }
            Event::ThinkingDelta {
                message_id,
                block,
                text,
            } => return self.think((message_id, block), text),
            Event::Started { .. }
            | Event::TextDelta { .. }
            | Event::Text { .. }
            | Event::Retract { .. }
            | Event::ToolUse { .. }
            | Event::ToolResult { .. }
            | Event::PermissionRequest { .. }
            | Event::PermissionResolved { .. }
            | Event::Status { .. }
            | Event::Other { .. } => return None,
        };
        Some(Said::Ended(ended))
    }

    fn think(&mut self, block: (String, u64), text: String) -> Option<Said> {
        if !self.thoughts || text.is_empty() || !self.spoken.text().is_empty() {
            return None;
        }
        let last = self.thought.as_ref();
        let begins_anew = last.is_some_and(|last| *last != block);
        self.thought = Some(block);
        Some(Said::Thought(if begins_anew {
            format!("\n\n{text}")
        } else {
            text
        }))
    }
}

/// It was to be in a form, and has none.
fn formless(completed: &Completed) -> Ended {
    let ended = finished(completed);
    match ended {
        Ended::Finished {
            finish: Finish::Length | Finish::ContentFilter,
            ..
        } => ended,
        Ended::Finished { .. } | Ended::Called { .. } | Ended::Broken(_) => {
            let message = "the model gave no answer that fits response_format.json_schema";
            Ended::Broken(ApiError::of_kind(FailureKind::Internal, message))
        }
    }
}

fn finished(completed: &Completed) -> Ended {
    let finish = match completed.stop_reason.as_deref() {
        Some("max_tokens" | "model_context_window_exceeded") => Finish::Length,
        Some("refusal") => Finish::ContentFilter,
        Some(_) | None => Finish::Stop,
    };
    Ended::Finished {
        finish,
        used: Used::by_end(completed),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use ccpool::provider::Conversation;
    use ccpool::{OutputSchema, TurnId};
    use serde_json::{Value, json};

    use super::*;

    /// A stream of events, given as they are written.
    pub(in crate::http::openai) fn events(events: Vec<Value>) -> BoxStream<'static, ReplyEvent> {
        let event = |event| ReplyEvent {
            event: serde_json::from_value(event).expect("an event"),
            turn: TurnId::new("t1").expect("a turn"),
            seq: 1,
            at: 1,
            origin: None,
        };
        let events: Vec<ReplyEvent> = events.into_iter().map(event).collect();
        futures::stream::iter(events).boxed()
    }

    async fn all(events_: Vec<Value>, thoughts: bool) -> Vec<Said> {
        said(events(events_), Spoken::default(), thoughts)
            .collect()
            .await
    }

    fn delta(kind: &str, message: &str, block: u64, text: &str) -> Value {
        json!({"type": kind, "messageId": message, "block": block, "text": text})
    }

    fn completed(stop_reason: Option<&str>) -> Value {
        json!({"type": "completed", "text": "hi", "usage": {"inputTokens": 3, "outputTokens": 2},
            "costUsd": 0.0, "durationMs": 1, "session": "", "stopReason": stop_reason})
    }

    fn finish(finish: Finish) -> Said {
        let completed = serde_json::from_value(completed(None)).unwrap();
        let used = Used::by_end(&completed);
        Said::Ended(Ended::Finished { finish, used })
    }

    #[tokio::test]
    async fn an_answer_is_its_words_and_its_end() {
        let heard = all(
            vec![
                json!({"type": "started", "model": "m", "cliSessionId": "c"}),
                delta("thinking_delta", "m1", 0, "hm"),
                delta("text_delta", "m1", 1, "h"),
                delta("text_delta", "m1", 1, "i"),
                json!({"type": "text", "messageId": "m1", "text": "hi"}),
                json!({"type": "tool_use", "toolUseId": "t", "name": "Bash", "input": {}}),
                json!({"type": "status", "status": "notice", "detail": {}}),
                completed(Some("end_turn")),
                delta("text_delta", "m1", 1, "after the end"),
            ],
            true,
        );
        let text = |text: &str| Said::Text(text.to_owned());
        assert_eq!(
            heard.await,
            [
                Said::Thought("hm".to_owned()),
                text("h"),
                text("i"),
                finish(Finish::Stop)
            ]
        );
    }

    #[tokio::test]
    async fn thoughts_are_told_when_they_are_wanted() {
        let events = || {
            vec![
                delta("thinking_delta", "m1", 0, "a"),
                delta("thinking_delta", "m1", 0, ""),
                delta("thinking_delta", "m1", 0, "b"),
                delta("thinking_delta", "m2", 0, "c"),
                completed(None),
            ]
        };
        let thought = |text: &str| Said::Thought(text.to_owned());
        assert_eq!(
            all(events(), true).await,
            [
                thought("a"),
                thought("b"),
                thought("\n\nc"),
                finish(Finish::Stop)
            ]
        );
        assert_eq!(all(events(), false).await, [finish(Finish::Stop)]);
    }

    #[tokio::test]
    async fn once_it_speaks_its_thoughts_are_its_own() {
        let heard = all(
            vec![
                delta("thinking_delta", "m1", 0, "a"),
                delta("text_delta", "m1", 1, "b"),
                delta("thinking_delta", "m1", 2, "c"),
                delta("thinking_delta", "m2", 0, "d"),
                delta("text_delta", "m2", 1, "e"),
                completed(None),
            ],
            true,
        );
        let (a, b, e) = ("a".to_owned(), "b".to_owned(), "\n\ne".to_owned());
        assert_eq!(
            heard.await,
            [
                Said::Thought(a),
                Said::Text(b),
                Said::Text(e),
                finish(Finish::Stop)
            ]
        );
    }

    #[tokio::test]
    async fn reasons_to_stop() {
        for (reason, is) in [
            (Some("end_turn"), Finish::Stop),
            (Some("stop_sequence"), Finish::Stop),
            (None, Finish::Stop),
            (Some("max_tokens"), Finish::Length),
            (Some("model_context_window_exceeded"), Finish::Length),
            (Some("refusal"), Finish::ContentFilter),
        ] {
            assert_eq!(
                all(vec![completed(reason)], true).await,
                [finish(is)],
                "{reason:?}"
            );
        }
    }

    #[tokio::test]
    async fn an_answer_in_a_form_is_that_and_nothing_else() {
        let schema = json!({"properties": {"town": {"type": "string"}}});
        let Value::Object(schema) = schema else {
            unreachable!()
        };
        let conversation = Conversation {
            output_schema: Some(OutputSchema::new(schema).unwrap()),
            ..Conversation::default()
        };
        let heard = async |output: Value, stop_reason: &str| {
            let mut end = completed(Some(stop_reason));
            end["structuredOutput"] = output;
            let told = vec![
                delta("text_delta", "m1", 0, "Let me see."),
                delta("thinking_delta", "m1", 1, "Bonn?"),
                end,
            ];
            let spoken = Spoken::of(&conversation);
            let heard: Vec<Said> = said(events(told), spoken, true).collect().await;
            heard
        };
        let thought = || Said::Thought("Bonn?".to_owned());
        let answer = Said::Text(r#"{"town":"Bonn"}"#.to_owned());
        assert_eq!(
            heard(json!({"town": "Bonn"}), "tool_use").await,
            [thought(), answer, finish(Finish::Stop)]
        );
        let formless = heard(Value::Null, "end_turn").await;
        let [first, Said::Ended(Ended::Broken(error))] = &formless[..] else {
            panic!("{formless:?}");
        };
        assert_eq!(*first, thought());
        assert_eq!(json!(error.body())["error"]["code"], "internal");
        assert_eq!(
            heard(Value::Null, "max_tokens").await,
            [thought(), finish(Finish::Length)]
        );
    }

    #[tokio::test]
    async fn calls_end_an_answer() {
        let call = json!({"id": "c1", "name": "f", "arguments": {"a": 1}});
        let heard = all(
            vec![json!({"type": "function_calls", "calls": [call], "usage": {"inputTokens": 7}})],
            true,
        )
        .await;
        let [Said::Ended(Ended::Called { calls, used })] = &heard[..] else {
            panic!("{heard:?}");
        };
        assert_eq!(serde_json::to_value(calls).unwrap(), json!([call]));
        assert_eq!(serde_json::to_value(used).unwrap()["prompt_tokens"], 7);
    }

    #[tokio::test]
    async fn what_does_not_end_well_is_broken() {
        let failed = |kind: &str| {
            json!({"type": "failed", "kind": kind, "message": "why", "visibleOutput": true,
                "toolEffects": false})
        };
        let gap = json!({"type": "gap", "from": 1, "to": 5});
        for (events, code) in [
            (vec![failed("stalled")], "stalled"),
            (vec![failed("interrupted")], "interrupted"),
            (vec![gap, completed(None)], "unavailable"),
            (vec![delta("text_delta", "m", 0, "x")], "unavailable"),
        ] {
            let heard = all(events, true).await;
            let Some(Said::Ended(Ended::Broken(error))) = heard.last() else {
                panic!("{heard:?}");
            };
            let body = serde_json::to_value(error.body()).unwrap();
            assert_eq!(body["error"]["code"], code);
        }
    }
}
