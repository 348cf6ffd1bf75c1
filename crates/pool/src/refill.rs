//! How fast new containers may be started on a host: a token bucket with a circuit breaker.
//!
//! ```text
//!             failed                  the pause is over
//!  closed ─────────────► open (pause) ─────────────────► half-open: one is tried
//!    ▲                     ▲                                  │
//!    └──── succeeded ──────┼────────────── succeeded ─────────┤
//!                          └────────────── failed (longer) ───┘
//! ```

use std::time::Duration;

use tokio::time::Instant;

/// The shortest pause after a failure; it doubles with each further one.
const SHORTEST: Duration = Duration::from_millis(500);
/// The longest.
const LONGEST: Duration = Duration::from_secs(30);

/// Paces the start of containers. Time is passed in.
#[derive(Debug)]
pub struct Refill {
    burst: usize,
    interval: Duration,
    /// The one that is tried while the breaker is half-open must be warm or broken by then.
    patience: Duration,
    tokens: usize,
    filled_at: Instant,
    breaker: Breaker,
}

/// Whether containers are started at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breaker {
    /// Yes.
    Closed,
    /// Not before `until`: so many in a row did not become warm.
    Open {
        /// How many.
        failures: u32,
        /// Until when.
        until: Instant,
    },
    /// One is being tried; nothing else before it has succeeded or failed, or `until`.
    HalfOpen {
        /// How many failed before.
        failures: u32,
        /// Until when.
        until: Instant,
    },
}

impl Refill {
    /// `burst` at once, then one every `interval`. `patience`: how long one takes at most until it
    /// is warm or has failed.
    pub fn new(burst: usize, interval: Duration, patience: Duration, now: Instant) -> Self {
        Self {
            burst,
            interval,
            patience,
            tokens: burst,
            filled_at: now,
            breaker: Breaker::Closed,
        }
    }

    /// How many may be started now.
    pub fn allowance(&mut self, now: Instant) -> usize {
        let passed = now.saturating_duration_since(self.filled_at);
        let whole = (passed.as_micros() / self.interval.as_micros().max(1)) as usize;
        if whole > 0 {
            self.tokens = (self.tokens.saturating_add(whole)).min(self.burst);
            self.filled_at = now;
        }
        match self.breaker {
            Breaker::Closed => self.tokens,
            Breaker::Open { until, .. } | Breaker::HalfOpen { until, .. } if now < until => 0,
            Breaker::Open { .. } | Breaker::HalfOpen { .. } => self.tokens.min(1),
        }
    }

    /// One was started.
    pub fn take(&mut self, now: Instant) {
        self.tokens = self.tokens.saturating_sub(1);
        match self.breaker {
            Breaker::Closed => {}
            Breaker::Open { failures, .. } | Breaker::HalfOpen { failures, .. } => {
                let until = now + self.patience;
                self.breaker = Breaker::HalfOpen { failures, until };
            }
        }
    }

    /// One became warm: whatever was wrong is over.
    pub fn succeeded(&mut self) {
        self.breaker = Breaker::Closed;
    }

    /// One did not become warm. Pauses 0.5 s, 1 s, 2 s, … up to 30 s, plus up to a quarter of
    /// that by `jitter` (0 to 1), so that gateways do not come back in step.
    pub fn failed(&mut self, now: Instant, jitter: f64) -> Duration {
        let failures = match self.breaker {
            Breaker::Closed => 0,
            Breaker::Open { failures, .. } | Breaker::HalfOpen { failures, .. } => failures,
        };
        let pause = SHORTEST
            .saturating_mul(1 << failures.min(16))
            .min(LONGEST)
            .mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 4.0);
        self.breaker = Breaker::Open {
            failures: failures + 1,
            until: now + pause,
        };
        pause
    }

    /// Whether containers are started at all.
    pub fn breaker(&self) -> Breaker {
        self.breaker
    }

    /// When starting is possible again, if it is not now.
    pub fn opens_at(&self) -> Option<Instant> {
        match self.breaker {
            Breaker::Closed => None,
            Breaker::Open { until, .. } | Breaker::HalfOpen { until, .. } => Some(until),
        }
    }
}

impl Breaker {
    /// For the metric: 0 closed, 1 half-open, 2 open.
    pub fn level(self) -> u8 {
        match self {
            Self::Closed => 0,
            Self::HalfOpen { .. } => 1,
            Self::Open { .. } => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_one_per_interval() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut refill = Refill::new(2, second, second, start);
        assert_eq!(refill.allowance(start), 2);
        refill.take(start);
        refill.take(start);
        assert_eq!(refill.allowance(start), 0);
        assert_eq!(refill.allowance(start + second), 1);
        assert_eq!(refill.allowance(start + second * 60), 2);
    }

    #[test]
    fn failures_close_it_for_longer_and_longer() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut refill = Refill::new(2, second, second * 9, start);
        let pauses: Vec<u128> = (0..8)
            .map(|_| refill.failed(start, 0.0).as_millis())
            .collect();
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]);
        assert_eq!(refill.allowance(start + Duration::from_secs(29)), 0);
        assert_eq!(refill.allowance(start + Duration::from_secs(30)), 1);
        refill.succeeded();
        assert_eq!(refill.failed(start, 1.0).as_millis(), 625);
    }

    #[test]
    fn half_open_one_is_tried_at_a_time() {
        let second = Duration::from_secs(1);
        let start = Instant::now();
        let mut refill = Refill::new(4, second, second * 9, start);
        refill.failed(start, 0.0);
        assert_eq!((refill.allowance(start), refill.breaker().level()), (0, 2));
        let later = start + second;
        assert_eq!(refill.allowance(later), 1);
        refill.take(later);
        assert_eq!((refill.allowance(later), refill.breaker().level()), (0, 1));
        assert_eq!(refill.failed(later, 0.0), second, "longer than before");
        refill.take(later + second);
        refill.succeeded();
        assert_eq!(
            (refill.allowance(later + second), refill.breaker().level()),
            (3, 0)
        );
        // One whose end nobody hears of does not close it for ever.
        refill.failed(later, 0.0);
        refill.take(later + second);
        assert_eq!(refill.allowance(later + second * 10), 1);
    }
}
