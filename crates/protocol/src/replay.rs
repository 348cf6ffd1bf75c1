//! Recorded stdout of `claude` to reply events.
//!
//! Takes plain lines, or the recorded form `{"dir":"in"|"out","t_ms":…,"line":…}`, of which the
//! `out` lines count. Turns are numbered `t1`, `t2`, …; `at` is the recorded time, or 0.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::event::ReplyEvent;
use crate::fold::{Ending, Fold, Stamp};
use crate::line::{Line, LineError};
use crate::{TurnId, UnixMs};

/// Folds a recording line by line.
#[derive(Debug)]
pub struct Replay {
    fold: Fold,
    turns: u64,
    turn: TurnId,
    seq: u64,
}

#[derive(Deserialize)]
struct Recorded<'a> {
    dir: &'a str,
    #[serde(default)]
    t_ms: f64,
    #[serde(borrow)]
    line: &'a RawValue,
}

impl Default for Replay {
    fn default() -> Self {
        Self {
            fold: Fold::new(Ending::ByResult),
            turns: 1,
            turn: turn(1),
            seq: 0,
        }
    }
}

fn turn(number: u64) -> TurnId {
    TurnId::new(format!("t{number}")).expect("t and digits are a turn id")
}

impl Replay {
    /// Takes the next line of the file.
    ///
    /// # Errors
    /// [`LineError`] when it is not a line of `claude`'s.
    pub fn push(&mut self, text: &str) -> Result<Vec<ReplyEvent>, LineError> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(Vec::new());
        }
        if text.starts_with("{\"dir\"")
            && let Ok(recorded) = serde_json::from_str::<Recorded<'_>>(text)
        {
            if recorded.dir != "out" {
                return Ok(Vec::new());
            }
            // The recorder's times are small and not negative.
            return self.line(recorded.line.get(), recorded.t_ms.max(0.0) as UnixMs);
        }
        self.line(text, 0)
    }

    fn line(&mut self, text: &str, at: UnixMs) -> Result<Vec<ReplyEvent>, LineError> {
        self.seq += 1;
        let line = Line::parse(text)?;
        // The first line of a turn comes after the end of the last one; what trails a result
        // (suggestions, the fate of the prompt) still belongs to it.
        if self.fold.turn_ended() && matches!(line, Line::Init(_) | Line::Result(_)) {
            self.turns += 1;
            self.turn = turn(self.turns);
        }
        Ok(self.fold.push(
            Stamp {
                turn: &self.turn,
                seq: self.seq,
                at,
            },
            line,
        ))
    }
}
