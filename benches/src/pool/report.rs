//! The pool's figures, for people and for programs.

use std::fmt;

use serde_json::{Value, json};

use super::rate::{CLAIMERS, GATEWAYS};
use super::{Pooled, crowd::Step};
use crate::samples::Samples;

/// Of the bare script's time: the claim's script, and the whole claim.
const SCRIPT: f64 = 1.3;
const WHOLE: f64 = 4.0;
/// Of a whole claim, at the 99th percentile, in ms.
const WHOLE_MS: f64 = 5.0;
/// Claims a second.
const RATE: f64 = 5000.0;
/// Of `docker run` and the boot of `claude`.
const REFILL: f64 = 1.2;
/// Of the gateway's memory for each session, in bytes.
const EACH: f64 = 30_000.0;
/// What a claim and an event may cost more with the most sessions than with the fewest: noise.
const FLAT: f64 = 1.5;
/// Until a claim fails without Redis, in ms.
const OUTAGE_MS: f64 = 100.0;

impl Pooled {
    fn script_ratio(&self) -> f64 {
        self.scripts.claim.p50() / self.scripts.bare.p50()
    }

    fn whole_ratio(&self) -> f64 {
        self.whole.handed_over.p50() / self.whole.bare.p50()
    }

    /// Without the time for which refill gives way.
    fn refill_ratio(&self) -> f64 {
        self.refill.refill.p50() / self.refill.floor.p50()
    }

    /// How many times as much something costs with the most sessions as with the fewest.
    fn growth(&self, of: impl Fn(&Step) -> &Samples) -> f64 {
        let steps = &self.crowd.steps;
        let ends = steps.first().zip(steps.last());
        ends.map_or(f64::NAN, |(first, last)| of(last).p50() / of(first).p50())
    }

    fn bytes_each(&self) -> f64 {
        let last = self.crowd.steps.last();
        last.map_or(f64::NAN, |last| self.crowd.bytes_each(last))
    }

    /// What was aimed at, and whether it was met.
    fn goals(&self) -> [(String, bool); 9] {
        let sessions = self.crowd.steps.last().map_or(0, |step| step.sessions);
        [
            (
                format!("the claim's script at most {SCRIPT} x a bare one"),
                self.script_ratio() <= SCRIPT,
            ),
            (
                format!("a whole claim at most {WHOLE} x a bare script"),
                self.whole_ratio() <= WHOLE,
            ),
            (
                format!("a whole claim, p99 at most {WHOLE_MS} ms"),
                self.whole.handed_over.p99() <= WHOLE_MS,
            ),
            (
                format!("at least {RATE} claims a second over {GATEWAYS} gateways"),
                self.rate.p50() >= RATE,
            ),
            (
                format!("refill at most {REFILL} x docker run and boot"),
                self.refill_ratio() <= REFILL,
            ),
            (
                format!("at most {} kB for each of {sessions} sessions", EACH / 1e3),
                self.bytes_each() <= EACH,
            ),
            (
                format!("a claim costs the same with {sessions} sessions (within {FLAT} x)"),
                self.growth(|step| &step.claim) <= FLAT,
            ),
            (
                format!("an event costs the same with {sessions} sessions (within {FLAT} x)"),
                self.growth(|step| &step.event) <= FLAT,
            ),
            (
                format!("without Redis a claim fails within {OUTAGE_MS} ms"),
                self.outage.killed.most() <= OUTAGE_MS,
            ),
        ]
    }

    /// One object. Times are ms.
    pub(crate) fn to_json(&self) -> Value {
        let both = |samples: &Samples| json!({"p50": samples.p50(), "p99": samples.p99()});
        let top = |samples: &Samples| json!({"p50": samples.p50(), "max": samples.most()});
        let steps: Vec<Value> = self
            .crowd
            .steps
            .iter()
            .map(|step| {
                json!({"sessions": step.sessions, "claimMs": both(&step.claim),
                    "eventMs": both(&step.event), "lookMs": top(&step.look),
                    "residentBytes": step.resident, "bytesEach": self.crowd.bytes_each(step)})
            })
            .collect();
        json!({
            "scriptMs": {"bare": both(&self.scripts.bare), "claim": both(&self.scripts.claim),
                "bareTcp": both(&self.scripts_tcp.bare), "claimTcp": both(&self.scripts_tcp.claim),
                "ratio": self.script_ratio(), "rounds": self.extent.scripts},
            "claimMs": {"bare": both(&self.whole.bare), "answered": both(&self.whole.answered),
                "handedOver": both(&self.whole.handed_over), "ratio": self.whole_ratio(),
                "rounds": self.extent.claims},
            "claimsPerSecond": {"median": self.rate.p50(), "gateways": GATEWAYS,
                "claimers": GATEWAYS * CLAIMERS, "claims": self.extent.burst,
                "runs": self.extent.bursts},
            "refillMs": {"dockerRun": top(&self.refill.floor), "givesWay": top(&self.refill.pause),
                "refill": top(&self.refill.refill), "ratio": self.refill_ratio(),
                "rounds": self.extent.refills},
            "sessions": {"emptyBytes": self.crowd.empty, "steps": steps},
            "withoutRedisMs": {"killed": top(&self.outage.killed),
                "frozenFirst": self.outage.frozen_first.p50(), "frozen": top(&self.outage.frozen),
                "claims": self.extent.outages},
            "goals": self.goals().map(|(goal, met)| json!({"goal": goal, "met": met})),
        })
    }
}

impl fmt::Display for Pooled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Pool: claims, sessions and refill, ms (p50, p99)")?;
        let mut row = |name: &str, samples: &Samples| {
            writeln!(
                f,
                "  {name:<52}{:>9.3}{:>9.3}",
                samples.p50(),
                samples.p99()
            )
        };
        row(
            "a bare script with one LPOP, Unix socket",
            &self.scripts.bare,
        )?;
        row("the claim's script", &self.scripts.claim)?;
        row("a bare script with one LPOP, TCP", &self.scripts_tcp.bare)?;
        row("the claim's script", &self.scripts_tcp.claim)?;
        row("a bare script beside whole claims", &self.whole.bare)?;
        row("a whole claim, answered", &self.whole.answered)?;
        row("a whole claim, handed over", &self.whole.handed_over)?;
        row("docker run until claude answers", &self.refill.floor)?;
        row(
            "refill, until it begins after the claim",
            &self.refill.pause,
        )?;
        row("refill, until the container is warm", &self.refill.refill)?;
        row("claim fails, Redis killed", &self.outage.killed)?;
        row(
            "claim fails, Redis frozen, the first",
            &self.outage.frozen_first,
        )?;
        row("claim fails, Redis frozen, later ones", &self.outage.frozen)?;
        writeln!(
            f,
            "  {:.0} claims a second by {} claimers over {GATEWAYS} gateways (median of {} runs of {})",
            self.rate.p50(),
            GATEWAYS * CLAIMERS,
            self.extent.bursts,
            self.extent.burst
        )?;
        writeln!(
            f,
            "  ratios: script {:.2} x, whole claim {:.2} x, refill {:.2} x",
            self.script_ratio(),
            self.whole_ratio(),
            self.refill_ratio()
        )?;
        writeln!(
            f,
            "  {:>8}{:>12}{:>12}{:>12}{:>12}{:>14}",
            "sessions", "claim p50", "event p50", "look p50", "MB", "kB a session"
        )?;
        for step in &self.crowd.steps {
            writeln!(
                f,
                "  {:>8}{:>12.3}{:>12.3}{:>12.2}{:>12.1}{:>14.1}",
                step.sessions,
                step.claim.p50(),
                step.event.p50(),
                step.look.p50(),
                step.resident as f64 / 1e6,
                self.crowd.bytes_each(step) / 1e3
            )?;
        }
        for (goal, met) in self.goals() {
            writeln!(f, "  {} {goal}", if met { "met   " } else { "MISSED" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Extent;
    use crate::pool::crowd::Crowd;
    use crate::pool::outage::Outage;
    use crate::pool::refill::Refill;
    use crate::pool::script::Scripts;
    use crate::pool::whole::Whole;

    fn samples(ms: f64) -> Samples {
        Samples::of(vec![ms; 3])
    }

    fn scripts() -> Scripts {
        Scripts {
            bare: samples(0.05),
            claim: samples(0.06),
        }
    }

    fn pooled() -> Pooled {
        let step = |sessions: usize, ms| Step {
            sessions,
            claim: samples(ms),
            event: samples(0.2),
            look: samples(3.0),
            resident: 10_000_000 + 20_000 * sessions as u64,
        };
        Pooled {
            extent: Extent::quick(),
            scripts: scripts(),
            scripts_tcp: scripts(),
            whole: Whole {
                bare: samples(0.05),
                answered: samples(0.1),
                handed_over: samples(0.15),
            },
            rate: samples(6000.0),
            crowd: Crowd {
                empty: 10_000_000,
                steps: vec![step(10, 0.2), step(100, 0.4)],
            },
            outage: Outage {
                killed: samples(1.0),
                frozen_first: samples(1000.0),
                frozen: samples(0.1),
            },
            refill: Refill {
                floor: samples(1000.0),
                pause: samples(100.0),
                refill: samples(1100.0),
            },
        }
    }

    #[test]
    fn the_object_holds_every_figure_and_every_goal() {
        let object = pooled().to_json();
        let names: Vec<&String> = object.as_object().unwrap().keys().collect();
        assert_eq!(
            names,
            [
                "claimMs",
                "claimsPerSecond",
                "goals",
                "refillMs",
                "scriptMs",
                "sessions",
                "withoutRedisMs",
            ]
        );
        assert_eq!(object["sessions"]["steps"][1]["bytesEach"], 20_000.0);
        let missed: Vec<&Value> = object["goals"].as_array().unwrap().iter().collect();
        let missed = missed.into_iter().filter(|goal| goal["met"] == false);
        let missed: Vec<&str> = missed.filter_map(|goal| goal["goal"].as_str()).collect();
        assert_eq!(
            missed,
            ["a claim costs the same with 100 sessions (within 1.5 x)"]
        );
    }

    #[test]
    fn the_table_names_what_was_missed() {
        let text = pooled().to_string();
        assert_eq!(text.matches("MISSED").count(), 1, "{text}");
        assert!(
            text.contains("6000 claims a second") && !text.contains("NaN"),
            "{text}"
        );
    }
}
