//! Where the time of a turn went: from its moments to stages that follow each other.

use crate::UnixMs;
use crate::event::Timings;

/// A part of a turn, in the order in which they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// In Redis, until the wrapper took it.
    Queue,
    /// In the wrapper, until the turn before it was over and it was written to `claude`.
    Wait,
    /// In `claude`, until it was about to send the turn's first API request.
    Prepare,
    /// At the model, until the first delta.
    Request,
    /// From the first delta to the end, tools and further requests included.
    Answer,
}

/// Where a turn was, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageTime {
    /// The stage.
    pub stage: Stage,
    /// When it began.
    pub from: UnixMs,
    /// When it was over; never before `from`.
    pub to: UnixMs,
    /// Begin and end are the stage's own: the turn did not end in the midst of it, and it does not
    /// stand in for an earlier stage whose end nobody told. Only such a time says how long the
    /// stage takes.
    pub is_whole: bool,
}

impl Stage {
    /// All of them, in their order.
    pub const ALL: [Self; 5] = [
        Self::Queue,
        Self::Wait,
        Self::Prepare,
        Self::Request,
        Self::Answer,
    ];

    /// As in metrics and traces.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Wait => "wait",
            Self::Prepare => "prepare",
            Self::Request => "request",
            Self::Answer => "answer",
        }
    }

    /// The moment that ends it, after the turn's beginning. The answer ends with the turn.
    fn end(self, timings: &Timings) -> Option<u64> {
        match self {
            Self::Queue => timings.taken_ms,
            Self::Wait => timings.sent_ms,
            Self::Prepare => timings.request_ms,
            Self::Request => timings.first_delta_ms,
            Self::Answer => None,
        }
    }
}

/// The stages of a turn that began and ended then. They follow each other without a gap from the
/// beginning to the end; the last one is where the turn was when it ended.
///
/// A moment that is not known (a line that was missed, an older wrapper) belongs to the stage after
/// it. Clocks that disagree make a stage empty, never negative.
pub fn stages(began_at: UnixMs, timings: &Timings, ended_at: UnixMs) -> Vec<StageTime> {
    let ended_at = ended_at.max(began_at);
    let last = Stage::ALL
        .into_iter()
        .rev()
        .find(|stage| stage.end(timings).is_some());
    let mut times = Vec::with_capacity(Stage::ALL.len());
    let (mut from, mut is_own) = (began_at, true);
    for stage in Stage::ALL {
        let is_past = last.is_some_and(|last| stage <= last);
        match stage.end(timings) {
            Some(end) => {
                let to = began_at.saturating_add(end).clamp(from, ended_at);
                times.push(StageTime {
                    stage,
                    from,
                    to,
                    is_whole: is_own,
                });
                (from, is_own) = (to, true);
            }
            None if is_past => is_own = false,
            None => {
                times.push(StageTime {
                    stage,
                    from,
                    to: ended_at,
                    is_whole: stage == Stage::Answer,
                });
                break;
            }
        }
    }
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Timings = Timings {
        taken_ms: Some(2),
        sent_ms: Some(10),
        request_ms: Some(40),
        first_delta_ms: Some(100),
        result_ms: Some(150),
    };

    fn shown(timings: &Timings) -> Vec<(&'static str, u64, u64, bool)> {
        stages(1000, timings, 1150)
            .into_iter()
            .map(|time| (time.stage.as_str(), time.from, time.to, time.is_whole))
            .collect()
    }

    #[test]
    fn a_whole_turn() {
        assert_eq!(
            shown(&ALL),
            [
                ("queue", 1000, 1002, true),
                ("wait", 1002, 1010, true),
                ("prepare", 1010, 1040, true),
                ("request", 1040, 1100, true),
                ("answer", 1100, 1150, true),
            ]
        );
    }

    #[test]
    fn a_turn_that_ended_on_the_way() {
        let timings = Timings {
            first_delta_ms: None,
            ..ALL
        };
        assert_eq!(shown(&timings)[3..], [("request", 1040, 1150, false)]);
        assert_eq!(
            shown(&Timings::default()),
            [("queue", 1000, 1150, false)],
            "nobody took it"
        );
    }

    #[test]
    fn a_moment_that_nobody_told_belongs_to_the_next_stage() {
        let timings = Timings {
            taken_ms: None,
            request_ms: None,
            ..ALL
        };
        assert_eq!(
            shown(&timings),
            [
                ("wait", 1000, 1010, false),
                ("request", 1010, 1100, false),
                ("answer", 1100, 1150, true),
            ]
        );
    }

    #[test]
    fn clocks_that_disagree_make_no_time_negative() {
        let timings = Timings {
            taken_ms: Some(50),
            sent_ms: Some(20),
            first_delta_ms: Some(u64::MAX),
            ..ALL
        };
        let times = stages(1000, &timings, 1150);
        assert!(times.iter().all(|time| time.from <= time.to), "{times:?}");
        assert_eq!(times.last().map(|time| time.to), Some(1150));
        assert_eq!(stages(1000, &ALL, 0).last().map(|time| time.to), Some(1000));
    }
}
