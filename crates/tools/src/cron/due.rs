//! Whether a run that was taken is still to be carried out.

use std::time::Duration;

use ccpool::config::{Cron, MissedRuns};
use ccpool::store::Run;
use ccpool_protocol::UnixMs;

/// A run that is late by less than this has not been missed.
const ON_TIME: Duration = Duration::from_secs(60);
/// A run that took so many gateways down with it, or was given back so often, is given up.
const MOST_ATTEMPTS: u32 = 10;

/// What becomes of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is carried out.
    Fire,
    /// It is left out, for this reason.
    Leave(String),
}

/// `now`: Redis' time.
pub(super) fn judge(run: Run, now: UnixMs, config: &Cron) -> Verdict {
    if run.attempt > MOST_ATTEMPTS {
        let why = format!("given up after {MOST_ATTEMPTS} attempts that no gateway finished");
        return Verdict::Leave(why);
    }
    let late = Duration::from_millis(now.saturating_sub(run.due));
    let most = match config.missed {
        // Somebody was there in time, and could not finish it.
        _ if run.attempt > 1 => config.max_late,
        MissedRuns::Once => config.max_late,
        MissedRuns::Skip => ON_TIME,
    };
    if late > most {
        let late = late.as_secs();
        return Verdict::Leave(format!("missed: no gateway was there, it is {late} s late"));
    }
    Verdict::Fire
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUE: UnixMs = 1_795_195_419_675;

    fn config(missed: MissedRuns) -> Cron {
        Cron {
            max_jobs: 1,
            missed,
            max_late: Duration::from_secs(3600),
            timeout: Duration::from_secs(1),
            keep_done: Duration::ZERO,
        }
    }

    fn fires(missed: MissedRuns, attempt: u32, late_s: u64) -> bool {
        let run = Run { due: DUE, attempt };
        judge(run, DUE + late_s * 1000, &config(missed)) == Verdict::Fire
    }

    #[test]
    fn who_is_on_time_has_missed_nothing() {
        for missed in [MissedRuns::Skip, MissedRuns::Once] {
            assert!(fires(missed, 1, 0));
            assert!(fires(missed, 1, 60));
        }
        let early = Run {
            due: DUE,
            attempt: 1,
        };
        assert_eq!(
            judge(early, DUE - 5, &config(MissedRuns::Skip)),
            Verdict::Fire
        );
    }

    #[test]
    fn what_was_missed_is_left_out_or_late() {
        assert!(!fires(MissedRuns::Skip, 1, 61));
        assert!(fires(MissedRuns::Once, 1, 61));
        assert!(fires(MissedRuns::Once, 1, 3600));
        assert!(!fires(MissedRuns::Once, 1, 3601));
    }

    #[test]
    fn what_a_gateway_could_not_finish_was_not_missed() {
        assert!(fires(MissedRuns::Skip, 2, 300));
        assert!(!fires(MissedRuns::Skip, 2, 3601));
        assert!(!fires(MissedRuns::Once, 11, 300), "but not for ever");
    }
}
