//! The message that is being streamed: what was said of it, and what of that is final.

use std::collections::BTreeMap;

use crate::event::Event;

/// Keeps the promise of [`Event::TextDelta`]: the deltas that are not retracted, put together, are
/// the finished text, however the CLI got there.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    message_id: String,
    blocks: BTreeMap<u64, Block>,
    /// The block that the stream is in.
    current: u64,
    /// Whoever folds this has begun in the middle of a turn, and does not know what the message has had
    /// so far. The reader may, from before. Until the next message nothing is made up for it.
    midway: bool,
}

#[derive(Debug, Default)]
struct Block {
    text: String,
    /// A delta of this block went out.
    said: bool,
    /// Its `assistant` line has come: nothing of it is withdrawn any more.
    finished: bool,
}

impl Draft {
    /// A new message begins; what the last one left unfinished does not count.
    pub(crate) fn begin(&mut self, message_id: String) -> Option<Event> {
        let retract = self.drop_unfinished();
        *self = Self {
            message_id,
            ..Self::default()
        };
        retract
    }

    /// Nothing is known of what came before.
    pub(crate) fn midway() -> Self {
        Self {
            midway: true,
            ..Self::default()
        }
    }

    /// A turn begins, so no message is being streamed.
    pub(crate) fn start(&mut self) {
        if self.midway {
            *self = Self::default();
        }
    }

    /// The stream is in this message.
    pub(crate) fn join(&mut self, message_id: String) {
        if self.midway {
            self.message_id = message_id;
        }
    }

    pub(crate) fn enter(&mut self, block: u64) {
        self.current = block;
        self.blocks.entry(block).or_default();
    }

    pub(crate) fn text(&mut self, block: u64, text: String) -> Event {
        self.enter(block);
        let draft = self.blocks.entry(block).or_default();
        draft.text.push_str(&text);
        draft.said = true;
        Event::TextDelta {
            message_id: self.message_id.clone(),
            block,
            text,
        }
    }

    pub(crate) fn thinking(&mut self, block: u64, text: String) -> Event {
        self.enter(block);
        self.blocks.entry(block).or_default().said = true;
        Event::ThinkingDelta {
            message_id: self.message_id.clone(),
            block,
            text,
        }
    }

    /// An `assistant` line of the main thread has come: the block that is open in the stream is
    /// finished, or the message was never streamed.
    ///
    /// `text` is the block's text, for a text block.
    pub(crate) fn finish(&mut self, message_id: &str, text: Option<&str>) -> Vec<Event> {
        let joined = self.message_id.is_empty() || self.message_id == message_id;
        if self.midway && joined {
            // What was said of the open block is final.
            if let Some(block) = self.blocks.get_mut(&self.current) {
                block.finished = true;
            }
            return Vec::new();
        }
        let mut events = Vec::new();
        if message_id != self.message_id {
            events.extend(self.begin(message_id.to_owned()));
        }
        // A message that is not streamed has its blocks one after another.
        if self
            .blocks
            .get(&self.current)
            .is_some_and(|block| block.finished)
        {
            self.current = self.current.saturating_add(1);
        }
        let index = self.current;
        let block = self.blocks.entry(index).or_default();
        block.finished = true;
        let Some(text) = text else { return events };
        let missing = match text.strip_prefix(block.text.as_str()) {
            Some(rest) => rest,
            None => {
                events.push(Event::Retract {
                    message_id: message_id.to_owned(),
                    from_block: index,
                });
                text
            }
        };
        if !missing.is_empty() {
            events.push(Event::TextDelta {
                message_id: message_id.to_owned(),
                block: index,
                text: missing.to_owned(),
            });
        }
        text.clone_into(&mut block.text);
        events
    }

    /// The CLI says which blocks of which message do not count.
    pub(crate) fn abandon(&mut self, message_id: &str, from: u64) -> Option<Event> {
        if self.midway {
            // The reader may have some of it.
            return Some(Event::Retract {
                message_id: message_id.to_owned(),
                from_block: from,
            });
        }
        if message_id != self.message_id {
            return None;
        }
        let unfinished =
            |(index, block): (&u64, &Block)| (*index >= from && !block.finished).then_some(*index);
        self.drop_from(self.blocks.iter().find_map(unfinished)?)
    }

    /// The request is repeated or the turn is over: unfinished blocks do not count.
    pub(crate) fn drop_unfinished(&mut self) -> Option<Event> {
        let first = self
            .blocks
            .iter()
            .find(|(_, block)| !block.finished)
            .map(|(index, _)| *index)?;
        self.drop_from(first)
    }

    fn drop_from(&mut self, from_block: u64) -> Option<Event> {
        let dropped = self.blocks.split_off(&from_block);
        let said = dropped.values().any(|block| block.said);
        said.then(|| Event::Retract {
            message_id: self.message_id.clone(),
            from_block,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(message: &str, block: u64, text: &str) -> Event {
        Event::TextDelta {
            message_id: message.into(),
            block,
            text: text.into(),
        }
    }

    fn retract(message: &str, from_block: u64) -> Event {
        Event::Retract {
            message_id: message.into(),
            from_block,
        }
    }

    #[test]
    fn a_finished_block_needs_no_more_deltas() {
        let mut draft = Draft::default();
        assert_eq!(draft.begin("m1".into()), None);
        assert_eq!(draft.text(0, "one ".into()), delta("m1", 0, "one "));
        assert_eq!(draft.text(0, "two".into()), delta("m1", 0, "two"));
        assert_eq!(draft.finish("m1", Some("one two")), []);
        assert_eq!(draft.begin("m2".into()), None);
    }

    #[test]
    fn text_that_was_never_streamed_comes_as_one_delta() {
        let mut draft = Draft::default();
        draft.begin("m1".into());
        draft.text(0, "one ".into());
        assert_eq!(draft.finish("m1", Some("one two")), [delta("m1", 0, "two")]);
        assert_eq!(draft.finish("m2", Some("all")), [delta("m2", 0, "all")]);
        assert_eq!(draft.finish("m2", Some("more")), [delta("m2", 1, "more")]);
    }

    #[test]
    fn another_message_withdraws_the_unfinished_one() {
        let mut draft = Draft::default();
        draft.begin("m1".into());
        draft.text(0, "one ".into());
        assert_eq!(
            draft.finish("m2", Some("whole")),
            [retract("m1", 0), delta("m2", 0, "whole")]
        );
    }

    #[test]
    fn abandoned_blocks_spare_the_finished_ones() {
        let mut draft = Draft::default();
        draft.begin("m1".into());
        draft.text(0, "first".into());
        draft.finish("m1", Some("first"));
        draft.text(1, "half".into());
        assert_eq!(draft.abandon("m1", 0), Some(retract("m1", 1)));
        assert_eq!(draft.drop_unfinished(), None);
    }

    #[test]
    fn a_block_that_differs_from_its_deltas_is_said_again() {
        let mut draft = Draft::default();
        draft.begin("m1".into());
        draft.text(0, "abc".into());
        assert_eq!(
            draft.finish("m1", Some("xyz")),
            [retract("m1", 0), delta("m1", 0, "xyz")]
        );
    }

    /// The reader has heard the beginning from another fold: what it is told now must fit.
    #[test]
    fn in_the_middle_of_a_message_nothing_is_made_up() {
        let mut draft = Draft::midway();
        draft.join("m1".into());
        draft.text(1, "lo".into());
        assert_eq!(draft.finish("m1", Some("hello")), []);
        assert_eq!(draft.drop_unfinished(), None, "the block is final");
        assert_eq!(draft.abandon("m1", 2), Some(retract("m1", 2)));
        // From the next message on all is known.
        draft.begin("m2".into());
        draft.text(0, "a".into());
        assert_eq!(draft.finish("m2", Some("ab")), [delta("m2", 0, "b")]);
    }

    #[test]
    fn a_message_that_was_not_streamed_is_whole_wherever_one_begins() {
        let mut draft = Draft::midway();
        draft.join("m1".into());
        assert_eq!(draft.finish("m2", Some("all")), [delta("m2", 0, "all")]);
    }
}
