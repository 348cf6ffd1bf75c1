//! The stream's figures, for people and for programs.

use std::fmt;

use serde_json::{Value, json};

use super::{PACE, Streamed};
use crate::samples::Samples;

/// Of what bare Redis carries.
const SHARE: f64 = 0.5;
/// What may come on top of bare Redis, at the 99th percentile, in ms.
const ADDED_MS: f64 = 2.0;
/// An interrupted turn ends within this, in ms.
const INTERRUPT_MS: f64 = 100.0;
/// How much more a process may occupy at the end of the long turn than at a tenth of it, in bytes.
const GROWTH: u64 = 8 << 20;

impl Streamed {
    fn share(&self) -> f64 {
        self.ccpool.median().unwrap_or(0.0) / self.bare.median().unwrap_or(f64::INFINITY)
    }

    fn added(&self, part: f64) -> f64 {
        let at = |samples: &Samples| samples.quantile(part).unwrap_or(f64::NAN);
        at(&self.ccpool_delay) - at(&self.bare_delay)
    }

    /// What was aimed at, and whether it was met.
    fn goals(&self) -> [(String, bool); 4] {
        let slowest = [
            &self.interrupts.http,
            &self.interrupts.redis,
            &self.interrupts.cli,
        ];
        let slowest = slowest.map(|samples| samples.range().map_or(f64::NAN, |(_, most)| most));
        [
            (
                format!("at least {SHARE} of bare Redis' envelopes a second"),
                self.share() >= SHARE,
            ),
            (
                format!("added at {PACE} a second, p99 at most {ADDED_MS} ms"),
                self.added(0.99) <= ADDED_MS,
            ),
            (
                "memory flat over the long turn".to_owned(),
                self.memory
                    .iter()
                    .all(|process| process.end <= process.early + GROWTH),
            ),
            (
                format!("an interrupted turn ends within {INTERRUPT_MS} ms, every time"),
                slowest.iter().all(|most| *most <= INTERRUPT_MS),
            ),
        ]
    }

    /// One object. Times are ms.
    pub(crate) fn to_json(&self) -> Value {
        let delays = |samples: &Samples| json!({"p50": samples.quantile(0.5), "p99": samples.quantile(0.99)});
        let memory: serde_json::Map<String, Value> = self
            .memory
            .iter()
            .map(|process| {
                let bytes = json!({"atOneTenth": process.early, "atEnd": process.end});
                (process.name.to_owned(), bytes)
            })
            .collect();
        json!({
            "envelopesPerSecond": {"bare": self.bare.median(), "ccpool": self.ccpool.median(),
                "share": self.share(), "envelopes": self.extent.burst, "runs": self.extent.bursts},
            "delayMs": {"perSecond": PACE, "bare": delays(&self.bare_delay),
                "ccpool": delays(&self.ccpool_delay), "addedP99": self.added(0.99)},
            "longTurn": {"envelopes": self.extent.long, "residentBytes": memory},
            "interruptMs": {"claudeAlone": self.interrupts.floor.median(),
                "http": self.interrupts.http.median(), "redis": self.interrupts.redis.median(),
                "cli": self.interrupts.cli.median(), "rounds": self.extent.interrupts},
            "goals": self.goals().map(|(goal, met)| json!({"goal": goal, "met": met})),
        })
    }
}

impl fmt::Display for Streamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let middle = |samples: &Samples| samples.median().unwrap_or_default();
        writeln!(
            f,
            "Stream: envelopes from the wrapper through Redis and the gateway to an SSE reader"
        )?;
        writeln!(
            f,
            "  {:.0} a second; bare Redis {:.0} ({:.2} of it)",
            middle(&self.ccpool),
            middle(&self.bare),
            self.share()
        )?;
        let at = |samples: &Samples, part| samples.quantile(part).unwrap_or_default();
        for (name, samples) in [
            ("bare Redis", &self.bare_delay),
            ("ccpool", &self.ccpool_delay),
        ] {
            writeln!(
                f,
                "  delay at {PACE} a second, {name}: p50 {:.2} ms, p99 {:.2} ms",
                at(samples, 0.5),
                at(samples, 0.99)
            )?;
        }
        for process in &self.memory {
            writeln!(
                f,
                "  memory of the {} in a turn of {}: {:.1} MB at a tenth, {:.1} MB at the end",
                process.name,
                self.extent.long,
                process.early as f64 / 1e6,
                process.end as f64 / 1e6
            )?;
        }
        let of = &self.interrupts;
        let most = |samples: &Samples| samples.range().unwrap_or_default().1;
        for (name, samples) in [
            ("claude alone", &of.floor),
            ("POST interrupt", &of.http),
            ("PUBLISH interrupt", &of.redis),
            ("ccpool sessions interrupt", &of.cli),
        ] {
            writeln!(
                f,
                "  interrupt to the turn's end, {name}: {:.1} ms (most {:.1})",
                middle(samples),
                most(samples)
            )?;
        }
        for (goal, met) in self.goals() {
            writeln!(f, "  {} {goal}", if met { "met   " } else { "MISSED" })?;
        }
        Ok(())
    }
}
