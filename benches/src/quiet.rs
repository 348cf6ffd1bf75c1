use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::Instant;

/// The stretch of time that is looked at.
const WINDOW: Duration = Duration::from_millis(150);

/// How much of the processor is idle when it is quiet: what just ended has let go of it, and what
/// merely waits takes little.
const IDLE: f64 = 0.85;

/// Somebody else's work may never end.
const LIMIT: Duration = Duration::from_secs(3);

/// Waits until the machine has nothing to do. False: it did not come to that in time.
pub(crate) async fn quiet() -> Result<bool> {
    let deadline = Instant::now() + LIMIT;
    let mut before = Ticks::now()?;
    while Instant::now() < deadline {
        tokio::time::sleep(WINDOW).await;
        let now = Ticks::now()?;
        if now.idle_since(&before) >= IDLE {
            return Ok(true);
        }
        before = now;
    }
    Ok(false)
}

/// What the processors have done since the start, in ticks.
#[derive(Debug)]
struct Ticks {
    idle: u64,
    all: u64,
}

impl Ticks {
    fn now() -> Result<Self> {
        Self::parse(&fs::read_to_string("/proc/stat")?).context("/proc/stat has no line for cpu")
    }

    fn parse(stat: &str) -> Option<Self> {
        let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
        // user nice system idle iowait irq softirq steal; guests are in user already.
        let ticks: Vec<u64> = line
            .split_whitespace()
            .take(8)
            .filter_map(|field| field.parse().ok())
            .collect();
        Some(Self {
            idle: ticks.get(3)? + ticks.get(4)?,
            all: ticks.iter().sum(),
        })
    }

    fn idle_since(&self, before: &Self) -> f64 {
        let all = self.all.saturating_sub(before.all).max(1);
        self.idle.saturating_sub(before.idle) as f64 / all as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_is_a_share_of_all() {
        let before = Ticks::parse("cpu  10 0 10 80 0 0 0 0 5 0\ncpu0 1 1").unwrap();
        let after = Ticks::parse("cpu  20 0 20 140 20 0 0 0 9 0\n").unwrap();
        assert_eq!(before.all, 100);
        assert!((after.idle_since(&before) - 0.8).abs() < 1e-9);
        assert!(Ticks::parse("intr 1").is_none());
    }
}
