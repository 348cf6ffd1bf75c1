//! What `claude` owes: an answer to each control request, signs of life during a turn, and the end
//! of a turn in time.
//!
//! Pure: it is told what was written and what was heard, and says when something is overdue. Whoever
//! starts a `claude` has one for it. The limits and why they are what they are: `docs/decisions/0006-stalls.md`.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::boot::Boot;
use crate::line::{Assistant, Line, User};

/// How long a control request may go unanswered; answers take some milliseconds.
pub const ANSWER: Duration = Duration::from_secs(5);
/// How long the first answer of a starting `claude` may take.
pub const BOOT: Duration = Duration::from_secs(30);
/// How long an interrupted turn may take to end; it takes some milliseconds.
pub const INTERRUPT: Duration = Duration::from_secs(5);
/// How long a tool may work without a word. Nothing tells of its progress, and Bash alone may be
/// given ten minutes.
const TOOL: Duration = Duration::from_secs(20 * 60);

/// A control request that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its name.
    pub id: String,
    /// The CLI may ask the model's service before it answers, so the answer can take any time.
    pub asks_model: bool,
}

/// How much silence and time a turn may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    stall: Duration,
    tool: Duration,
    turn: Option<Duration>,
}

impl Limits {
    /// `stall`: how long a turn may be silent. `turn`: how long it may take; none for as long as it
    /// likes.
    pub fn new(stall: Duration, turn: Option<Duration>) -> Self {
        Self {
            stall,
            tool: stall.max(TOOL),
            turn,
        }
    }

    /// Those of a wrapper.
    pub fn of(boot: &Boot) -> Self {
        let turn = boot.turn_ms.map(Duration::from_millis);
        Self::new(Duration::from_millis(boot.stall_ms), turn)
    }
}

/// Something is overdue. Each is told once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alarm {
    /// The running turn was silent for so long.
    Stalled(Duration),
    /// The running turn takes longer than this.
    Overlong(Duration),
    /// The running turn was told to end, or interrupted because of one of these, and goes on.
    Unmoved,
    /// A request that may wait for the model's service has no answer: is anybody there at all?
    Doubt(String),
    /// A request has no answer.
    Unanswered(String),
}

/// The overseer.
#[derive(Debug)]
pub struct Vigil {
    limits: Limits,
    turn: Option<Watched>,
    open: Vec<Open>,
}

/// A running turn.
#[derive(Debug)]
struct Watched {
    number: u64,
    began: Instant,
    /// The last sign of life.
    sign: Instant,
    /// Called and not answered.
    tools: HashSet<String>,
    /// It is somebody else's turn to act.
    waiting: bool,
    /// It was interrupted because of an alarm, and has until then.
    until: Option<Instant>,
}

/// A request without an answer.
#[derive(Debug)]
struct Open {
    request: Request,
    until: Instant,
}

impl Vigil {
    /// Nothing was written yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            turn: None,
            open: Vec::new(),
        }
    }

    /// A control request was written that is to be answered within `patience`.
    pub fn asked(&mut self, request: Request, patience: Duration, now: Instant) {
        let until = now + patience;
        self.open.push(Open { request, until });
    }

    /// Which turn runs (its number), and whether it waits for somebody else: a person who is asked
    /// for a permission, or the caller, who carries out a function.
    pub fn follow(&mut self, turn: Option<u64>, waiting: bool, now: Instant) {
        let Some(number) = turn else {
            self.turn = None;
            return;
        };
        match &mut self.turn {
            Some(watched) if watched.number == number => {
                // Once it goes on the silence begins anew.
                if watched.waiting && !waiting {
                    watched.sign = now;
                }
                watched.waiting = waiting;
            }
            Some(_) | None => {
                self.turn = Some(Watched {
                    number,
                    began: now,
                    sign: now,
                    tools: HashSet::new(),
                    waiting,
                    until: None,
                });
            }
        }
    }

    /// `claude` has printed a line; none if it is one that this version cannot read.
    pub fn heard(&mut self, line: Option<&Line>, now: Instant) {
        if let Some(Line::ControlResponse(answer)) = line {
            // An answer says that the process lives, not that the turn moves.
            let id = &answer.response.request_id;
            self.open.retain(|open| open.request.id != *id);
            return;
        }
        if line.is_none() {
            // It may be an answer in a new shape; nobody is to be killed for that.
            self.open.clear();
        }
        let Some(watched) = &mut self.turn else {
            return;
        };
        watched.sign = now;
        if let Some(Line::Assistant(line)) = line {
            watched.tools.extend(called(line));
        } else if let Some(Line::User(line)) = line {
            for id in answered(line) {
                watched.tools.remove(id);
            }
        }
    }

    /// The running turn was interrupted because somebody else did not do in time what it waits for.
    pub fn interrupted(&mut self, now: Instant) {
        if let Some(watched) = &mut self.turn {
            watched.until.get_or_insert(now + INTERRUPT);
        }
    }

    /// The process is gone, and all that it owed.
    pub fn forget(&mut self) {
        self.open.clear();
        self.turn = None;
    }

    /// When something will be overdue, if nothing is heard.
    pub fn deadline(&self) -> Option<Instant> {
        let turn = self.turn.as_ref();
        let turn = turn.and_then(|watched| watched.next(&self.limits));
        let request = self.open.iter().map(|open| open.until).min();
        turn.map(|(at, _)| at).into_iter().chain(request).min()
    }

    /// What is overdue; to be asked again until nothing is.
    pub fn due(&mut self, now: Instant) -> Option<Alarm> {
        if let Some(at) = self.open.iter().position(|open| open.until <= now) {
            let Request { id, asks_model } = self.open.remove(at).request;
            return Some(if asks_model {
                Alarm::Doubt(id)
            } else {
                Alarm::Unanswered(id)
            });
        }
        let watched = self.turn.as_mut()?;
        let (_, alarm) = watched.next(&self.limits).filter(|(at, _)| *at <= now)?;
        watched.until = Some(now + INTERRUPT);
        Some(alarm)
    }
}

impl Watched {
    /// The first thing that would be overdue, and when.
    fn next(&self, limits: &Limits) -> Option<(Instant, Alarm)> {
        if let Some(until) = self.until {
            return Some((until, Alarm::Unmoved));
        }
        let silence = match (self.waiting, self.tools.is_empty()) {
            (true, _) => None,
            (false, true) => Some(limits.stall),
            (false, false) => Some(limits.tool),
        };
        let stalled = silence.map(|limit| (self.sign + limit, Alarm::Stalled(limit)));
        let overlong = limits
            .turn
            .map(|limit| (self.began + limit, Alarm::Overlong(limit)));
        stalled
            .into_iter()
            .chain(overlong)
            .min_by_key(|(at, _)| *at)
    }
}

fn called(line: &Assistant) -> impl Iterator<Item = String> {
    let blocks = line.message.content.as_array().into_iter().flatten();
    let calls = blocks.filter(|block| block["type"] == "tool_use");
    calls.filter_map(|block| Some(block["id"].as_str()?.to_owned()))
}

fn answered(line: &User) -> impl Iterator<Item = &str> {
    let blocks: &[Value] = line.message.content.as_array().map_or(&[], Vec::as_slice);
    blocks
        .iter()
        .filter_map(|block| block["tool_use_id"].as_str())
}

#[cfg(test)]
mod tests;
