//! What the session wants done: bytes for `claude`, and changes in Redis, in order.

use ccpool_protocol::stdin::StdinLine;

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
    /// Take an item out of `inflight`: its turn is over.
    Remove { raw: Vec<u8> },
}

/// Everything that one event led to.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// To be written to `claude` at once, in one write.
    pub(crate) stdin: Vec<u8>,
    /// To be done in Redis, in this order.
    pub(crate) ops: Vec<Op>,
    /// For the log.
    pub(crate) notes: Vec<String>,
}

impl Effects {
    pub(crate) fn write(&mut self, line: &StdinLine) {
        self.stdin.extend_from_slice(line.as_bytes());
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
