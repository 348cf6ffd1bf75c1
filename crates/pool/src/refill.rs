//! How fast new containers may be started: a token bucket that a run of failures closes.

use std::time::Duration;

use tokio::time::Instant;

/// Paces the start of containers. Time is passed in.
#[derive(Debug)]
pub struct Refill {
    burst: usize,
    interval: Duration,
    tokens: usize,
    filled_at: Instant,
    failures: u32,
    closed_until: Option<Instant>,
}

impl Refill {
    /// `burst` at once, then one every `interval`.
    pub fn new(burst: usize, interval: Duration, now: Instant) -> Self {
        Self {
            burst,
            interval,
            tokens: burst,
            filled_at: now,
            failures: 0,
            closed_until: None,
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
        if self.closed_until.is_some_and(|until| now < until) {
            0
        } else {
            self.tokens
        }
    }

    /// One was started.
    pub fn take(&mut self) {
        self.tokens = self.tokens.saturating_sub(1);
    }

    /// One became warm: whatever was wrong is over.
    pub fn succeeded(&mut self) {
        self.failures = 0;
        self.closed_until = None;
    }

    /// One did not become warm. Pauses 0.5 s, 1 s, 2 s, … up to 30 s, plus up to a quarter of
    /// that by `jitter` (0 to 1), so that gateways do not come back in step.
    pub fn failed(&mut self, now: Instant, jitter: f64) -> Duration {
        let pause = Duration::from_millis(500 << self.failures.min(6)).min(Duration::from_secs(30));
        let pause = pause.mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 4.0);
        self.failures += 1;
        self.closed_until = Some(now + pause);
        pause
    }

    /// When starting is possible again, if it is not now.
    pub fn opens_at(&self) -> Option<Instant> {
        self.closed_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_one_per_interval() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut refill = Refill::new(2, second, start);
        assert_eq!(refill.allowance(start), 2);
        refill.take();
        refill.take();
        assert_eq!(refill.allowance(start), 0);
        assert_eq!(refill.allowance(start + second), 1);
        assert_eq!(refill.allowance(start + second * 60), 2);
    }

    #[test]
    fn failures_close_it_for_longer_and_longer() {
        let start = Instant::now();
        let mut refill = Refill::new(2, Duration::from_secs(1), start);
        let pauses: Vec<u128> = (0..8)
            .map(|_| refill.failed(start, 0.0).as_millis())
            .collect();
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]);
        assert_eq!(refill.allowance(start + Duration::from_secs(29)), 0);
        assert_eq!(refill.allowance(start + Duration::from_secs(30)), 2);
        refill.succeeded();
        assert_eq!(refill.failed(start, 1.0).as_millis(), 625);
    }
}
