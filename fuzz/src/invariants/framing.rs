//! Bytes to lines: however they are cut, the lines are the same, and little is held back.

use ccpool_protocol::framing::{LineFramer, LineTooLong};

type Lines = Vec<Result<Vec<u8>, LineTooLong>>;

/// The first byte is the limit, the second decides where the rest is cut.
pub fn check(data: &[u8]) {
    let [limit, seed, bytes @ ..] = data else {
        return;
    };
    let limit = usize::from(*limit);
    let expected = by_the_book(bytes, limit);
    assert_eq!(framed(&[bytes], limit), expected, "in one piece");
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(framed(&single, limit), expected, "byte by byte");
    assert_eq!(framed(&cut(bytes, *seed), limit), expected, "cut by {seed}");
}

/// The same by the simplest means: everything at hand, nothing remembered.
fn by_the_book(bytes: &[u8], limit: usize) -> Lines {
    bytes
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .filter(|line| !line.is_empty())
        .map(|line| match line.len() {
            length if length > limit => Err(LineTooLong { limit }),
            _ => Ok(line.to_vec()),
        })
        .collect()
}

fn framed(chunks: &[&[u8]], limit: usize) -> Lines {
    let mut framer = LineFramer::new(limit);
    let mut lines = Lines::new();
    for chunk in chunks {
        framer.feed(chunk);
        while let Some(line) = framer.next_line() {
            lines.push(line);
        }
        // One byte more than the limit may still be the `\r` of the line end.
        assert!(pending(&framer) <= limit + 1, "{framer:?} holds back more");
    }
    lines.extend(framer.finish());
    lines
}

/// How many bytes wait for their newline; only the debugging form tells.
fn pending(framer: &LineFramer) -> usize {
    let text = format!("{framer:?}");
    let digits = text
        .split_once("pending: ")
        .and_then(|(_, rest)| rest.split(',').next())
        .expect("a framer tells how much is pending");
    digits.parse().expect("it is a number")
}

fn cut(bytes: &[u8], seed: u8) -> Vec<&[u8]> {
    let mut state = u64::from(seed) | 0x100;
    let mut chunks = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let length = usize::try_from(state % 24).unwrap_or(0).min(rest.len());
        let (chunk, after) = rest.split_at(length);
        chunks.push(chunk);
        rest = after;
    }
    chunks
}
