//! The functions of whoever asks: those that `claude` has, and the calls that wait for a result.
//!
//! Why it is made so: `docs/decisions/0010-functions-of-the-client.md`. The calls are kept in the
//! session's state, in the step in which they change.

use std::collections::{HashMap, VecDeque};

use ccpool_protocol::function::{FunctionCall, FunctionResult, FunctionTool, LARGEST_RESULTS};
use ccpool_protocol::function::{PendingFunction, TakenResults, server};
use ccpool_protocol::state::field;
use ccpool_protocol::stdin::StdinLine;
use ccpool_protocol::{TurnId, UnixMs};
use serde_json::{Value, json};

use crate::effects::Effects;
use crate::questions::cut;

/// How many servers functions can come from; without a question, because their names are told to
/// `claude` when it starts.
pub(crate) const SERVERS: u32 = 16;
/// Most calls of a turn that may be open.
const MOST_OPEN: usize = 256;
/// How many takings of results are remembered.
const MOST_TAKEN: usize = 32;
/// How much longer than the wrapper the CLI waits, in ms: it is the wrapper that gives up.
const LENIENCE_MS: u64 = 60_000;
/// Longest time that the CLI can be told, in ms.
const LONGEST_MS: u64 = i32::MAX as u64;

/// Functions, by their names, as one server has shown them.
type Shown = HashMap<String, FunctionTool>;

/// What `claude` has asked of the server.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Question {
    /// The control request.
    pub(crate) request_id: String,
    /// The request within it.
    pub(crate) rpc: Value,
}

/// A call without an answer.
#[derive(Debug)]
struct Open {
    id: String,
    /// The caller was told of it.
    told: Option<PendingFunction>,
    /// `claude` has asked for it.
    question: Option<Question>,
    /// The caller has given it; it waits until `claude` asks.
    result: Option<FunctionResult>,
}

impl Open {
    fn new(id: String) -> Self {
        Self {
            id,
            told: None,
            question: None,
            result: None,
        }
    }

    /// Waits for the caller.
    fn waits(&self) -> Option<&PendingFunction> {
        self.told.as_ref().filter(|_| self.result.is_none())
    }
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Functions {
    patience_ms: u64,
    /// What the newest prompt that brought any has brought.
    wanted: Vec<FunctionTool>,
    /// What `claude` has.
    served: Vec<FunctionTool>,
    /// What each server has shown so far: those definitions hold for its names.
    shown: Vec<Shown>,
    /// The server that was used last, from 0.
    current: usize,
    open: Vec<Open>,
    taken: VecDeque<TakenResults>,
}

impl Functions {
    /// `patience_ms`: how long a call waits for its result.
    pub(crate) fn new(patience_ms: u64) -> Self {
        Self {
            patience_ms,
            wanted: Vec::new(),
            served: Vec::new(),
            shown: Vec::new(),
            current: 0,
            open: Vec::new(),
            taken: VecDeque::new(),
        }
    }

    /// Whether a prompt that brings these can be handed over without changing anything.
    pub(crate) fn are(&self, brought: Option<&[FunctionTool]>) -> bool {
        brought.is_none_or(|brought| brought == self.wanted && brought == self.served)
    }

    /// A prompt brings these.
    pub(crate) fn want(&mut self, brought: Vec<FunctionTool>) {
        self.wanted = brought;
    }

    /// Another `claude` has none.
    pub(crate) fn again(&mut self) {
        self.served.clear();
    }

    /// Writes what makes `claude` have the wanted ones, if it has others. `id` names the requests.
    pub(crate) fn write(&mut self, mut id: impl FnMut() -> String, out: &mut Effects) {
        if self.wanted == self.served {
            return;
        }
        if !self.served.is_empty() {
            let id = id();
            out.request(&id, &StdinLine::set_servers(&id, None));
        }
        self.served.clone_from(&self.wanted);
        if self.wanted.is_empty() {
            return;
        }
        self.choose(out);
        let timeout_ms = self.patience_ms.saturating_add(LENIENCE_MS).min(LONGEST_MS);
        let server = self.server();
        let id = id();
        out.request(
            &id,
            &StdinLine::set_servers(&id, Some((&server, timeout_ms))),
        );
    }

    /// Takes the first server whose names mean what they are to mean.
    fn choose(&mut self, out: &mut Effects) {
        let fits = |at: usize, shown: &Shown| {
            let same = |wanted: &FunctionTool| {
                let before = shown.get(&wanted.name);
                before.is_none_or(|before| before == wanted)
            };
            let is_wanted = |name: &String| self.wanted.iter().any(|wanted| wanted.name == *name);
            // What the last one has shown stays visible, as it was not gone in between.
            self.wanted.iter().all(same) && (at != self.current || shown.keys().all(is_wanted))
        };
        let found = (0..).zip(&self.shown).find(|(at, shown)| fits(*at, shown));
        let found = found.map(|(at, _)| at);
        self.current = match found {
            Some(at) => at,
            None if self.shown.len() < SERVERS as usize => {
                self.shown.push(Shown::new());
                self.shown.len() - 1
            }
            None => {
                out.notes.push(format!(
                    "the functions have changed more than {SERVERS} times; the model may see old ones"
                ));
                self.current
            }
        };
        let wanted = self
            .wanted
            .iter()
            .map(|tool| (tool.name.clone(), tool.clone()));
        self.shown[self.current].extend(wanted);
    }

    fn server(&self) -> String {
        server(u32::try_from(self.current).map_or(u32::MAX, |at| at.saturating_add(1)))
    }

    /// What `claude` has.
    pub(crate) fn served(&self) -> &[FunctionTool] {
        &self.served
    }

    /// When a call of which the caller is told now is given up.
    pub(crate) fn expiry(&self, now: UnixMs) -> UnixMs {
        now.saturating_add(self.patience_ms)
    }

    /// How long a call waits, in words.
    pub(crate) fn patience(&self) -> String {
        match self.patience_ms {
            ms if ms.is_multiple_of(1000) => format!("{} s", ms / 1000),
            ms => format!("{ms} ms"),
        }
    }

    /// The caller is told of these, in the envelope `seq`.
    pub(crate) fn told(
        &mut self,
        calls: &[FunctionCall],
        (turn, seq): (&TurnId, u64),
        now: UnixMs,
        out: &mut Effects,
    ) {
        let expires_at = self.expiry(now);
        for call in calls {
            let told = PendingFunction {
                id: call.id.clone(),
                name: cut(&call.name),
                turn: turn.clone(),
                seq,
                asked_at: now,
                expires_at,
            };
            match self.open.iter_mut().find(|open| open.id == call.id) {
                Some(open) => open.told = Some(told),
                None => self.open.push(Open {
                    told: Some(told),
                    ..Open::new(call.id.clone())
                }),
            }
        }
        self.tell(out);
    }

    /// `claude` carries out a call. Returns what is to be answered, if that is known.
    pub(crate) fn ask(&mut self, id: &str, question: Question) -> Option<(Question, Value)> {
        let at = match self.open.iter().position(|open| open.id == id) {
            Some(at) => at,
            None if self.open.len() >= MOST_OPEN => {
                return Some((question, failed("too many calls wait for their results")));
            }
            None => {
                self.open.push(Open::new(id.to_owned()));
                self.open.len() - 1
            }
        };
        match &self.open[at].result {
            Some(result) => {
                let told = told(result);
                self.open.remove(at);
                Some((question, told))
            }
            None => {
                self.open[at].question = Some(question);
                None
            }
        }
    }

    /// The caller gives results. Returns what is to be answered now.
    pub(crate) fn give(
        &mut self,
        ticket: &str,
        results: Vec<FunctionResult>,
        out: &mut Effects,
    ) -> Vec<(Question, Value)> {
        let mut ids = Vec::new();
        let mut answers = Vec::new();
        for result in results {
            let mut open = self.open.iter();
            let waits = |open: &Open| open.id == result.id && open.waits().is_some();
            let Some(at) = open.position(waits) else {
                out.notes
                    .push("a result of no call that waits was ignored".into());
                continue;
            };
            ids.push(result.id.clone());
            match self.open[at].question.take() {
                Some(question) => {
                    self.open.remove(at);
                    answers.push((question, told(&result)));
                }
                None => self.open[at].result = Some(result),
            }
        }
        if self.taken.len() >= MOST_TAKEN {
            self.taken.pop_front();
        }
        self.taken.push_back(TakenResults {
            ticket: cut(ticket),
            ids,
        });
        self.tell(out);
        let taken = serde_json::to_string(&self.taken).expect("it has string keys");
        out.state(field::FUNCTIONS_TAKEN, taken);
        answers
    }

    /// The model has the result of this call, wherever it is from.
    pub(crate) fn answered(&mut self, id: &str, out: &mut Effects) {
        self.drop_those(|open| open.id == id, out);
    }

    /// `claude` no longer asks what it had asked by this name.
    pub(crate) fn cancelled(&mut self, rpc: &Value, out: &mut Effects) {
        let asked = |open: &Open| open.question.as_ref().is_some_and(|q| q.rpc == *rpc);
        self.drop_those(asked, out);
    }

    /// Nobody waits any more. Returns what `claude` has asked and not been told.
    pub(crate) fn forget(&mut self, out: &mut Effects) -> Vec<Question> {
        let open = self.drop_those(|_| true, out);
        open.into_iter().filter_map(|open| open.question).collect()
    }

    fn drop_those(&mut self, which: impl Fn(&Open) -> bool, out: &mut Effects) -> Vec<Open> {
        let dropped: Vec<Open> = self.open.extract_if(.., |open| which(open)).collect();
        if dropped.iter().any(|open| open.waits().is_some()) {
            self.tell(out);
        }
        dropped
    }

    /// The calls that wait for the caller.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &PendingFunction> {
        self.open.iter().filter_map(Open::waits)
    }

    /// The call that waits for the caller, by its name.
    pub(crate) fn awaited(&self, id: &str) -> Option<&PendingFunction> {
        self.waiting().find(|waiting| waiting.id == id)
    }

    fn tell(&self, out: &mut Effects) {
        let waiting: Vec<_> = self.waiting().collect();
        let text = match waiting.is_empty() {
            true => String::new(),
            false => serde_json::to_string(&waiting).expect("it has string keys"),
        };
        out.state(field::FUNCTIONS, text);
    }
}

/// The MCP result of a call that came to nothing.
pub(crate) fn failed(why: &str) -> Value {
    FunctionResult {
        is_error: true,
        ..FunctionResult::text("", why)
    }
    .told()
}

fn told(result: &FunctionResult) -> Value {
    let told = result.told();
    match told.to_string().len() {
        length if length > LARGEST_RESULTS => {
            failed(&format!("the result has {length} bytes, which is too much"))
        }
        _ => told,
    }
}

/// The list of tools in MCP. To tools that only read the CLI gives its calls in parallel; of the
/// result the model is to read as much as can be.
pub(crate) fn listed(functions: &[FunctionTool]) -> Value {
    let tools = functions.iter().filter_map(|function| {
        // It was looked at when it came.
        let schema = function.schema().ok()?;
        Some(json!({
            "name": function.name,
            "description": function.description,
            "inputSchema": schema,
            "annotations": {"readOnlyHint": true},
            "_meta": {"anthropic/maxResultSizeChars": ccpool_protocol::function::RESULT_CHARS},
        }))
    });
    json!({"tools": tools.collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests;
