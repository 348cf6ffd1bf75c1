//! A turn on the terminal: text as it comes on stdout, everything else on stderr.

use std::io::{self, Write};

use ccpool_protocol::{Event, ReplyEvent};

use super::command::Global;
use super::dialogue::tame;
use super::error::CliError;

/// Prints events.
#[derive(Debug)]
pub(super) struct Printer<O, E> {
    json: bool,
    quiet: bool,
    out: O,
    notes: E,
    /// The text on stdout has not ended with a newline.
    open_line: bool,
    /// The message whose text was printed last; another one begins on a new line.
    message: String,
}

impl Printer<io::Stdout, io::Stderr> {
    /// To this program's own streams.
    pub(super) fn new(global: &Global) -> Self {
        Self::onto(global.json, global.quiet, io::stdout(), io::stderr())
    }
}

impl<O: Write, E: Write> Printer<O, E> {
    fn onto(json: bool, quiet: bool, out: O, notes: E) -> Self {
        Self {
            json,
            quiet,
            out,
            notes,
            open_line: false,
            message: String::new(),
        }
    }

    /// Prints one event: as a line of JSON, or as a person wants it.
    pub(super) fn event(&mut self, event: &ReplyEvent) -> Result<(), CliError> {
        self.write(event).map_err(|error| CliError::stdout(&error))
    }

    fn write(&mut self, event: &ReplyEvent) -> io::Result<()> {
        if self.json {
            let json = serde_json::to_string(event).expect("events have string keys");
            writeln!(self.out, "{json}")?;
            return self.out.flush();
        }
        match &event.event {
            Event::TextDelta {
                message_id, text, ..
            } => {
                if self.message != *message_id {
                    self.end_line()?;
                    message_id.clone_into(&mut self.message);
                }
                self.out.write_all(text.as_bytes())?;
                self.open_line = !text.ends_with('\n');
                self.out.flush()
            }
            Event::Retract { .. } => {
                self.end_line()?;
                self.note("(the last lines do not count: the answer is given again)")
            }
            Event::ToolUse { name, input, .. } => {
                self.end_line()?;
                self.note(&format!("[{name}] {}", brief(&input.to_string())))
            }
            Event::ToolResult {
                is_error: true,
                content,
                ..
            } => {
                self.end_line()?;
                self.note(&format!("[failed] {}", brief(&content.to_string())))
            }
            Event::PermissionRequest { name, .. } => {
                self.end_line()?;
                self.note(&format!("[{}] waits for a permission", tame(name)))
            }
            Event::Gap { from, to } => {
                self.end_line()?;
                self.note(&format!("(envelopes {from} to {to} are lost)"))
            }
            Event::Completed(completed) => {
                self.end_line()?;
                self.note(&format!(
                    "({} ms, ${:.4})",
                    completed.duration_ms, completed.cost_usd
                ))
            }
            Event::Failed(_) => self.end_line(),
            Event::Started { .. }
            | Event::ThinkingDelta { .. }
            | Event::PermissionResolved { .. }
            | Event::FunctionCalls { .. }
            | Event::Text { .. }
            | Event::ToolResult {
                is_error: false, ..
            }
            | Event::Status { .. }
            | Event::Other { .. } => Ok(()),
        }
    }

    fn end_line(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.open_line) {
            self.out.write_all(b"\n")?;
            self.out.flush()?;
        }
        Ok(())
    }

    fn note(&mut self, text: &str) -> io::Result<()> {
        if self.quiet {
            Ok(())
        } else {
            writeln!(self.notes, "{text}")
        }
    }
}

/// One line of bounded length.
fn brief(text: &str) -> String {
    const MOST: usize = 120;
    let mut brief: String = text.chars().take(MOST).collect();
    if brief.len() < text.len() {
        brief.push('…');
    }
    brief
}

#[cfg(test)]
mod tests {
    use ccpool_protocol::TurnId;
    use ccpool_protocol::event::Completed;
    use serde_json::json;

    use super::*;

    fn printed(quiet: bool, events: impl IntoIterator<Item = Event>) -> (String, String) {
        let mut printer = Printer::onto(false, quiet, Vec::new(), Vec::new());
        for event in events {
            let turn = TurnId::new("t1").unwrap();
            printer
                .event(&ReplyEvent {
                    event,
                    turn,
                    seq: 1,
                    at: 0,
                    origin: None,
                })
                .unwrap();
        }
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(printer.out), text(printer.notes))
    }

    fn delta(message: &str, text: &str) -> Event {
        Event::TextDelta {
            message_id: message.into(),
            block: 0,
            text: text.into(),
        }
    }

    #[test]
    fn stdout_has_the_text_and_nothing_else() {
        let tool = Event::ToolUse {
            tool_use_id: "u".into(),
            name: "Bash".into(),
            input: json!({"command": "ls"}),
            parent_tool_use_id: None,
        };
        let done = Event::Completed(Box::new(Completed {
            duration_ms: 5,
            ..Completed::default()
        }));
        let events = || {
            [
                delta("a", "Let me "),
                delta("a", "see."),
                tool.clone(),
                delta("b", "Done.\n"),
                done.clone(),
            ]
        };
        let (out, notes) = printed(false, events());
        assert_eq!(out, "Let me see.\nDone.\n");
        assert_eq!(notes, "[Bash] {\"command\":\"ls\"}\n(5 ms, $0.0000)\n");
        assert_eq!(printed(true, events()).1, "");
    }

    #[test]
    fn a_second_message_begins_on_a_line_of_its_own() {
        let (out, _) = printed(true, [delta("a", "one"), delta("b", "two")]);
        assert_eq!(out, "one\ntwo");
    }
}
