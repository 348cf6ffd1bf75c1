//! What was seen during a run, in the order in which it was seen.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// One observation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Seen {
    /// A gateway took a prompt and named its turn. `asked`: where the history was when it was sent.
    Accepted {
        session: String,
        turn: String,
        asked: Mark,
    },
    /// A client has read how a turn ended.
    Answered {
        session: String,
        turn: String,
        ending: Ending,
    },
    /// A gateway said that it knows no such session, to the client whose turn was taken.
    Forgotten { session: String, turn: String },
    /// A client has waited long enough.
    GaveUp {
        session: String,
        turn: String,
        why: String,
    },
    /// A client has gone away and waits for nothing.
    Departed { session: String },
    /// A client was told that its session has ended, or is unknown; it does not claim it again.
    Ended { session: String },
    /// After the load: the sessions that are still served.
    Still(Vec<Owner>),
    /// Redis holds a prompt or an envelope of a turn. `asked`: where the history was before Redis
    /// was read.
    Held {
        session: String,
        turn: String,
        asked: Mark,
    },
    /// Redis holds a turn's terminal line.
    Terminal {
        session: String,
        turn: String,
        ending: Ending,
        asked: Mark,
    },
    /// Redis has lost everything.
    Emptied,
    /// Which container serves which session, all at one moment: containers that are assigned.
    Owners(Vec<Owner>),
    /// So many containers of the pool existed at one moment.
    Containers(Vec<String>),
    /// A fault has struck, or a part of the run is over: nothing wrong, but what people look for.
    Happened(String),
    /// The model was asked for an answer to this prompt, so often by each `claude`, by the CLI's
    /// session.
    Asked {
        prompt: String,
        most: usize,
        by: BTreeMap<String, usize>,
    },
    /// After the end of everything this was still there.
    Left(String),
    /// Something has not happened in time.
    Hung(String),
    /// Something that cannot be.
    Broken(String),
}

/// How a turn ended.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ending {
    /// `completed`, or the kind of the failure.
    pub(crate) kind: String,
    /// The number of its envelope.
    pub(crate) seq: u64,
}

/// A container and its session.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Owner {
    pub(crate) container: String,
    pub(crate) session: String,
}

/// A place in the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark(pub(crate) usize);

/// Where everybody writes down what they see.
#[derive(Debug, Clone)]
pub(crate) struct Notebook {
    began: Instant,
    all: Arc<Mutex<Vec<(Duration, Seen)>>>,
}

impl Notebook {
    /// An empty one, whose clock begins now.
    pub(crate) fn begin() -> Self {
        Self {
            began: Instant::now(),
            all: Arc::default(),
        }
    }

    /// Writes it down.
    pub(crate) fn note(&self, seen: Seen) {
        self.lock().push((self.began.elapsed(), seen));
    }

    /// Writes it down unless it stands there already.
    pub(crate) fn note_once(&self, seen: Seen) {
        let mut all = self.lock();
        if !all.iter().any(|(_, noted)| *noted == seen) {
            all.push((self.began.elapsed(), seen));
        }
    }

    /// Where the history is now.
    pub(crate) fn mark(&self) -> Mark {
        Mark(self.lock().len())
    }

    /// How often Redis had lost everything there.
    pub(crate) fn lives(&self, mark: Mark) -> usize {
        let all = self.lock();
        let before = all.iter().take(mark.0);
        before
            .filter(|(_, seen)| matches!(seen, Seen::Emptied))
            .count()
    }

    /// Everything so far.
    pub(crate) fn all(&self) -> Vec<Seen> {
        self.lock().iter().map(|(_, seen)| seen.clone()).collect()
    }

    /// Everything so far, for people: a line each, with the seconds since the beginning.
    pub(crate) fn to_text(&self) -> String {
        let all = self.lock();
        let lines = all
            .iter()
            .map(|(at, seen)| format!("{:8.3} {seen:?}\n", at.as_secs_f64()));
        lines.collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Duration, Seen)>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
