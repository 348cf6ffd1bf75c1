//! From lines to reply events.
//!
//! One fold serves one session; it is pure, so the same lines always give the same events. The
//! wrapper folds what `claude` prints and writes down how each turn ended; readers fold the
//! envelopes and take the ending from there, so that it is decided once.

use serde_json::{Map, Value};

use crate::draft::Draft;
use crate::event::{Completed, Event, Failed, ReplyEvent, Status, Timings, Usage};
use crate::line::{
    Asked, Assistant, ControlRequest, Delta, Line, Message, RateLimit, StatusLine, StreamEvent,
    StreamLine, TurnResult, User,
};
use crate::{FailureKind, TurnId, UnixMs, cli, outcome};
use turn::Turn;

mod calls;
mod own;
mod spending;
mod turn;

/// Who decides that a turn has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The CLI's `result` line: for the wrapper, and for recorded stdout.
    ByResult,
    /// The wrapper's terminal line: for readers of envelopes.
    ByWrapper,
}

/// Where a line stands.
#[derive(Debug, Clone, Copy)]
pub struct Stamp<'a> {
    /// The turn it belongs to.
    pub turn: &'a TurnId,
    /// Its number in the session.
    pub seq: u64,
    /// When it was read.
    pub at: UnixMs,
}

/// The state of a session as far as its lines tell.
#[derive(Debug)]
pub struct Fold {
    ending: Ending,
    turn: Option<TurnId>,
    current: Turn,
    draft: Draft,
    /// `total_cost_usd` of the last result: the CLI counts for the whole process.
    cost_so_far: f64,
}

impl Fold {
    /// An empty session.
    pub fn new(ending: Ending) -> Self {
        Self {
            ending,
            turn: None,
            current: Turn::default(),
            draft: match ending {
                Ending::ByResult => Draft::default(),
                Ending::ByWrapper => Draft::midway(),
            },
            cost_so_far: 0.0,
        }
    }

    /// Takes one line and tells what it means to a reader.
    pub fn push(&mut self, stamp: Stamp<'_>, line: Line) -> Vec<ReplyEvent> {
        if self.turn.as_ref() != Some(stamp.turn) {
            self.turn = Some(stamp.turn.clone());
            self.current = Turn {
                began_at: stamp.at,
                ..Turn::default()
            };
        }
        let events = self.events(stamp, line);
        events
            .into_iter()
            .map(|event| ReplyEvent {
                event,
                turn: stamp.turn.clone(),
                seq: stamp.seq,
                at: stamp.at,
                origin: self.current.origin.clone(),
            })
            .collect()
    }

    /// Whether a reader of the running turn has seen something of the answer.
    pub fn visible_output(&self) -> bool {
        self.current.visible_output
    }

    /// Whether a tool of the running turn has acted, or may have.
    pub fn tool_effects(&self) -> bool {
        self.current.may_have_acted()
    }

    /// Whether the turn of the last line has had its terminal event.
    pub fn turn_ended(&self) -> bool {
        self.current.ended
    }

    /// What the answer that the running turn gives has used so far, where that is known.
    pub fn answer_usage(&self) -> Option<Usage> {
        self.current.spending.answer()
    }

    /// When the turn of the last line began, and its stages so far.
    pub fn timings(&self) -> (UnixMs, Timings) {
        (self.current.began_at, self.current.timings)
    }

    /// The ending of the running turn when the CLI cannot give one any more.
    pub fn fail(&mut self, kind: FailureKind, message: impl Into<String>, at: UnixMs) -> Event {
        self.current.timings.result_ms = Some(at.saturating_sub(self.current.began_at));
        self.current.ended = true;
        Event::Failed(Box::new(Failed {
            kind,
            message: message.into(),
            visible_output: self.current.visible_output,
            tool_effects: self.current.may_have_acted(),
            retry_after_ms: self.current.retry_after_ms,
            usage: None,
            answer_usage: self.current.spending.answer(),
            cost_usd: None,
            timings: self.current.timings,
        }))
    }

    fn events(&mut self, stamp: Stamp<'_>, line: Line) -> Vec<Event> {
        match line {
            Line::Init(init) => self.init(init),
            Line::Status(status) => self.status(stamp, status),
            Line::Stream(line) if line.parent_tool_use_id.is_none() => self.stream(stamp, line),
            Line::Stream(_) => Vec::new(),
            Line::Assistant(line) => self.assistant(line),
            Line::User(line) => self.user(&line),
            Line::Result(result) => match self.ending {
                Ending::ByResult => self.result(stamp, *result),
                Ending::ByWrapper => Vec::new(),
            },
            Line::RateLimit(line) => self.rate_limit(stamp, line),
            Line::ControlRequest(request) => self.asked(request),
            Line::ControlCancel { request_id } => withdrawn(request_id),
            Line::Notice(notice) => self.notice(notice.status, notice.fields),
            Line::Wrapper(line) => self.wrapper(stamp, line),
            Line::Other(line) => vec![Event::Other { line }],
            Line::ControlResponse(_) | Line::Lifecycle { .. } | Line::Quiet => Vec::new(),
        }
    }

    fn init(&mut self, init: crate::line::Init) -> Vec<Event> {
        if std::mem::replace(&mut self.current.started, true) {
            return Vec::new();
        }
        vec![Event::Started {
            model: init.model,
            cli_session_id: init.session_id,
            claude_version: init.claude_code_version,
        }]
    }

    fn status(&mut self, stamp: Stamp<'_>, line: StatusLine) -> Vec<Event> {
        if line.status.as_deref() == Some("requesting") {
            let since = self.current.since(stamp.at);
            self.current.timings.request_ms.get_or_insert(since);
        }
        let status = match (line.status.as_deref(), &line.compact_result) {
            (Some("compacting"), _) => Status::Compacting,
            (_, Some(_)) => Status::Compacted,
            _ => return Vec::new(),
        };
        let fields = [
            ("compact_result", line.compact_result),
            ("compact_error", line.compact_error),
        ];
        let detail = fields
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), Value::String(value?))))
            .collect();
        vec![Event::Status { status, detail }]
    }

    fn stream(&mut self, stamp: Stamp<'_>, line: StreamLine) -> Vec<Event> {
        if let Some(id) = line.api_message_id {
            self.draft.join(id);
        }
        match line.event {
            StreamEvent::MessageStart { message } => {
                let calls = self.current.calls.begin(&message.id);
                let mut events: Vec<Event> = self.tell(calls).into_iter().collect();
                self.current.spending.begin(&message.id, &message.usage);
                events.extend(self.draft.begin(message.id));
                events
            }
            StreamEvent::ContentBlockStart { index } => {
                self.current.calls.enter(index);
                self.draft.enter(index);
                Vec::new()
            }
            StreamEvent::ContentBlockDelta { index, delta } => {
                let event = match delta {
                    Delta::TextDelta { text } => {
                        self.current.visible_output |= !text.is_empty();
                        self.draft.text(index, text)
                    }
                    Delta::ThinkingDelta { thinking } => self.draft.thinking(index, thinking),
                    Delta::Unseen => return Vec::new(),
                };
                let since = self.current.since(stamp.at);
                self.current.timings.first_delta_ms.get_or_insert(since);
                vec![event]
            }
            StreamEvent::MessageStop {} => {
                let dead = line.abandoned_blocks.as_ref();
                let calls = self.current.calls.stop(dead);
                let retract = dead.and_then(|dead| {
                    self.draft
                        .abandon(&dead.api_message_id, dead.from_block_index)
                });
                retract.into_iter().chain(self.tell(calls)).collect()
            }
            StreamEvent::MessageDelta { usage } => {
                self.current.spending.goes_on(&usage);
                Vec::new()
            }
            StreamEvent::ContentBlockStop { .. } | StreamEvent::Unknown => Vec::new(),
        }
    }

    fn assistant(&mut self, line: Assistant) -> Vec<Event> {
        if let Some(error) = line.error {
            let said = first_text(&line.message.content)
                .unwrap_or_default()
                .to_owned();
            self.current.error = Some((error, said));
            return self.draft.drop_unfinished().into_iter().collect();
        }
        if line.parent_tool_use_id.is_none() {
            let Message { id, usage, .. } = &line.message;
            self.current.spending.finished(id, usage);
        }
        let mut events = Vec::new();
        for block in blocks(&line.message.content) {
            let text =
                (block["type"] == "text").then(|| block["text"].as_str().unwrap_or_default());
            if line.parent_tool_use_id.is_none() {
                events.extend(self.draft.finish(&line.message.id, text));
                self.current.visible_output |= text.is_some_and(|text| !text.is_empty());
            }
            if let Some(text) = text {
                events.push(Event::Text {
                    message_id: line.message.id.clone(),
                    text: text.to_owned(),
                    parent_tool_use_id: line.parent_tool_use_id.clone(),
                });
            } else if block["type"] == "tool_use" {
                let tool_use_id = block["id"].as_str().unwrap_or_default().to_owned();
                let name = block["name"].as_str().unwrap_or_default();
                let calls = match name {
                    cli::OUTPUT_TOOL => &mut self.current.outputs,
                    _ => &mut self.current.open_tools,
                };
                calls.insert(tool_use_id.clone());
                if line.parent_tool_use_id.is_none() {
                    let calls = &mut self.current.calls;
                    calls.add(&line.message.id, &tool_use_id, name, &block["input"]);
                }
                events.push(Event::ToolUse {
                    tool_use_id,
                    name: name.to_owned(),
                    input: block["input"].clone(),
                    parent_tool_use_id: line.parent_tool_use_id.clone(),
                });
            }
        }
        events
    }

    fn user(&mut self, line: &User) -> Vec<Event> {
        let mut events = Vec::new();
        for block in blocks(&line.message.content) {
            if block["type"] != "tool_result" {
                continue;
            }
            let tool_use_id = block["tool_use_id"].as_str().unwrap_or_default().to_owned();
            let is_error = block["is_error"].as_bool().unwrap_or(false);
            let waited = self.current.waits(&tool_use_id);
            self.current.asked.retain(|_, tool| *tool != tool_use_id);
            self.current.open_tools.remove(&tool_use_id);
            self.current.calls.answered(&tool_use_id);
            let is_output = self.current.outputs.contains(&tool_use_id);
            self.current.tool_effects |= match line.decision(&tool_use_id) {
                _ if is_output => false,
                Some("accept") => true,
                Some("reject") => false,
                Some(_) | None => !(waited && is_error),
            };
            events.push(Event::ToolResult {
                tool_use_id,
                content: block["content"].clone(),
                is_error,
                parent_tool_use_id: line.parent_tool_use_id.clone(),
            });
        }
        events
    }

    fn asked(&mut self, line: ControlRequest) -> Vec<Event> {
        match line.request {
            Asked::CanUseTool(request) => {
                let asked = &mut self.current.asked;
                asked.insert(line.request_id.clone(), request.tool_use_id.clone());
                let expiry = self.current.expiry.take();
                let expiry = expiry.filter(|(id, _)| id.as_str() == line.request_id);
                vec![Event::PermissionRequest {
                    request_id: line.request_id,
                    tool_use_id: request.tool_use_id,
                    name: request.tool_name,
                    input: request.input,
                    reason: request.decision_reason,
                    suggestions: request.permission_suggestions,
                    expires_at: expiry.map(|(_, at)| at),
                }]
            }
            Asked::McpMessage {
                server_name,
                message,
            } => self.called(&server_name, &message),
            Asked::HookCallback {} | Asked::Elicitation {} | Asked::Unknown => Vec::new(),
        }
    }

    fn rate_limit(&mut self, stamp: Stamp<'_>, line: RateLimit) -> Vec<Event> {
        let info = line.rate_limit_info;
        if info.get("status").and_then(Value::as_str) == Some("rejected")
            && let Some(resets_at) = info.get("resetsAt").and_then(Value::as_u64)
        {
            self.current.retry_after_ms =
                Some(resets_at.saturating_mul(1000).saturating_sub(stamp.at));
        }
        vec![Event::Status {
            status: Status::RateLimit,
            detail: info,
        }]
    }

    fn notice(&mut self, status: Status, detail: Map<String, Value>) -> Vec<Event> {
        let mut events = Vec::new();
        if status == Status::Retry {
            events.extend(self.draft.drop_unfinished());
            self.current.retry_after_ms = detail.get("retry_delay_ms").and_then(Value::as_u64);
        }
        events.push(Event::Status { status, detail });
        events
    }

    fn result(&mut self, stamp: Stamp<'_>, result: TurnResult) -> Vec<Event> {
        if self.current.ended {
            return Vec::new();
        }
        let mut events: Vec<Event> = self.draft.drop_unfinished().into_iter().collect();
        if let Some(origin) = &result.origin
            && self.current.origin.is_none()
        {
            self.current.origin = Some(origin.kind.clone());
        }
        // Infinity could not be written down.
        let cost_usd = (result.total_cost_usd - self.cost_so_far).clamp(0.0, f64::MAX);
        self.cost_so_far = result.total_cost_usd;
        self.current.ended = true;
        self.current.timings.result_ms = Some(self.current.since(stamp.at));
        let usage = result.usage;
        let answer_usage = self.current.spending.answer();
        events.push(if outcome::succeeded(&result) {
            Event::Completed(Box::new(Completed {
                text: result.result.unwrap_or_default(),
                usage: usage.unwrap_or_default(),
                answer_usage,
                cost_usd,
                duration_ms: result.duration_ms,
                session: result.session_id,
                stop_reason: result.stop_reason,
                structured_output: result.structured_output.filter(outcome::can_be_told),
                timings: self.current.timings,
            }))
        } else {
            let (error, said) = match &self.current.error {
                Some((error, said)) => (Some(error.as_str()), Some(said.as_str())),
                None => (None, None),
            };
            let kind = outcome::failure_kind(&result, error);
            let waits = matches!(kind, FailureKind::RateLimited | FailureKind::Overloaded);
            Event::Failed(Box::new(Failed {
                kind,
                message: outcome::failure_message(&result, said, kind),
                visible_output: self.current.visible_output,
                tool_effects: self.current.may_have_acted(),
                retry_after_ms: self.current.retry_after_ms.filter(|_| waits),
                usage,
                answer_usage,
                cost_usd: Some(cost_usd),
                timings: self.current.timings,
            }))
        });
        events
    }
}

fn withdrawn(request_id: String) -> Vec<Event> {
    let detail = Map::from_iter([("request_id".to_owned(), Value::String(request_id))]);
    vec![Event::Status {
        status: Status::PermissionWithdrawn,
        detail,
    }]
}

fn blocks(content: &Value) -> &[Value] {
    content.as_array().map_or(&[], Vec::as_slice)
}

fn first_text(content: &Value) -> Option<&str> {
    blocks(content)
        .iter()
        .find_map(|block| block["text"].as_str())
}
