use std::collections::VecDeque;

/// What is kept of an output: its beginning and its end, whatever its length.
#[derive(Debug)]
pub(super) struct Kept {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    /// Of each of the two.
    most: usize,
    total: u64,
}

impl Kept {
    /// At most so many bytes, half of them from the end.
    pub(super) fn new(most: usize) -> Self {
        Self {
            head: Vec::new(),
            tail: VecDeque::new(),
            most: most.div_ceil(2),
            total: 0,
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let (head, rest) = bytes.split_at(bytes.len().min(self.most - self.head.len()));
        self.head.extend_from_slice(head);
        let rest = &rest[rest.len().saturating_sub(self.most)..];
        let over = (self.tail.len() + rest.len()).saturating_sub(self.most);
        self.tail.drain(..over);
        self.tail.extend(rest);
    }

    /// Takes the last `mark` out again; whether there was one.
    pub(super) fn take_out(&mut self, mark: &[u8]) -> bool {
        let mut kept = [&self.head[..], self.tail.make_contiguous()].concat();
        let Some(at) = kept.windows(mark.len()).rposition(|found| found == mark) else {
            return false;
        };
        kept.drain(at..at + mark.len());
        let tail = kept.split_off(kept.len().min(self.head.len()));
        (self.head, self.tail) = (kept, tail.into());
        self.total -= mark.len() as u64;
        true
    }

    /// How many bytes there were.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// As text, which says how much is missing in the middle. What is no UTF-8 becomes `�`.
    pub(super) fn text(&self) -> String {
        let kept = (self.head.len() + self.tail.len()) as u64;
        let tail: Vec<u8> = self.tail.iter().copied().collect();
        let left_out = self.total - kept;
        if left_out == 0 {
            let all = [&self.head[..], &tail].concat();
            return String::from_utf8_lossy(&all).into_owned();
        }
        // A letter that is cut in two is left out as a whole.
        let (head, tail) = (without_half_end(&self.head), without_half_start(&tail));
        let left_out = self.total - (head.len() + tail.len()) as u64;
        format!(
            "{}\n[... {left_out} bytes are left out here ...]\n{}",
            String::from_utf8_lossy(head),
            String::from_utf8_lossy(tail)
        )
    }
}

fn without_half_end(bytes: &[u8]) -> &[u8] {
    let last = bytes.utf8_chunks().last();
    let half = last.map_or(&[][..], |chunk| chunk.invalid());
    let is_cut = std::str::from_utf8(half).is_err_and(|error| error.error_len().is_none());
    if is_cut {
        &bytes[..bytes.len() - half.len()]
    } else {
        bytes
    }
}

fn without_half_start(bytes: &[u8]) -> &[u8] {
    let is_middle = |byte: &&u8| **byte & 0b1100_0000 == 0b1000_0000;
    // A letter has at most three bytes after its first one.
    let half = bytes.iter().take(3).take_while(is_middle).count();
    &bytes[half..]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kept(most: usize, pieces: &[&[u8]]) -> Kept {
        let mut kept = Kept::new(most);
        pieces.iter().for_each(|piece| kept.push(piece));
        kept
    }

    #[test]
    fn what_fits_is_kept_as_it_is() {
        let all = kept(10, &[b"hello", b"", b"world"]);
        assert_eq!((all.text().as_str(), all.total()), ("helloworld", 10));
        assert_eq!(kept(10, &[]).text(), "");
        // Cut only where it is kept.
        assert_eq!(kept(4, &["aä".as_bytes()]).text(), "aä");
    }

    #[test]
    fn of_more_beginning_and_end_are_kept() {
        let all = kept(8, &[b"abcdef", b"ghijklmn", b"op"]);
        assert_eq!(
            all.text(),
            "abcd\n[... 8 bytes are left out here ...]\nmnop"
        );
        let letters = kept(6, &["ääääääää".as_bytes()]);
        assert_eq!(letters.text(), "ä\n[... 12 bytes are left out here ...]\nä");
        let noise = kept(4, &[b"\xff\xff\xff\xff\xff\xff"]);
        assert_eq!(
            noise.text(),
            "\u{fffd}\u{fffd}\n[... 2 bytes are left out here ...]\n\u{fffd}\u{fffd}"
        );
    }

    #[test]
    fn a_mark_can_be_taken_out_wherever_it_is() {
        for pieces in [&[&b"ab-MARK-cd"[..]][..], &[b"ab-MA", b"RK-cd"]] {
            for most in [20, 12, 8] {
                let mut all = kept(most, pieces);
                let found = all.take_out(b"MARK");
                // With 8 bytes its middle is not kept.
                assert_eq!(found, most > 8, "{all:?}");
                if found {
                    assert_eq!((all.text().as_str(), all.total()), ("ab--cd", 6));
                }
            }
        }
        let mut all = kept(16, &[&b"x".repeat(30), b"MARK"]);
        assert!(all.take_out(b"MARK") && !all.take_out(b"MARK"));
        assert_eq!(
            all.text(),
            "xxxxxxxx\n[... 18 bytes are left out here ...]\nxxxx"
        );
    }

    proptest! {
        #[test]
        fn it_is_the_same_in_whatever_pieces_it_comes(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            cuts in prop::collection::vec(0_usize..200, 0..8),
            most in 1_usize..64,
        ) {
            let mut pieces = Kept::new(most);
            let mut at = 0;
            let mut cuts = cuts;
            cuts.sort_unstable();
            for cut in cuts {
                let cut = cut.min(bytes.len());
                pieces.push(&bytes[at..cut]);
                at = cut;
                prop_assert!(pieces.head.len() + pieces.tail.len() <= most + 1);
            }
            pieces.push(&bytes[at..]);
            let whole = kept(most, &[&bytes]);
            prop_assert_eq!(pieces.text(), whole.text());
            prop_assert_eq!(pieces.total(), bytes.len() as u64);
        }
    }
}
