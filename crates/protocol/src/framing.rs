//! Bytes to lines. `claude` writes one JSON object per line, of any length, split anywhere.

use std::fmt;

/// Longest line taken by default: 64 MiB. A tool's full result is repeated in one line.
pub const DEFAULT_MAX_LINE: usize = 64 << 20;

/// A line was longer than the bound; it is skipped as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a line of more than {limit} bytes was skipped")]
pub struct LineTooLong {
    /// The bound, in bytes.
    pub limit: usize,
}

/// Puts lines together from chunks.
///
/// Whatever the chunks, the lines are the same. A `\r` before the `\n` goes, empty lines are
/// passed over, and bytes stay bytes: UTF-8 is looked at only once the line is whole.
pub struct LineFramer {
    buffer: Vec<u8>,
    /// Where the first unfinished line begins.
    start: usize,
    /// Up to where no newline was found.
    scanned: usize,
    limit: usize,
    /// Inside a line that is too long: drop everything up to the next newline.
    skipping: bool,
}

impl Default for LineFramer {
    fn default() -> Self {
        Self::new(DEFAULT_MAX_LINE)
    }
}

impl LineFramer {
    /// `limit`: longest line, in bytes, without its line end.
    pub fn new(limit: usize) -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            scanned: 0,
            limit,
            skipping: false,
        }
    }

    /// Adds what was read. Take the lines out with [`next_line`](Self::next_line) afterwards.
    pub fn feed(&mut self, chunk: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.scanned -= self.start;
            self.start = 0;
        }
        self.buffer.extend_from_slice(chunk);
    }

    /// The next whole line.
    ///
    /// # Errors
    /// [`LineTooLong`] once for each line beyond the limit; the lines after it are whole again.
    pub fn next_line(&mut self) -> Option<Result<Vec<u8>, LineTooLong>> {
        loop {
            let Some(offset) = self.buffer[self.scanned..].iter().position(|b| *b == b'\n') else {
                self.scanned = self.buffer.len();
                return self.unfinished();
            };
            let end = self.scanned + offset;
            let line = trimmed(&self.buffer[self.start..end]);
            let (empty, too_long) = (line.is_empty(), line.len() > self.limit);
            let line = (!self.skipping && !empty && !too_long).then(|| line.to_vec());
            self.start = end + 1;
            self.scanned = self.start;
            if self.start == self.buffer.len() {
                self.reset();
            }
            if std::mem::take(&mut self.skipping) || empty {
                continue;
            }
            return Some(line.ok_or(LineTooLong { limit: self.limit }));
        }
    }

    /// No newline in sight: give up on the line once it is beyond the limit, and free its memory.
    fn unfinished(&mut self) -> Option<Result<Vec<u8>, LineTooLong>> {
        // One byte more than the limit may still be the `\r` of the line end.
        if !self.skipping && self.buffer.len() - self.start <= self.limit + 1 {
            return None;
        }
        self.reset();
        if self.skipping {
            return None;
        }
        self.skipping = true;
        Some(Err(LineTooLong { limit: self.limit }))
    }

    /// At the end of the stream: the last line may lack its newline.
    ///
    /// # Errors
    /// [`LineTooLong`] as in [`next_line`](Self::next_line).
    pub fn finish(mut self) -> Option<Result<Vec<u8>, LineTooLong>> {
        if let Some(line) = self.next_line() {
            return Some(line);
        }
        let line = trimmed(&self.buffer[self.start..]);
        match line.len() {
            _ if self.skipping => None,
            0 => None,
            length if length > self.limit => Some(Err(LineTooLong { limit: self.limit })),
            _ => Some(Ok(line.to_vec())),
        }
    }

    fn reset(&mut self) {
        // A line of many megabytes must not keep its memory for the rest of the process.
        if self.buffer.capacity() > 1 << 20 {
            self.buffer = Vec::new();
        } else {
            self.buffer.clear();
        }
        self.start = 0;
        self.scanned = 0;
    }
}

fn trimmed(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

impl fmt::Debug for LineFramer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineFramer")
            .field("pending", &(self.buffer.len() - self.start))
            .field("limit", &self.limit)
            .field("skipping", &self.skipping)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(chunks: &[&[u8]], limit: usize) -> Vec<Result<Vec<u8>, LineTooLong>> {
        let mut framer = LineFramer::new(limit);
        let mut lines = Vec::new();
        for chunk in chunks {
            framer.feed(chunk);
            while let Some(line) = framer.next_line() {
                lines.push(line);
            }
        }
        lines.extend(framer.finish());
        lines
    }

    fn ok(line: &str) -> Result<Vec<u8>, LineTooLong> {
        Ok(line.as_bytes().to_vec())
    }

    #[test]
    fn split_utf8_crlf_blank_and_unterminated() {
        let chunks: [&[u8]; 5] = [
            b"{\"a\":\"\xc3",
            b"\xa9\"}\r",
            b"\n\r\n\n",
            b"two\n",
            b"three",
        ];
        assert_eq!(
            frame(&chunks, 100),
            [ok("{\"a\":\"é\"}"), ok("two"), ok("three")]
        );
    }

    #[test]
    fn a_line_beyond_the_limit_is_one_error_and_the_next_is_whole() {
        let long = [b'x'; 30];
        let limit = Err(LineTooLong { limit: 10 });
        assert_eq!(
            frame(&[&long, &long, b"\nok\n"], 10),
            [limit.clone(), ok("ok")]
        );
        assert_eq!(
            frame(&[b"12345678901\nok\n"], 10),
            [limit.clone(), ok("ok")]
        );
        assert_eq!(
            frame(&[b"1234567890\r", b"\nok\n"], 10),
            [ok("1234567890"), ok("ok")]
        );
        assert_eq!(frame(&[&long], 10), [limit]);
    }

    #[test]
    fn fifty_megabytes_in_small_chunks() {
        let line = vec![b'y'; 50 << 20];
        let mut framer = LineFramer::default();
        for chunk in line.chunks(64 << 10) {
            framer.feed(chunk);
            assert!(framer.next_line().is_none());
        }
        framer.feed(b"\n");
        assert_eq!(framer.next_line().unwrap().unwrap().len(), line.len());
        assert!(
            framer.buffer.capacity() < 1 << 21,
            "the memory is given back"
        );
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_lines(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..200),
            cuts in proptest::collection::vec(0usize..200, 0..20),
            limit in 1usize..40,
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|w| &bytes[w[0]..w[1]]).collect();
            prop_assert_eq!(frame(&chunks, limit), frame(&[&bytes], limit));
        }
    }
}
