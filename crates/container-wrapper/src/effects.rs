//! What the session wants done: with `claude`, on its stdin, and in Redis, in order.

use ccpool_protocol::stdin::StdinLine;
use ccpool_protocol::vigil::Request;

use crate::launch::Conversation;

/// One change in Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Op {
    /// Append to the buffer and publish.
    Envelope {
        seq: u64,
        json: String,
        /// Never dropped, however long Redis is away: it tells how a turn ended.
        keep: bool,
    },
    /// Set a field of the session's state.
    State { field: &'static str, value: String },
    /// Replace the newest turn's ending.
    Result { json: String },
    /// Append to the transcript.
    Entry { json: String },
    /// Take an item out of `inflight`: its turn is over.
    Remove { raw: Vec<u8> },
}

/// What is to be done with the process itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Order {
    /// Ask it to end.
    Terminate,
    /// End it.
    Kill,
    /// Start another one; the last one is gone.
    Start(Conversation),
    /// Nothing can be done any more; why.
    GiveUp(String),
}

/// Everything that one event led to.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// To be done first.
    pub(crate) orders: Vec<Order>,
    /// To be written to `claude` at once, in one write.
    pub(crate) stdin: Vec<u8>,
    /// To be done in Redis, in this order.
    pub(crate) ops: Vec<Op>,
    /// Those of the control requests in `stdin` whose answers are awaited.
    pub(crate) requests: Vec<Request>,
    /// For the log.
    pub(crate) notes: Vec<String>,
}

impl Effects {
    pub(crate) fn write(&mut self, line: &StdinLine) {
        self.stdin.extend_from_slice(line.as_bytes());
    }

    /// Writes a control request that the CLI answers at once.
    pub(crate) fn request(&mut self, id: &str, line: &StdinLine) {
        self.requested(id, false, line);
    }

    /// Writes one for which the CLI may have to ask the model's service.
    pub(crate) fn request_of_model(&mut self, id: &str, line: &StdinLine) {
        self.requested(id, true, line);
    }

    fn requested(&mut self, id: &str, asks_model: bool, line: &StdinLine) {
        self.write(line);
        self.requests.push(Request {
            id: id.to_owned(),
            asks_model,
        });
    }

    pub(crate) fn state(&mut self, field: &'static str, value: impl Into<String>) {
        self.ops.push(Op::State {
            field,
            value: value.into(),
        });
    }

    /// How many items are done with.
    pub(crate) fn removed(&self) -> usize {
        let removals = |op: &&Op| matches!(op, Op::Remove { .. });
        self.ops.iter().filter(removals).count()
    }
}
