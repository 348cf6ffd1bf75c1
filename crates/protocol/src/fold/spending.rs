//! What the answers of a turn use.

use serde_json::Value;

use crate::event::Usage;

/// Follows the requests of the main conversation to its model within one turn.
///
/// A turn gives several answers if it calls functions of the caller's: each such call ends one.
#[derive(Debug, Default)]
pub(super) struct Spending {
    newest: Option<Request>,
    /// What the requests before it have written.
    written: u64,
    /// What of all that was written belongs to answers before this one.
    answered: u64,
}

#[derive(Debug)]
struct Request {
    message: String,
    usage: Usage,
}

impl Spending {
    /// A message begins; `said` is the `usage` of its `message_start`, whose count of what is written
    /// is provisional. A message that breaks off never gets another, so nothing of it is counted.
    pub(super) fn begin(&mut self, message: &str, said: &Value) {
        self.whole(message, said);
        if let Some(newest) = &mut self.newest {
            newest.usage.output_tokens = 0;
        }
    }

    /// The `usage` of a `message_delta`.
    pub(super) fn goes_on(&mut self, said: &Value) {
        if let Some(newest) = &mut self.newest {
            newest.usage.update(said);
        }
    }

    /// A block of a message is finished. One that was not streamed, as when the CLI repeats a broken
    /// stream, says in each of its blocks what all of it used; a streamed one is only provisional
    /// there, and what the CLI says in the model's name has used nothing.
    pub(super) fn finished(&mut self, message: &str, said: &Value) {
        let is_streamed = |newest: &Request| newest.message == message;
        let mut usage = Usage::default();
        usage.update(said);
        if usage.known().is_some() && !self.newest.as_ref().is_some_and(is_streamed) {
            self.whole(message, said);
        }
    }

    /// The answer ends with calls of functions. What it has used.
    pub(super) fn call(&mut self) -> Option<Usage> {
        let usage = self.answer();
        self.answered = self.all_written();
        usage
    }

    /// What the answer has used so far: the newest request's prompt, and all that was written since the
    /// answer began. None: not known.
    pub(super) fn answer(&self) -> Option<Usage> {
        let usage = self.newest.as_ref()?.usage.known()?;
        Some(Usage {
            output_tokens: self.all_written().saturating_sub(self.answered),
            ..usage
        })
    }

    fn whole(&mut self, message: &str, said: &Value) {
        self.written = self.all_written();
        let mut usage = Usage::default();
        usage.update(said);
        self.newest = Some(Request {
            message: message.to_owned(),
            usage,
        });
    }

    fn all_written(&self) -> u64 {
        let newest = self.newest.as_ref();
        let newest = newest.map_or(0, |newest| newest.usage.output_tokens);
        self.written.saturating_add(newest)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn usage(input: u64, cached: u64, output: u64) -> Value {
        json!({"input_tokens": input, "cache_read_input_tokens": cached, "output_tokens": output})
    }

    /// Prompt and output.
    fn so_far(spending: &Spending) -> Option<(u64, u64)> {
        let usage = spending.answer()?;
        Some((usage.prompt(), usage.output_tokens))
    }

    fn streamed(spending: &mut Spending, message: &str, input: u64, output: u64) {
        spending.begin(message, &usage(input, 100, 1));
        spending.finished(message, &usage(input, 100, 1));
        spending.goes_on(&json!({"output_tokens": output}));
    }

    #[test]
    fn the_newest_prompt_and_all_that_was_written() {
        let mut spending = Spending::default();
        assert_eq!(spending.answer(), None);
        streamed(&mut spending, "m1", 10, 5);
        assert_eq!(so_far(&spending), Some((110, 5)));
        spending.begin("m2", &usage(30, 100, 1));
        assert_eq!(so_far(&spending), Some((130, 5)), "nothing written yet");
        spending.goes_on(&usage(0, 0, 7));
        assert_eq!(so_far(&spending), Some((130, 12)));
    }

    #[test]
    fn a_call_ends_an_answer() {
        let mut spending = Spending::default();
        streamed(&mut spending, "m1", 10, 5);
        streamed(&mut spending, "m2", 20, 6);
        let called = spending.call().unwrap();
        assert_eq!((called.prompt(), called.output_tokens), (120, 11));
        assert_eq!(so_far(&spending), Some((120, 0)));
        streamed(&mut spending, "m3", 40, 8);
        assert_eq!(so_far(&spending), Some((140, 8)));
        assert_eq!(spending.call().unwrap().output_tokens, 8);
        assert_eq!(spending.call().unwrap().output_tokens, 0);
    }

    #[test]
    fn a_stream_that_breaks_off_has_written_nothing() {
        let mut spending = Spending::default();
        streamed(&mut spending, "m1", 10, 5);
        spending.begin("m2", &usage(50, 100, 1));
        spending.finished("m2", &usage(50, 100, 1));
        // The repeat, in one piece of two blocks.
        spending.finished("m3", &usage(60, 100, 9));
        spending.finished("m3", &usage(60, 100, 9));
        assert_eq!(so_far(&spending), Some((160, 14)));
        // The CLI speaks for itself.
        spending.finished("of-the-cli", &usage(0, 0, 0));
        assert_eq!(so_far(&spending), Some((160, 14)));
    }

    #[test]
    fn where_the_model_does_not_count_nothing_is_known() {
        let mut spending = Spending::default();
        spending.goes_on(&usage(1, 1, 1));
        assert_eq!(spending.answer(), None);
        spending.begin("m1", &json!(null));
        spending.goes_on(&json!({"output_tokens": 3}));
        assert_eq!(spending.call(), None);
    }
}
