//! A streamed answer, written chunk by chunk: `data:` lines of server-sent events.

use std::fmt::Write as _;

use ccpool::provider::{FunctionCall, plain_call_id};
use serde::Serialize;

use super::answer::Identity;
use super::error::ApiError;
use super::said::{Ended, Finish, Said};
use super::tool::written_arguments;
use super::usage::Used;

const DONE: &str = "data: [DONE]\n\n";

/// Writes the chunks of one answer.
#[derive(Debug)]
pub(super) struct Chunks {
    identity: Identity,
    include_usage: bool,
}

#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: &'a [Choice<'a>],
    /// With `include_usage`: `null` on all but the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<Used>>,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    delta: Delta<'a>,
    logprobs: Option<()>,
    finish_reason: Option<Finish>,
}

#[derive(Default, Serialize)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[CallDelta<'a>; 1]>,
}

#[derive(Serialize)]
struct CallDelta<'a> {
    index: usize,
    id: String,
    #[serde(rename = "type")]
    call_type: &'static str,
    function: FunctionDelta<'a>,
}

#[derive(Serialize)]
struct FunctionDelta<'a> {
    name: &'a str,
    arguments: String,
}

impl Chunks {
    pub(super) fn new(identity: Identity, include_usage: bool) -> Self {
        Self {
            identity,
            include_usage,
        }
    }

    /// The first one: somebody is about to speak.
    pub(super) fn begin(&self, text: &mut String) {
        let delta = Delta {
            role: Some("assistant"),
            content: Some(""),
            ..Delta::default()
        };
        self.delta(text, delta, None);
    }

    /// One that says nothing. Not a comment: there are clients whose patience only chunks renew. With a
    /// choice, since most look at the first one unasked.
    pub(super) fn keep_alive(&self, text: &mut String) {
        self.delta(text, Delta::default(), None);
    }

    /// The ones that tell this. Whether it was the last.
    pub(super) fn tell(&self, text: &mut String, said: &Said) -> bool {
        match said {
            Said::Text(words) => {
                let content = Some(words.as_str());
                let delta = Delta {
                    content,
                    ..Delta::default()
                };
                self.delta(text, delta, None);
            }
            Said::Thought(words) => {
                let reasoning_content = Some(words.as_str());
                let delta = Delta {
                    reasoning_content,
                    ..Delta::default()
                };
                self.delta(text, delta, None);
            }
            Said::Ended(ended) => {
                self.end(text, ended);
                return true;
            }
        }
        false
    }

    fn end(&self, text: &mut String, ended: &Ended) {
        let (finish, used) = match ended {
            Ended::Finished { finish, used } => (*finish, *used),
            Ended::Called { calls, used } => {
                for (index, call) in calls.iter().enumerate() {
                    self.call(text, index, call);
                }
                (Finish::ToolCalls, *used)
            }
            Ended::Broken(error) => return broken(text, error),
        };
        self.delta(text, Delta::default(), Some(finish));
        if self.include_usage {
            self.chunk(text, &[], Some(used));
        }
        text.push_str(DONE);
    }

    /// In one piece: a call is known only when it is complete.
    fn call(&self, text: &mut String, index: usize, call: &FunctionCall) {
        let call = CallDelta {
            index,
            id: plain_call_id(&call.id),
            call_type: "function",
            function: FunctionDelta {
                name: &call.name,
                arguments: written_arguments(call),
            },
        };
        let delta = Delta {
            tool_calls: Some([call]),
            ..Delta::default()
        };
        self.delta(text, delta, None);
    }

    fn delta(&self, text: &mut String, delta: Delta<'_>, finish_reason: Option<Finish>) {
        let choice = Choice {
            index: 0,
            delta,
            logprobs: None,
            finish_reason,
        };
        self.chunk(text, &[choice], None);
    }

    fn chunk(&self, text: &mut String, choices: &[Choice<'_>], usage: Option<Used>) {
        let chunk = Chunk {
            id: &self.identity.id,
            object: "chat.completion.chunk",
            created: self.identity.created,
            model: &self.identity.model,
            choices,
            usage: self.include_usage.then_some(usage),
        };
        data(text, &chunk);
    }
}

/// An error, and nothing after it: no `[DONE]`, and no reason to stop that looks like a good one.
fn broken(text: &mut String, error: &ApiError) {
    data(text, error.body());
}

fn data(text: &mut String, value: &impl Serialize) {
    let json = serde_json::to_string(value).expect("it has string keys");
    write!(text, "data: {json}\n\n").expect("a string takes everything");
}

#[cfg(test)]
mod tests {
    use ccpool_protocol::FailureKind;
    use ccpool_protocol::event::{Completed, Usage};
    use serde_json::json;

    use super::*;

    const USAGE: Usage = Usage {
        input_tokens: 3,
        output_tokens: 2,
        cache_creation_input_tokens: 0,
        cache_read_input_tokens: 0,
    };

    fn written(include_usage: bool, said: &[Said]) -> Vec<String> {
        let identity = Identity {
            id: "chatcmpl-1".to_owned(),
            created: 1_700_000_000,
            model: "docker-claude-code/opus".to_owned(),
        };
        let chunks = Chunks::new(identity, include_usage);
        let mut text = String::new();
        chunks.begin(&mut text);
        let ends: Vec<bool> = said
            .iter()
            .map(|said| chunks.tell(&mut text, said))
            .collect();
        assert_eq!(ends.iter().filter(|end| **end).count(), 1);
        assert_eq!(ends.last(), Some(&true));
        let whole = text.strip_suffix("\n\n").expect("the last one ends");
        whole.split("\n\n").map(str::to_owned).collect()
    }

    fn finished() -> Said {
        let used = Used::by_end(&Completed {
            usage: USAGE,
            ..Completed::default()
        });
        let finish = Finish::Stop;
        Said::Ended(Ended::Finished { finish, used })
    }

    #[test]
    fn an_answer_with_thoughts_and_words() {
        let said = vec![
            Said::Thought("hm".to_owned()),
            Said::Text("two\nlines".to_owned()),
            finished(),
        ];
        insta::assert_json_snapshot!(written(false, &said));
    }

    #[test]
    fn usage_comes_last_when_it_is_asked_for() {
        let said = [Said::Text("hi".to_owned()), finished()];
        insta::assert_json_snapshot!(written(true, &said));
    }

    #[test]
    fn calls() {
        let call = |id: &str, arguments| FunctionCall {
            id: id.to_owned(),
            name: "get_weather".to_owned(),
            arguments,
        };
        let rome = json!({"city": "Rome"});
        let calls = vec![call("toolu_01A", rome), call("toolu_02B", json!({}))];
        let used = Used::by_calls(Some(USAGE));
        let said = [Said::Ended(Ended::Called { calls, used })];
        insta::assert_json_snapshot!(written(true, &said));
    }

    #[test]
    fn what_breaks_says_so_and_never_stops_well() {
        let error = ApiError::of_kind(FailureKind::ContainerLost, "the container ended");
        let said = vec![
            Said::Text("I was ab".to_owned()),
            Said::Ended(Ended::Broken(error)),
        ];
        let written = written(true, &said);
        insta::assert_json_snapshot!(written);
        let all = written.concat();
        assert!(
            !all.contains("[DONE]") && !all.contains("\"finish_reason\":\""),
            "{all}"
        );
    }
}
