//! How long permission requests, or calls of functions, still wait, by a clock that nobody sets.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// The deadlines of those that wait, by their names.
#[derive(Debug)]
pub(crate) struct Expiries<Name> {
    /// None: they wait for as long as it takes.
    patience: Option<Duration>,
    waiting: HashMap<Name, Instant>,
}

impl<Name: Clone + Eq + Hash> Expiries<Name> {
    pub(crate) fn new(patience_ms: Option<u64>) -> Self {
        Self {
            patience: patience_ms.map(Duration::from_millis),
            waiting: HashMap::new(),
        }
    }

    /// Which ones wait now. A new one has its whole time from here on.
    pub(crate) fn follow<'a>(&mut self, open: impl Iterator<Item = &'a Name>, now: Instant)
    where
        Name: 'a,
    {
        let Some(patience) = self.patience else {
            return;
        };
        let before = std::mem::take(&mut self.waiting);
        self.waiting = open
            .map(|name| {
                let until = before.get(name).copied();
                (name.clone(), until.unwrap_or(now + patience))
            })
            .collect();
    }

    /// When the first one is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.waiting.values().min().copied()
    }

    /// One that is due.
    pub(crate) fn due(&self, now: Instant) -> Option<Name> {
        let mut waiting = self.waiting.iter();
        let (name, _) = waiting.find(|(_, until)| **until <= now)?;
        Some(name.clone())
    }
}
