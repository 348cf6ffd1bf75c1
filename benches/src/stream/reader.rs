//! Reads a turn's server-sent events off the socket, as cheaply as can be, because what the reader
//! costs is not ccpool's: it looks at ids, types and the time that a delta was printed at. What HTTP
//! puts between the pieces of the body are lines of their own, which say nothing here.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};

use crate::samples::Samples;

/// What has been read of a turn.
#[derive(Debug, Default)]
pub(crate) struct TurnReader {
    rest: Vec<u8>,
    last_seq: u64,
    pub(crate) deltas: u64,
    pub(crate) completed: bool,
    /// Keep the delay of each delta.
    pub(crate) delays: Option<Samples>,
}

impl TurnReader {
    /// Takes a chunk of the response.
    ///
    /// # Errors
    /// An envelope was missed or came twice, or the turn failed.
    pub(crate) fn feed(&mut self, mut chunk: &[u8]) -> Result<()> {
        if !self.rest.is_empty() {
            let Some(length) = memchr::memchr(b'\n', chunk) else {
                self.rest.extend_from_slice(chunk);
                return Ok(());
            };
            let mut line = std::mem::take(&mut self.rest);
            line.extend_from_slice(&chunk[..length]);
            self.line(&line)?;
            chunk = &chunk[length + 1..];
        }
        while let Some(length) = memchr::memchr(b'\n', chunk) {
            self.line(&chunk[..length])?;
            chunk = &chunk[length + 1..];
        }
        self.rest.extend_from_slice(chunk);
        Ok(())
    }

    fn line(&mut self, line: &[u8]) -> Result<()> {
        if line.starts_with(b"HTTP/1.1 ") {
            let status = String::from_utf8_lossy(line);
            ensure!(line.starts_with(b"HTTP/1.1 200"), "ccpool answers {status}");
        } else if let Some(id) = line.strip_prefix(b"id: ") {
            let digits = id.split(|byte| *byte == b'-').next().unwrap_or_default();
            let seq: u64 = std::str::from_utf8(digits)?.parse()?;
            ensure!(seq >= self.last_seq, "seq {seq} after {}", self.last_seq);
            self.last_seq = seq;
        } else if line == b"event: text_delta" {
            self.deltas += 1;
        } else if line == b"event: completed" {
            self.completed = true;
        } else if let Some(kind) = line.strip_prefix(b"event: ") {
            let lost: [&[u8]; 3] = [b"gap", b"failed", b"problem"];
            ensure!(
                !lost.contains(&kind),
                "the stream said {}",
                String::from_utf8_lossy(kind)
            );
        } else if let Some(delays) = &mut self.delays
            && line.starts_with(b"data: {\"type\":\"text_delta\"")
        {
            delays.add(age_ms(line)?);
        }
        Ok(())
    }
}

pub(crate) fn now_us() -> u128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros())
}

/// How long ago the delta in this text was printed, in ms.
pub(crate) fn age_ms(text: &[u8]) -> Result<f64> {
    let mark = b"\"text\":\"";
    let at = text.windows(mark.len()).position(|part| part == mark);
    let digits = &text[at.context("a delta without text")? + mark.len()..];
    let end = digits.iter().position(|byte| !byte.is_ascii_digit());
    let printed: u128 = std::str::from_utf8(&digits[..end.unwrap_or(0)])?
        .parse()
        .context("a delta that does not say when it was printed")?;
    Ok(now_us().saturating_sub(printed) as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_may_be_cut_anywhere() {
        let text =
            b"event: text_delta\nid: 3-0\ndata: {\"type\":\"text_delta\",\"text\":\"1 w\"}\n\n\
            event: completed\nid: 4-0\ndata: {}\n\n";
        for cut in 0..text.len() {
            let mut reader = TurnReader {
                delays: Some(Samples::default()),
                ..TurnReader::default()
            };
            reader.feed(&text[..cut]).unwrap();
            reader.feed(&text[cut..]).unwrap();
            assert!(reader.deltas == 1 && reader.completed && reader.last_seq == 4);
            assert_eq!(reader.delays.unwrap().count(), 1);
        }
    }

    #[test]
    fn a_gap_is_an_error() {
        assert!(TurnReader::default().feed(b"event: gap\n").is_err());
        assert!(TurnReader::default().feed(b"id: 5-0\nid: 4-0\n").is_err());
    }
}
