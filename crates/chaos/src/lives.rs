//! The lives of a Redis: each ends when it loses everything. No IO.

use crate::history::{Mark, Seen};

/// The lives of Redis: each ends when it loses everything.
pub(crate) struct Lives(Vec<usize>);

impl Lives {
    /// As the history tells them.
    pub(crate) fn of(history: &[Seen]) -> Self {
        let emptied = history.iter().enumerate();
        let emptied = emptied.filter(|(_, seen)| matches!(seen, Seen::Emptied));
        Self(emptied.map(|(at, _)| at).collect())
    }

    /// In which life this place of the history lies.
    pub(crate) fn at(&self, mark: Mark) -> usize {
        self.0.partition_point(|emptied| *emptied < mark.0)
    }

    /// The newest one.
    pub(crate) fn last(&self) -> usize {
        self.0.len()
    }
}
