//! The server of the caller's functions, in MCP: `claude` asks it over its stdout, and is answered
//! on its stdin.

use ccpool_protocol::event::{Event, Usage};
use ccpool_protocol::function::{Call, FunctionCall, FunctionResult, is_server};
use ccpool_protocol::line::{Asked, ControlRequest, Line, WrapperLine};
use ccpool_protocol::stdin::StdinLine;
use ccpool_protocol::{FailureKind, TurnId, UnixMs};
use serde_json::{Value, json};

use super::{Session, Stage};
use crate::effects::Effects;
use crate::functions::{Question, failed, listed};

/// What JSON-RPC calls a method that nobody knows.
const UNKNOWN_METHOD: i32 = -32601;

/// A version of MCP, for a client that names none.
const VERSION: &str = "2025-11-25";

impl Session {
    /// Names the calls that wait for the caller.
    pub(crate) fn open_calls(&self) -> impl Iterator<Item = &String> {
        self.functions.waiting().map(|waiting| &waiting.id)
    }

    /// Whether the turn waits for somebody: an answer to a question, or the result of a function.
    pub(crate) fn is_waiting(&self) -> bool {
        self.is_asking() || self.open_calls().next().is_some()
    }

    /// `claude` has a message for the server.
    pub(super) fn served(&mut self, line: Line, now: UnixMs, out: &mut Effects) {
        let Line::ControlRequest(ControlRequest {
            request_id,
            request:
                Asked::McpMessage {
                    server_name,
                    message,
                },
        }) = &line
        else {
            return;
        };
        if !is_server(server_name) {
            out.write(&StdinLine::refuse(request_id, "there is no such server"));
            return;
        }
        let question = Question {
            request_id: request_id.clone(),
            rpc: message["id"].clone(),
        };
        let result = match message["method"].as_str().unwrap_or_default() {
            "initialize" => json!({
                "protocolVersion": message["params"]["protocolVersion"].as_str().unwrap_or(VERSION),
                "capabilities": {"tools": {}},
                "serverInfo": {"name": server_name, "version": env!("CARGO_PKG_VERSION")},
            }),
            "tools/list" => listed(self.functions.served()),
            "tools/call" => match Call::of(message) {
                Some(call) => return self.called(call, question, line, now, out),
                None => failed("this call has no name"),
            },
            "notifications/cancelled" => {
                let cancelled = message["params"]["requestId"].clone();
                self.functions.cancelled(&cancelled, out);
                json!({})
            }
            "ping" => json!({}),
            notification if notification.starts_with("notifications/") => json!({}),
            _ => {
                let error = json!({"code": UNKNOWN_METHOD, "message": "there is no such method"});
                return reply(&question, "error", &error, out);
            }
        };
        reply(&question, "result", &result, out);
    }

    /// `claude` carries out a call, in its running turn.
    fn called(
        &mut self,
        call: Call,
        question: Question,
        line: Line,
        now: UnixMs,
        out: &mut Effects,
    ) {
        let Call { call, .. } = call;
        let known = |name: &str| self.functions.served().iter().any(|tool| tool.name == name);
        let refusal = match (&self.stage, known(&call.name)) {
            // Also what a background task calls after its turn.
            (Stage::Idle | Stage::Closed(_), _) => Some("nobody waits for this any more"),
            (Stage::Running(_), false) => Some("there is no such function any more"),
            (Stage::Running(running), true) if running.verdict.is_some() => {
                Some("the turn was interrupted")
            }
            (Stage::Running(_), true) => None,
        };
        if let Some(why) = refusal {
            return reply(&question, "result", &failed(why), out);
        }
        let Some(turn) = self.running_turn() else {
            return;
        };
        for event in self.chronicle.fold(&turn, line, now, out) {
            self.heard(&turn, &event.event, now, out);
        }
        if let Some((question, result)) = self.functions.ask(&call.id, question) {
            reply(&question, "result", &result, out);
        }
    }

    /// What an event of the running turn means for calls.
    pub(super) fn heard(&mut self, turn: &TurnId, event: &Event, now: UnixMs, out: &mut Effects) {
        if let Event::FunctionCalls { calls, usage, .. } = event {
            self.tell_calls(turn, calls, *usage, now, out);
        } else if let Event::ToolResult { tool_use_id, .. } = event {
            self.functions.answered(tool_use_id, out);
        }
    }

    /// The caller is told of calls; of those that `claude` can make.
    fn tell_calls(
        &mut self,
        turn: &TurnId,
        calls: &[FunctionCall],
        usage: Option<Usage>,
        now: UnixMs,
        out: &mut Effects,
    ) {
        let served = self.functions.served();
        let known = |call: &&FunctionCall| served.iter().any(|tool| tool.name == call.name);
        let calls: Vec<FunctionCall> = calls.iter().filter(known).cloned().collect();
        if calls.is_empty() {
            return;
        }
        // First the state: who is told can give results at once.
        let at = (turn, self.chronicle.seq() + 1);
        self.functions.told(&calls, at, now, out);
        let line = WrapperLine::FunctionCalls {
            calls,
            expires_at: Some(self.functions.expiry(now)),
            usage,
        };
        self.chronicle.say(turn, &line, now, out);
    }

    /// The caller gives results.
    pub(super) fn give(&mut self, ticket: &str, results: Vec<FunctionResult>, out: &mut Effects) {
        // A process on its way out takes nothing; its end forgets what it asked.
        let results = match self.away {
            true => Vec::new(),
            false => results,
        };
        for (question, result) in self.functions.give(ticket, results, out) {
            reply(&question, "result", &result, out);
        }
    }

    /// The result of this call has not come in time: the turn ends.
    pub(crate) fn give_up_call(&mut self, id: &str, out: &mut Effects) -> Option<String> {
        let name = self.functions.awaited(id)?.name.clone();
        let message = format!(
            "the caller did not give the result of `{name}` within {}",
            self.functions.patience()
        );
        self.abort(FailureKind::Timeout, message.clone(), out);
        // After the interrupt, which withdraws them; a background task is told so.
        self.forget_calls(out);
        Some(message)
    }

    /// The turn is over, and with it what was called in it. Should the CLI still wait, as for what a
    /// background task has called, it is told so.
    pub(super) fn forget_calls(&mut self, out: &mut Effects) {
        for question in self.functions.forget(out) {
            reply(&question, "result", &failed("the turn is over"), out);
        }
    }

    /// `claude` is gone, and what it had called with it.
    pub(super) fn forget_calls_untold(&mut self, out: &mut Effects) {
        self.functions.forget(out);
    }
}

/// Answers the server's client.
fn reply(question: &Question, kind: &str, value: &Value, out: &mut Effects) {
    let mut response = json!({"jsonrpc": "2.0", kind: value});
    // A notification has no name.
    if !question.rpc.is_null() {
        response["id"] = question.rpc.clone();
    }
    let response = json!({"mcp_response": response});
    out.write(&StdinLine::answer(&question.request_id, &response));
}
