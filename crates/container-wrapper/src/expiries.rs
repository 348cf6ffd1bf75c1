//! How long permission requests still wait, by a clock that nobody sets.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use ccpool_protocol::RequestId;

/// The deadlines of those that wait.
#[derive(Debug)]
pub(crate) struct Expiries {
    /// None: they wait for as long as it takes.
    patience: Option<Duration>,
    waiting: HashMap<RequestId, Instant>,
}

impl Expiries {
    pub(crate) fn new(patience_ms: Option<u64>) -> Self {
        Self {
            patience: patience_ms.map(Duration::from_millis),
            waiting: HashMap::new(),
        }
    }

    /// Which requests wait now. A new one has its whole time from here on.
    pub(crate) fn follow<'a>(&mut self, open: impl Iterator<Item = &'a RequestId>, now: Instant) {
        let Some(patience) = self.patience else {
            return;
        };
        let before = std::mem::take(&mut self.waiting);
        self.waiting = open
            .map(|request| {
                let until = before.get(request).copied();
                (request.clone(), until.unwrap_or(now + patience))
            })
            .collect();
    }

    /// When the first one is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.waiting.values().min().copied()
    }

    /// One that is due.
    pub(crate) fn due(&self, now: Instant) -> Option<RequestId> {
        let mut waiting = self.waiting.iter();
        let (request, _) = waiting.find(|(_, until)| **until <= now)?;
        Some(request.clone())
    }
}
