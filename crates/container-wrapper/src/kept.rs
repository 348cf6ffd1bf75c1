//! How much of a session's output its buffer keeps: so many envelopes, and so many bytes of them.
//!
//! Pure. Only this wrapper appends to the buffer, so it knows the sizes of what is in there; Redis need
//! not look. What a wrapper before this one has left is not counted, and goes with the count of
//! envelopes.

use std::collections::VecDeque;

/// The sizes of the newest envelopes.
#[derive(Debug)]
pub(crate) struct Kept {
    sizes: VecDeque<usize>,
    bytes: usize,
    most: usize,
    most_bytes: usize,
    /// Something was too much, so nothing older than `sizes` is there any more.
    cut: bool,
}

impl Kept {
    pub(crate) fn new(most: usize, most_bytes: usize) -> Self {
        Self {
            sizes: VecDeque::new(),
            bytes: 0,
            most: most.max(1),
            most_bytes,
            cut: false,
        }
    }

    /// Another envelope is appended. Returns how many of the newest stay, itself included: it always
    /// does, whatever its size.
    pub(crate) fn add(&mut self, size: usize) -> usize {
        self.sizes.push_back(size);
        self.bytes += size;
        while self.sizes.len() > 1 && (self.bytes > self.most_bytes || self.sizes.len() > self.most)
        {
            self.bytes -= self.sizes.pop_front().unwrap_or(0);
            self.cut = true;
        }
        // One that is too big alone pushes out all that was there before.
        if self.cut || self.bytes > self.most_bytes {
            self.sizes.len()
        } else {
            self.most
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_huge_one_stays_alone() {
        let mut kept = Kept::new(10, 100);
        assert_eq!(kept.add(40), 10);
        assert_eq!(kept.add(500), 1);
        assert_eq!(kept.add(40), 1);
        assert_eq!(kept.add(40), 2);
    }

    proptest! {
        /// What stays is within both bounds, unless it is one envelope, and no more goes than must.
        #[test]
        fn both_bounds_hold(
            sizes in proptest::collection::vec(1usize..200, 1..100),
            most in 1usize..20,
            most_bytes in 1usize..1000,
        ) {
            let mut kept = Kept::new(most, most_bytes);
            let mut buffer: Vec<usize> = Vec::new();
            for size in sizes {
                buffer.push(size);
                let keep = kept.add(size);
                prop_assert!((1..=most).contains(&keep));
                buffer.drain(..buffer.len().saturating_sub(keep));
                let bytes: usize = buffer.iter().sum();
                prop_assert!(bytes <= most_bytes || buffer.len() == 1, "{buffer:?}");
            }
        }
    }
}
