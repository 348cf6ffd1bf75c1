//! When the caller is told of calls of its functions: once for each message of the model's, when that
//! is complete.

use std::collections::HashSet;

use serde_json::Value;

use super::{Ending, Fold};
use crate::event::Event;
use crate::function::{Call, FunctionCall, is_server, of_cli};
use crate::line::AbandonedBlocks;

/// The calls of a turn.
#[derive(Debug, Default)]
pub(super) struct Calls {
    /// The message that is being streamed, and the block that it is in.
    streamed: Option<(String, u64)>,
    /// Calls of which the caller has not been told, in their order.
    untold: Vec<Untold>,
    told: HashSet<String>,
}

#[derive(Debug)]
struct Untold {
    message: String,
    block: u64,
    call: FunctionCall,
}

impl Calls {
    /// A message is streamed from here on. Returns the calls of one whose end has not come.
    pub(super) fn begin(&mut self, message: &str) -> Vec<FunctionCall> {
        self.streamed = Some((message.to_owned(), 0));
        self.tell(|untold| untold.message != message)
    }

    /// The stream is in this block.
    pub(super) fn enter(&mut self, block: u64) {
        if let Some((_, current)) = &mut self.streamed {
            *current = block;
        }
    }

    /// The streamed message is complete, but for what does not count of it. Returns its calls.
    pub(super) fn stop(&mut self, dead: Option<&AbandonedBlocks>) -> Vec<FunctionCall> {
        self.streamed = None;
        if let Some(dead) = dead {
            self.untold.retain(|untold| {
                untold.message != dead.api_message_id || untold.block < dead.from_block_index
            });
        }
        self.tell(|_| true)
    }

    /// A block of a message of the main thread calls a tool.
    pub(super) fn add(&mut self, message: &str, id: &str, name: &str, input: &Value) {
        let Some(name) = of_cli(name) else { return };
        if self.told.contains(id) || self.untold.iter().any(|untold| untold.call.id == id) {
            return;
        }
        let block = match &self.streamed {
            Some((streamed, block)) if streamed == message => *block,
            Some(_) | None => 0,
        };
        self.untold.push(Untold {
            message: message.to_owned(),
            block,
            call: FunctionCall {
                id: id.to_owned(),
                name: name.to_owned(),
                arguments: input.clone(),
            },
        });
    }

    /// The CLI carries out a call: a subagent's, which is told alone, or one of a message that was
    /// not streamed, which is complete then.
    pub(super) fn asked(&mut self, asked: Call) -> Vec<FunctionCall> {
        if self.told.contains(&asked.call.id) {
            return Vec::new();
        }
        let mut untold = self.untold.iter();
        let Some(of) = untold.find(|untold| untold.call.id == asked.call.id) else {
            self.told.insert(asked.call.id.clone());
            return vec![asked.call];
        };
        let message = of.message.clone();
        match &self.streamed {
            Some((streamed, _)) if *streamed == message => Vec::new(),
            Some(_) | None => self.tell(|untold| untold.message == message),
        }
    }

    /// A tool has had its result, from wherever: nobody is to be asked for it.
    pub(super) fn answered(&mut self, id: &str) {
        self.untold.retain(|untold| untold.call.id != id);
    }

    fn tell(&mut self, which: impl Fn(&Untold) -> bool) -> Vec<FunctionCall> {
        let which = |untold: &mut Untold| which(untold);
        let calls = self.untold.extract_if(.., which).map(|untold| untold.call);
        let calls: Vec<FunctionCall> = calls.collect();
        self.told.extend(calls.iter().map(|call| call.id.clone()));
        calls
    }
}

impl Fold {
    /// The CLI carries out a call of one of the caller's functions.
    pub(super) fn called(&mut self, server: &str, message: &Value) -> Vec<Event> {
        let call = Call::of(message).filter(|_| is_server(server));
        let calls = call.map_or_else(Vec::new, |call| self.current.calls.asked(call));
        self.tell(calls).into_iter().collect()
    }

    /// Calls of the caller's functions. As with endings, whoever hears the CLI decides when.
    pub(super) fn tell(&mut self, calls: Vec<FunctionCall>) -> Option<Event> {
        match self.ending {
            Ending::ByResult if !calls.is_empty() => Some(Event::FunctionCalls {
                calls,
                expires_at: None,
                usage: self.current.spending.call(),
            }),
            Ending::ByResult | Ending::ByWrapper => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::TurnId;
    use crate::event::Usage;
    use crate::line::{Line, WrapperLine};

    /// What the caller is told, after which of these lines.
    fn told(lines: &[Value]) -> Vec<(usize, Vec<String>)> {
        let turn = TurnId::new("t1").unwrap();
        let mut fold = Fold::new(Ending::ByResult);
        let mut told = Vec::new();
        for (seq, line) in (0_u64..).zip(lines) {
            let line = Line::parse(&line.to_string()).unwrap();
            let stamp = super::super::Stamp {
                turn: &turn,
                seq,
                at: 0,
            };
            for event in fold.push(stamp, line) {
                if let Event::FunctionCalls {
                    calls,
                    expires_at,
                    usage,
                } = event.event
                {
                    assert_eq!((expires_at, usage), (None, None));
                    let ids = calls.into_iter().map(|call| call.id).collect();
                    told.push((usize::try_from(seq).unwrap(), ids));
                }
            }
        }
        told
    }

    fn stream(message: &str, event: &Value) -> Value {
        json!({"type": "stream_event", "event": event, "api_message_id": message})
    }

    fn start(message: &str) -> Value {
        let head = json!({"id": message});
        stream(message, &json!({"type": "message_start", "message": head}))
    }

    fn block(message: &str, index: u64) -> Value {
        let event = json!({"type": "content_block_start", "index": index});
        stream(message, &event)
    }

    fn stop(message: &str) -> Value {
        stream(message, &json!({"type": "message_stop"}))
    }

    fn stop_from(message: &str, from: u64) -> Value {
        let mut line = stop(message);
        line["abandoned_blocks"] = json!({"api_message_id": message, "from_block_index": from});
        line
    }

    fn calls(message: &str, id: &str, name: &str) -> Value {
        let block = json!({"type": "tool_use", "id": id, "name": name, "input": {"x": 1}});
        json!({"type": "assistant", "message": {"id": message, "content": [block]}})
    }

    fn asked(id: &str) -> Value {
        let params = json!({"name": "f", "_meta": {"claudecode/toolUseId": id}});
        let message = json!({"id": 7, "method": "tools/call", "params": params});
        json!({"type": "control_request", "request_id": "r", "request":
            {"subtype": "mcp_message", "server_name": "client", "message": message}})
    }

    fn result(id: &str) -> Value {
        let block = json!({"type": "tool_result", "tool_use_id": id, "content": "no"});
        json!({"type": "user", "message": {"content": [block]}})
    }

    const F: &str = "mcp__client__f";

    #[test]
    fn all_of_a_message_at_its_end() {
        let lines = [
            start("m1"),
            block("m1", 0),
            calls("m1", "a", F),
            asked("a"),
            block("m1", 1),
            calls("m1", "x", "Bash"),
            block("m1", 2),
            calls("m1", "b", "mcp__client2__g"),
            stop("m1"),
            asked("b"),
        ];
        assert_eq!(told(&lines), [(8, vec!["a".into(), "b".into()])]);
    }

    /// The repeat of a broken stream, and what a subagent calls: neither is streamed.
    #[test]
    fn without_a_stream_when_it_is_asked() {
        let mut subagents = calls("m3", "c", F);
        subagents["parent_tool_use_id"] = json!("toolu_agent");
        let lines = [
            calls("m2", "a", F),
            calls("m2", "b", F),
            asked("a"),
            asked("b"),
            subagents,
            asked("c"),
            asked("c"),
        ];
        let ids = |ids: &[&str]| ids.iter().map(|&id| id.to_owned()).collect::<Vec<_>>();
        assert_eq!(told(&lines), [(2, ids(&["a", "b"])), (5, ids(&["c"]))]);
    }

    #[test]
    fn what_does_not_count_is_not_told() {
        let lines = [
            start("m1"),
            block("m1", 0),
            calls("m1", "a", F),
            block("m1", 1),
            calls("m1", "b", F),
            stop_from("m1", 1),
        ];
        assert_eq!(told(&lines), [(5, vec!["a".to_owned()])]);
        let refused = [start("m1"), calls("m1", "a", F), result("a"), stop("m1")];
        assert_eq!(told(&refused), []);
    }

    /// The end of a message was lost.
    #[test]
    fn the_next_message_ends_the_last_one() {
        let lines = [start("m1"), calls("m1", "a", F), start("m2"), stop("m2")];
        assert_eq!(told(&lines), [(2, vec!["a".to_owned()])]);
    }

    #[test]
    fn readers_are_told_by_the_wrapper() {
        let turn = TurnId::new("t1").unwrap();
        let mut fold = Fold::new(Ending::ByWrapper);
        let stamp = super::super::Stamp {
            turn: &turn,
            seq: 1,
            at: 0,
        };
        for line in [start("m1"), calls("m1", "a", F), stop("m1"), asked("a")] {
            for event in fold.push(stamp, Line::parse(&line.to_string()).unwrap()) {
                assert_eq!(event.event.type_name(), "tool_use");
            }
        }
        let usage = Some(Usage {
            input_tokens: 7,
            ..Usage::default()
        });
        let line = WrapperLine::FunctionCalls {
            calls: Vec::new(),
            expires_at: Some(5),
            usage,
        };
        let events = fold.push(stamp, Line::parse(&line.to_json()).unwrap());
        let told = Event::FunctionCalls {
            calls: Vec::new(),
            expires_at: Some(5),
            usage,
        };
        assert_eq!(
            events.into_iter().map(|e| e.event).collect::<Vec<_>>(),
            [told]
        );
    }
}
