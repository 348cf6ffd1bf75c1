//! How much of an answer can still be taken back.

use ccpool::Event;

/// Whether a reader who is told this has seen something of an answer, or must act on it. What comes
/// before the first such event is held back, so that another provider can answer in its place.
pub(super) fn shows(event: &Event) -> bool {
    match event {
        Event::TextDelta { .. }
        | Event::ThinkingDelta { .. }
        | Event::Text { .. }
        | Event::ToolUse { .. }
        | Event::ToolResult { .. }
        | Event::PermissionRequest { .. }
        | Event::PermissionResolved { .. }
        | Event::FunctionCalls { .. }
        // Nobody knows what was in it.
        | Event::Gap { .. }
        | Event::Completed(_) => true,
        // Whether it counts, it says itself.
        Event::Failed(failed) => failed.visible_output || failed.tool_effects,
        Event::Started { .. }
        | Event::Retract { .. }
        | Event::Status { .. }
        | Event::Other { .. } => false,
    }
}

/// Whether nothing follows in this reply.
pub(super) fn is_end(event: &Event) -> bool {
    event.is_terminal() || matches!(event, Event::FunctionCalls { .. })
}
