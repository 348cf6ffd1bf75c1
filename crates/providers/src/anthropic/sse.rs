//! Server-sent events, as far as the Messages API uses them: the data of each one.

/// Longer events are refused.
const LONGEST: usize = 1 << 20;

/// Why bytes are no events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoEvents {
    #[error("an event is longer than {LONGEST} bytes")]
    TooLong,
    #[error("an event is no UTF-8")]
    NotText,
}

/// Puts events together from the pieces in which they arrive.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// Of the line that has not ended yet.
    line: Vec<u8>,
    /// Of the event that has not ended yet: its `data` lines, each with a line break.
    data: Vec<u8>,
}

impl Events {
    /// Takes the next bytes; gives the data of the events that they complete.
    ///
    /// # Errors
    /// [`NoEvents`]; nothing sensible can follow.
    pub(super) fn take(&mut self, mut bytes: &[u8]) -> Result<Vec<String>, NoEvents> {
        let mut whole = Vec::new();
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.grow(&bytes[..end])?;
            bytes = &bytes[end + 1..];
            whole.extend(self.end_line()?);
        }
        self.grow(bytes)?;
        Ok(whole)
    }

    fn grow(&mut self, bytes: &[u8]) -> Result<(), NoEvents> {
        if self.line.len() + self.data.len() + bytes.len() > LONGEST {
            return Err(NoEvents::TooLong);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    /// The data of the event that ends with this line.
    fn end_line(&mut self) -> Result<Option<String>, NoEvents> {
        let mut line = std::mem::take(&mut self.line);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        if line.is_empty() {
            let mut data = std::mem::take(&mut self.data);
            // The last break is none of its own.
            if data.pop().is_none() {
                return Ok(None);
            }
            let text = String::from_utf8(data).map_err(|_| NoEvents::NotText)?;
            return Ok(Some(text));
        }
        // The event's name stands in its data too; comments and the rest say nothing here.
        if let Some(value) = line.strip_prefix(b"data:") {
            self.data
                .extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
            self.data.push(b'\n');
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STREAM: &str = "event: ping\r\ndata: {\"type\": \"ping\"}\r\n\r\n: a comment\n\n\
        event: x\ndata:one\ndata: two \u{e9}\nid: 7\n\ndata: never ended\n";

    #[test]
    fn events_have_their_data() {
        let got = Events::default().take(STREAM.as_bytes());
        let wanted = vec![
            "{\"type\": \"ping\"}".to_owned(),
            "one\ntwo \u{e9}".to_owned(),
        ];
        assert_eq!(got, Ok(wanted));
    }

    #[test]
    fn hostile_bytes_are_bounded() {
        let mut events = Events::default();
        let mut taken = 0;
        let piece = [b'x'; 1000];
        while events.take(&piece).is_ok() {
            taken += piece.len();
            assert!(taken <= LONGEST);
        }
        let line = format!("data: {}\n", "x".repeat(1000));
        let mut events = Events::default();
        let mut taken = 0;
        while events.take(line.as_bytes()).is_ok() {
            taken += line.len();
            assert!(taken <= 2 * LONGEST);
        }
        assert_eq!(
            Events::default().take(b"data: \xff\xfe\n\n"),
            Err(NoEvents::NotText)
        );
    }

    proptest! {
        #[test]
        fn however_it_is_cut_it_says_the_same(cuts in prop::collection::vec(0..STREAM.len(), 0..9)) {
            let mut cuts = cuts;
            cuts.sort_unstable();
            let mut events = Events::default();
            let mut got = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([STREAM.len()]) {
                got.extend(events.take(&STREAM.as_bytes()[from..cut]).unwrap());
                from = cut;
            }
            prop_assert_eq!(got, Events::default().take(STREAM.as_bytes()).unwrap());
        }

        #[test]
        fn no_bytes_are_too_odd(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Events::default().take(&bytes);
        }
    }
}
