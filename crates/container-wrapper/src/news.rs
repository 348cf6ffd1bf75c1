//! What reaches the supervisor, through one bounded channel.

use std::process::ExitStatus;

use ccpool_protocol::assignment::Assignment;

use crate::chronicle::Resume;

/// One thing that happened.
#[derive(Debug)]
pub(crate) enum News {
    /// A line of `claude`'s stdout.
    Line(Vec<u8>),
    /// `claude` has exited, and everything that it printed has been handed over.
    Exited {
        status: ExitStatus,
        last_stderr: Option<String>,
    },
    /// This container serves a session now.
    Assigned(Box<Assignment>, Resume),
    /// The assignment cannot be read; why.
    BadAssignment(String),
    /// An item was moved to `inflight`.
    Item(Vec<u8>),
    /// The gateway that this wrapper belongs to has ended.
    Orphaned,
    /// A message on a control channel.
    Control(String),
}
