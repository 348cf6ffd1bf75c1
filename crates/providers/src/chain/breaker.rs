//! Whether a provider is asked at all.
//!
//! ```text
//!           failed three times in a row,
//!           or asked to wait                   the pause is over
//!  closed ──────────────────────────► open ───────────────────► half-open: one is asked
//!    ▲                                 ▲                             │
//!    └──────────── it speaks ──────────┼─────────────────────────────┤
//!                                      └──── it fails (longer) ──────┘
//! ```
//!
//! Where nobody else may be asked a pause of its own is over at once, and all are asked while one
//! probes; a wait that the provider asked for is kept.

use std::time::Duration;

use ccpool::FailureKind;
use tokio::time::Instant;

use super::verdict::{Witness, witness};

/// So many failures in a row open it.
const FAILURES: u32 = 3;
/// The first pause; it doubles with each further one.
const SHORTEST: Duration = Duration::from_secs(1);
/// The longest pause of its own.
const LONGEST: Duration = Duration::from_secs(30);
/// The longest that a provider can ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(600);

/// Time is passed in.
#[derive(Debug)]
pub(super) struct Breaker {
    state: State,
    /// How often it has opened since an answer came to its end.
    openings: u32,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed {
        failures: u32,
    },
    Open {
        until: Instant,
        /// It asked itself to be left alone until then.
        asked: Instant,
        why: FailureKind,
    },
    /// One is being asked.
    HalfOpen {
        why: FailureKind,
    },
}

/// Whether somebody else may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resort {
    /// Perhaps.
    First,
    /// No: nothing is gained by passing by. What the provider itself asked for still counts.
    Last,
}

/// Whether somebody may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// Yes.
    Asked,
    /// Yes, and on its outcome depends whether others may.
    Probes,
    /// No, because of a failure of this kind; perhaps in so long.
    PassedBy { kind: FailureKind, wait: Duration },
}

impl Breaker {
    pub(super) fn new() -> Self {
        Self {
            state: State::Closed { failures: 0 },
            openings: 0,
        }
    }

    pub(super) fn admit(&mut self, resort: Resort, now: Instant) -> Admission {
        match (self.state, resort) {
            (State::Closed { .. }, _) | (State::HalfOpen { .. }, Resort::Last) => Admission::Asked,
            (State::HalfOpen { why }, Resort::First) => Admission::PassedBy {
                kind: why,
                wait: SHORTEST,
            },
            (State::Open { until, asked, why }, _) => {
                let until = match resort {
                    Resort::First => until,
                    Resort::Last => asked,
                };
                if now < until {
                    let wait = until - now;
                    return Admission::PassedBy { kind: why, wait };
                }
                self.state = State::HalfOpen { why };
                Admission::Probes
            }
        }
    }

    /// Something of an answer was seen. A probe lets others through, and if it fails after all, it
    /// opens again at once.
    pub(super) fn spoke(&mut self, is_probe: bool) {
        if let State::HalfOpen { .. } = self.state
            && is_probe
        {
            self.state = State::Closed {
                failures: FAILURES - 1,
            };
        }
    }

    /// An answer came to its end.
    pub(super) fn succeeded(&mut self, is_probe: bool) {
        match self.state {
            State::Closed { .. } => {}
            State::HalfOpen { .. } if is_probe => {}
            // What began before it opened says nothing of now.
            State::HalfOpen { .. } | State::Open { .. } => return,
        }
        *self = Self::new();
    }

    /// An answer failed.
    pub(super) fn failed(
        &mut self,
        is_probe: bool,
        kind: FailureKind,
        retry_after: Option<Duration>,
        now: Instant,
    ) {
        match witness(kind) {
            Witness::Well => self.succeeded(is_probe),
            Witness::Silent => self.left(is_probe, now),
            Witness::Ill => self.is_ill(is_probe, kind, retry_after, now),
        }
    }

    /// Nobody knows what became of it: its reader has gone away.
    pub(super) fn left(&mut self, is_probe: bool, now: Instant) {
        if let State::HalfOpen { why } = self.state
            && is_probe
        {
            // Whoever comes next is the next probe.
            let (until, asked) = (now, now);
            self.state = State::Open { until, asked, why };
        }
    }

    fn is_ill(
        &mut self,
        is_probe: bool,
        kind: FailureKind,
        retry_after: Option<Duration>,
        now: Instant,
    ) {
        let asked = retry_after.map(|wait| wait.min(LONGEST_ASKED));
        match &mut self.state {
            State::Closed { failures } => {
                *failures += 1;
                if *failures >= FAILURES || asked.is_some_and(|wait| !wait.is_zero()) {
                    self.open(kind, asked, now);
                }
            }
            State::HalfOpen { .. } if is_probe => self.open(kind, asked, now),
            State::HalfOpen { .. } => {}
            // It was asked before this opened, and may ask for more.
            State::Open {
                until,
                asked: waited,
                ..
            } => {
                *waited = (*waited).max(now + asked.unwrap_or_default());
                *until = (*until).max(*waited);
            }
        }
    }

    fn open(&mut self, why: FailureKind, asked: Option<Duration>, now: Instant) {
        let own = SHORTEST
            .saturating_mul(1 << self.openings.min(16))
            .min(LONGEST);
        self.openings += 1;
        let asked = asked.unwrap_or_default();
        self.state = State::Open {
            until: now + own.max(asked),
            asked: now + asked,
            why,
        };
    }

    /// For how long nobody may ask, and why.
    pub(super) fn closed_off(
        &self,
        resort: Resort,
        now: Instant,
    ) -> Option<(FailureKind, Duration)> {
        match (self.state, resort) {
            (State::Closed { .. } | State::HalfOpen { .. }, Resort::Last)
            | (State::Closed { .. }, Resort::First) => None,
            (State::HalfOpen { why }, Resort::First) => Some((why, Duration::ZERO)),
            (State::Open { until, why, .. }, Resort::First) => {
                Some((why, until.saturating_duration_since(now)))
            }
            (State::Open { asked, why, .. }, Resort::Last) => {
                let wait = asked.saturating_duration_since(now);
                (!wait.is_zero()).then_some((why, wait))
            }
        }
    }

    /// For the metric: 0 closed, 1 half-open, 2 open.
    pub(super) fn level(&self) -> u8 {
        match self.state {
            State::Closed { .. } => 0,
            State::HalfOpen { .. } => 1,
            State::Open { .. } => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn fail(breaker: &mut Breaker, now: Instant) {
        breaker.failed(false, FailureKind::Unavailable, None, now);
    }

    fn passed_by(kind: FailureKind, wait: Duration) -> Admission {
        Admission::PassedBy { kind, wait }
    }

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::new();
        for _ in 0..FAILURES {
            assert_eq!(breaker.admit(Resort::First, now), Admission::Asked);
            fail(&mut breaker, now);
        }
        breaker
    }

    #[test]
    fn three_failures_in_a_row_open_it() {
        let now = Instant::now();
        let mut breaker = Breaker::new();
        fail(&mut breaker, now);
        fail(&mut breaker, now);
        breaker.succeeded(false);
        fail(&mut breaker, now);
        fail(&mut breaker, now);
        assert_eq!(
            (breaker.admit(Resort::First, now), breaker.level()),
            (Admission::Asked, 0)
        );
        fail(&mut breaker, now);
        let passed = passed_by(FailureKind::Unavailable, SECOND);
        assert_eq!(
            (breaker.admit(Resort::First, now), breaker.level()),
            (passed, 2)
        );
    }

    #[test]
    fn who_asks_to_wait_is_waited_for_within_reason() {
        let now = Instant::now();
        for (asked, waited) in [
            (Duration::ZERO, None),
            (SECOND / 10, Some(SECOND)),
            (SECOND * 90, Some(SECOND * 90)),
            (Duration::MAX, Some(LONGEST_ASKED)),
        ] {
            let mut breaker = Breaker::new();
            breaker.failed(false, FailureKind::RateLimited, Some(asked), now);
            let wanted = waited.map_or(Admission::Asked, |wait| {
                passed_by(FailureKind::RateLimited, wait)
            });
            assert_eq!(breaker.admit(Resort::First, now), wanted, "{asked:?}");
        }
    }

    #[test]
    fn one_probes_and_the_others_pass_by() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let later = now + SECOND;
        assert_eq!(breaker.admit(Resort::First, later), Admission::Probes);
        let passed = passed_by(FailureKind::Unavailable, SECOND);
        assert_eq!(
            (breaker.admit(Resort::First, later), breaker.level()),
            (passed, 1)
        );
        // Those that began before do not decide.
        breaker.succeeded(false);
        fail(&mut breaker, later);
        assert_eq!(breaker.level(), 1);
        breaker.succeeded(true);
        assert_eq!(
            (breaker.admit(Resort::First, later), breaker.level()),
            (Admission::Asked, 0)
        );
        fail(&mut breaker, later);
        assert_eq!(breaker.level(), 0, "it begins anew");
    }

    #[test]
    fn pauses_grow_while_probes_fail() {
        let mut now = Instant::now();
        let mut breaker = opened(now);
        let mut pauses = Vec::new();
        for _ in 0..7 {
            let Some((_, wait)) = breaker.closed_off(Resort::First, now) else {
                panic!("it is closed");
            };
            pauses.push(wait.as_secs());
            now += wait;
            assert_eq!(breaker.admit(Resort::First, now), Admission::Probes);
            breaker.failed(true, FailureKind::Stalled, None, now);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
    }

    #[test]
    fn a_probe_that_speaks_lets_others_in_and_one_more_failure_opens_it() {
        let now = Instant::now();
        let later = now + SECOND;
        let mut breaker = opened(now);
        assert_eq!(breaker.admit(Resort::First, later), Admission::Probes);
        breaker.spoke(true);
        assert_eq!(breaker.admit(Resort::First, later), Admission::Asked);
        breaker.failed(true, FailureKind::ContainerLost, None, later);
        let passed = passed_by(FailureKind::ContainerLost, SECOND * 2);
        assert_eq!(breaker.admit(Resort::First, later), passed);
    }

    #[test]
    fn a_probe_that_nobody_waits_for_makes_room_for_the_next() {
        let now = Instant::now();
        let later = now + SECOND;
        for gone in [
            None,
            Some(FailureKind::Exhausted),
            Some(FailureKind::Interrupted),
        ] {
            let mut breaker = opened(now);
            assert_eq!(breaker.admit(Resort::First, later), Admission::Probes);
            match gone {
                None => breaker.left(true, later),
                Some(kind) => breaker.failed(true, kind, Some(SECOND), later),
            }
            assert_eq!(
                breaker.admit(Resort::First, later),
                Admission::Probes,
                "{gone:?}"
            );
        }
    }

    #[test]
    fn where_nobody_else_may_be_asked_only_what_was_asked_for_is_waited_for() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert_eq!(breaker.closed_off(Resort::Last, now), None);
        assert_eq!(breaker.admit(Resort::Last, now), Admission::Probes);
        assert_eq!(breaker.admit(Resort::Last, now), Admission::Asked);
        let passed = passed_by(FailureKind::Unavailable, SECOND);
        assert_eq!(breaker.admit(Resort::First, now), passed);
        breaker.succeeded(true);
        assert_eq!(breaker.level(), 0);

        let (kind, wait) = (FailureKind::RateLimited, SECOND / 10);
        breaker.failed(false, kind, Some(wait), now);
        assert_eq!(
            breaker.closed_off(Resort::Last, now),
            Some((kind, wait)),
            "not for as long as where others can be asked"
        );
        assert_eq!(breaker.admit(Resort::Last, now), passed_by(kind, wait));
        assert_eq!(breaker.admit(Resort::First, now), passed_by(kind, SECOND));
        // Whoever was asked before may hear of a longer one.
        breaker.failed(false, kind, Some(SECOND * 2), now);
        let passed = passed_by(kind, SECOND * 2);
        assert_eq!(breaker.admit(Resort::Last, now), passed);
        assert_eq!(breaker.admit(Resort::First, now), passed);
        let later = now + SECOND * 2;
        assert_eq!(breaker.admit(Resort::Last, later), Admission::Probes);
    }

    #[test]
    fn every_kind_says_what_it_says() {
        let now = Instant::now();
        for kind in FailureKind::ALL {
            let mut breaker = Breaker::new();
            for _ in 0..FAILURES {
                breaker.failed(false, kind, None, now);
            }
            let is_open = breaker.level() == 2;
            assert_eq!(is_open, witness(kind) == Witness::Ill, "{kind}");
            let mut breaker = opened(now);
            assert_eq!(
                breaker.admit(Resort::First, now + SECOND),
                Admission::Probes
            );
            breaker.failed(true, kind, None, now + SECOND);
            let is_closed = breaker.level() == 0;
            assert_eq!(is_closed, witness(kind) == Witness::Well, "{kind}");
        }
    }

    proptest! {
        /// Whatever happens: one probe at a time, and no pause without an end.
        #[test]
        fn any_history(steps in prop::collection::vec((0..5_u8, 0..12_usize, 0..2000_u64), 0..200)) {
            let mut now = Instant::now();
            let mut breaker = Breaker::new();
            let mut asking: Vec<bool> = Vec::new();
            for (step, kind, wait) in steps {
                match step {
                    0 => match breaker.admit(if kind % 3 == 0 { Resort::Last } else { Resort::First }, now) {
                        Admission::Asked => asking.push(false),
                        Admission::Probes => {
                            prop_assert!(!asking.contains(&true), "two probe");
                            asking.push(true);
                        }
                        Admission::PassedBy { wait, .. } => prop_assert!(wait <= LONGEST_ASKED),
                    },
                    1 => now += Duration::from_millis(wait * 10),
                    _ => {
                        let Some(is_probe) = asking.pop() else { continue };
                        let asked = (wait % 2 == 0).then(|| Duration::from_secs(wait));
                        match step {
                            2 => breaker.succeeded(is_probe),
                            3 => breaker.left(is_probe, now),
                            _ => breaker.failed(is_probe, FailureKind::ALL[kind], asked, now),
                        }
                    }
                }
            }
            // With nobody asking any more it is never shut for ever.
            for is_probe in asking {
                breaker.left(is_probe, now);
            }
            let is_asked = breaker.admit(Resort::First, now + LONGEST_ASKED);
            prop_assert!(!matches!(is_asked, Admission::PassedBy { .. }), "{is_asked:?}");
        }
    }
}
