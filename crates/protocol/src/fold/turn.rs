//! What a fold knows of the running turn.

use std::collections::{HashMap, HashSet};

use super::calls::Calls;
use super::spending::Spending;
use crate::event::Timings;
use crate::{RequestId, UnixMs};

/// What is known of the running turn.
#[derive(Debug, Default)]
pub(super) struct Turn {
    pub(super) origin: Option<String>,
    pub(super) started: bool,
    pub(super) ended: bool,
    pub(super) visible_output: bool,
    pub(super) tool_effects: bool,
    /// Tools called and not answered.
    pub(super) open_tools: HashSet<String>,
    /// Calls that are answers in the form of a JSON Schema.
    pub(super) outputs: HashSet<String>,
    /// Calls of the caller's functions.
    pub(super) calls: Calls,
    pub(super) spending: Spending,
    /// Tools that wait for a permission, by the request's id: they have not acted.
    pub(super) asked: HashMap<String, String>,
    /// Which request is about to come, and when the policy answers it.
    pub(super) expiry: Option<(RequestId, UnixMs)>,
    /// What the last `assistant` line said was wrong: the CLI's word for it, and its text.
    pub(super) error: Option<(String, String)>,
    pub(super) retry_after_ms: Option<u64>,
    pub(super) began_at: UnixMs,
    pub(super) timings: Timings,
}

impl Turn {
    pub(super) fn since(&self, at: UnixMs) -> u64 {
        at.saturating_sub(self.began_at)
    }

    /// A tool that was called and neither answered nor held back by a question may have acted.
    pub(super) fn may_have_acted(&self) -> bool {
        self.tool_effects || self.open_tools.iter().any(|tool| !self.waits(tool))
    }

    pub(super) fn waits(&self, tool: &str) -> bool {
        self.asked.values().any(|asked| asked == tool)
    }
}
