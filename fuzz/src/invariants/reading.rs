//! A reader who puts deltas together and obeys retractions, and the streams for which that must
//! give the finished text.

use std::collections::HashSet;

use ccpool_protocol::event::Event;
use ccpool_protocol::line::{Assistant, Delta, Line, StreamEvent, StreamLine};

/// What a reader has before its eyes, block by block, and what was finished.
#[derive(Debug, Default)]
pub struct Page {
    said: Vec<(String, u64, String)>,
    finished: Vec<String>,
}

impl Page {
    /// Takes an event as a reader is meant to.
    pub fn see(&mut self, event: &Event) {
        match event {
            Event::TextDelta {
                message_id,
                block,
                text,
            } if !text.is_empty() => {
                let place = self
                    .said
                    .iter_mut()
                    .find(|(id, index, _)| id == message_id && index == block);
                match place {
                    Some((_, _, said)) => said.push_str(text),
                    None => self.said.push((message_id.clone(), *block, text.clone())),
                }
            }
            Event::Retract {
                message_id,
                from_block,
            } => self
                .said
                .retain(|(id, index, _)| id != message_id || index < from_block),
            Event::Text {
                text,
                parent_tool_use_id: None,
                ..
            } if !text.is_empty() => self.finished.push(text.clone()),
            Event::Started { .. }
            | Event::TextDelta { .. }
            | Event::ThinkingDelta { .. }
            | Event::Text { .. }
            | Event::ToolUse { .. }
            | Event::ToolResult { .. }
            | Event::PermissionRequest { .. }
            | Event::PermissionResolved { .. }
            | Event::FunctionCalls { .. }
            | Event::Status { .. }
            | Event::Gap { .. }
            | Event::Completed(_)
            | Event::Failed(_)
            | Event::Other { .. } => {}
        }
    }

    /// What remains after the retractions is what was finished.
    ///
    /// # Panics
    /// It is not.
    pub fn holds_the_finished_text(&self, whose: &str) {
        let left: Vec<&String> = self.said.iter().map(|(_, _, text)| text).collect();
        let finished: Vec<&String> = self.finished.iter().collect();
        assert_eq!(left, finished, "{whose}: what remains is the finished text");
    }
}

/// Whether a stream keeps the order of the Messages API: a message has its id for itself, its blocks
/// come one after another, each is finished by its `assistant` line before the next begins, and
/// nothing is added to one that is finished or given up. Without that nobody can say what the
/// finished text is.
#[derive(Debug, Default)]
pub struct Order {
    broken: bool,
    /// The ids of all messages so far.
    ids: HashSet<String>,
    /// The message that may go on.
    message: Option<String>,
    block: Option<Block>,
}

#[derive(Debug, Clone, Copy)]
struct Block {
    index: u64,
    finished: bool,
    has_text: bool,
}

impl Order {
    /// Whether it was kept so far.
    pub fn is_kept(&self) -> bool {
        !self.broken
    }

    /// Takes the next line of the stream.
    pub fn see(&mut self, line: &Line) {
        let kept = match line {
            Line::Stream(line) if line.parent_tool_use_id.is_none() => self.stream(line),
            Line::Assistant(line) if line.error.is_some() => self.give_up(),
            Line::Assistant(line) if line.parent_tool_use_id.is_none() => self.assistant(line),
            Line::Notice(_) | Line::Result(_) => self.give_up_unfinished(),
            // Its own lines are the wrapper's to write.
            Line::Wrapper(_) => false,
            Line::Stream(_)
            | Line::Assistant(_)
            | Line::Init(_)
            | Line::Status(_)
            | Line::User(_)
            | Line::RateLimit(_)
            | Line::ControlRequest(_)
            | Line::ControlResponse(_)
            | Line::ControlCancel { .. }
            | Line::Lifecycle { .. }
            | Line::Quiet
            | Line::Other(_) => true,
        };
        self.broken |= !kept;
    }

    fn stream(&mut self, line: &StreamLine) -> bool {
        match &line.event {
            StreamEvent::MessageStart { message } => self.begin(&message.id),
            StreamEvent::ContentBlockStart { index } => self.enter(*index, false),
            StreamEvent::ContentBlockDelta { index, delta } => match delta {
                Delta::TextDelta { text } => self.enter(*index, !text.is_empty()),
                Delta::ThinkingDelta { .. } => self.enter(*index, false),
                Delta::Unseen => true,
            },
            StreamEvent::MessageStop {} if line.abandoned_blocks.is_some() => self.give_up(),
            StreamEvent::ContentBlockStop { .. }
            | StreamEvent::MessageDelta { .. }
            | StreamEvent::MessageStop {}
            | StreamEvent::Unknown => true,
        }
    }

    fn begin(&mut self, id: &str) -> bool {
        self.message = Some(id.to_owned());
        self.block = None;
        self.ids.insert(id.to_owned())
    }

    fn enter(&mut self, index: u64, has_text: bool) -> bool {
        let kept = match self.block {
            None => true,
            Some(block) if block.index == index => !block.finished,
            Some(block) => block.finished && index > block.index,
        };
        let same = self.block.filter(|block| block.index == index);
        self.block = Some(Block {
            index,
            finished: false,
            has_text: has_text || same.is_some_and(|block| block.has_text),
        });
        kept && self.message.is_some() && index < u64::MAX
    }

    fn assistant(&mut self, line: &Assistant) -> bool {
        let Some(blocks) = line.message.content.as_array() else {
            return true;
        };
        let mut kept = true;
        for block in blocks {
            if self.message.as_ref() != Some(&line.message.id) {
                kept &= self.begin(&line.message.id);
            }
            let open = self.block.filter(|open| !open.finished);
            let index = match (open, self.block) {
                (Some(open), _) => open.index,
                (None, Some(last)) => last.index.saturating_add(1),
                (None, None) => 0,
            };
            // Text that turns out to be something else was never finished.
            kept &= block["type"] == "text" || !open.is_some_and(|open| open.has_text);
            self.block = Some(Block {
                index,
                finished: true,
                has_text: false,
            });
        }
        kept
    }

    /// No more of this message.
    fn give_up(&mut self) -> bool {
        self.message = None;
        self.block = None;
        true
    }

    fn give_up_unfinished(&mut self) -> bool {
        if self.block.is_some_and(|block| !block.finished) {
            self.give_up();
        }
        true
    }
}
