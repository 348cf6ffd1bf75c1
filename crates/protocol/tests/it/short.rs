//! Reply events in short, for snapshots that a person reads.

use ccpool_protocol::event::{Event, ReplyEvent};

/// One event as one word.
pub(crate) fn word(event: &ReplyEvent) -> String {
    let word = match &event.event {
        Event::Failed(failed) => format!(
            "failed({}{}{}{})",
            failed.kind,
            if failed.visible_output { ", seen" } else { "" },
            if failed.tool_effects { ", acted" } else { "" },
            failed.retry_after_ms.map_or("", |_| ", retry"),
        ),
        Event::Status { status, .. } => {
            format!(
                "status({})",
                serde_json::to_value(status).unwrap().as_str().unwrap()
            )
        }
        Event::PermissionResolved { outcome, .. } => {
            format!("permission_resolved({})", outcome.as_str())
        }
        Event::ToolUse { name, .. } => format!("tool_use({name})"),
        Event::ToolResult { is_error: true, .. } => "tool_result(error)".to_owned(),
        other => other.type_name().to_owned(),
    };
    match &event.origin {
        Some(origin) if event.event.is_terminal() => format!("{word}[{origin}]"),
        _ => word,
    }
}

/// The words in a row, repetitions counted.
pub(crate) fn joined(words: impl IntoIterator<Item = String>) -> String {
    let mut runs: Vec<(String, usize)> = Vec::new();
    for word in words {
        match runs.last_mut() {
            Some((last, count)) if *last == word => *count += 1,
            _ => runs.push((word, 1)),
        }
    }
    let runs: Vec<String> = runs
        .into_iter()
        .map(|(word, count)| match count {
            1 => word,
            count => format!("{word}*{count}"),
        })
        .collect();
    runs.join(" ")
}
