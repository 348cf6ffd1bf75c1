//! The figures of the OpenAI API and of the chain, for people and for programs.

use std::fmt;

use serde_json::{Value, json};

use super::Provided;
use super::overhead::{Overhead, Routes};
use super::streams::{PACE, Wave};
use crate::samples::Samples;

/// What the OpenAI API may add to the first words, in ms.
const ADDED_MS: f64 = 1.0;
/// Until another provider answers, in ms.
const DECISION_MS: f64 = 200.0;

impl Provided {
    /// What was aimed at, and whether it was met.
    fn goals(&self) -> [(String, bool); 6] {
        let added = |what: &str, routes: &Routes| {
            let text = format!("the OpenAI API adds at most {ADDED_MS} ms to {what}");
            (text, routes.added() <= ADDED_MS)
        };
        let decision = &self.decision;
        let slowest = (decision.without_redis.most()).max(decision.without_runtime.most());
        [
            added("first turns, stand-in", &self.light.first),
            added("later turns, stand-in", &self.light.later),
            added("first turns, claude", &self.real.first),
            added("later turns, claude", &self.real.later),
            (
                format!(
                    "{} answers at once, each whole and its own",
                    self.extent.streams
                ),
                self.streams.begun.first.count() == self.extent.streams
                    && self.streams.later.first.count() == self.extent.streams * self.extent.waves,
            ),
            (
                format!("without Redis or Docker another provider answers within {DECISION_MS} ms"),
                slowest <= DECISION_MS,
            ),
        ]
    }

    /// One object. Times are ms.
    pub(crate) fn to_json(&self) -> Value {
        let (streams, decision) = (&self.streams, &self.decision);
        json!({
            "load": self.load,
            "firstDeltaMs": {"standIn": compared(&self.light), "claude": compared(&self.real)},
            "streams": {"count": self.extent.streams, "waves": self.extent.waves, "words": self.extent.words,
                "wordsPerSecond": PACE, "begun": waved(&streams.begun),
                "later": waved(&streams.later), "native": waved(&streams.native),
                "idleBytes": streams.idle_bytes, "mostBytes": streams.most_bytes},
            "fallbackMs": {"withoutRedis": both(&decision.without_redis),
                "withoutRuntime": both(&decision.without_runtime),
                "decisions": self.extent.decisions},
            "healthMs": {"well": both(&decision.health),
                "withoutRedis": both(&decision.health_without_redis), "looks": self.extent.looks},
            "goals": self.goals().map(|(goal, met)| json!({"goal": goal, "met": met})),
        })
    }
}

fn both(samples: &Samples) -> Value {
    json!({"p50": samples.p50(), "p99": samples.p99(), "max": samples.most()})
}

fn compared(overhead: &Overhead) -> Value {
    let routes = |routes: &Routes| {
        json!({"native": both(&routes.native), "openai": both(&routes.openai),
            "added": routes.added(), "turns": routes.openai.count()})
    };
    json!({"claim": both(&overhead.claim), "first": routes(&overhead.first),
        "later": routes(&overhead.later)})
}

fn waved(wave: &Wave) -> Value {
    json!({"firstMs": both(&wave.first), "delayMs": both(&wave.delay)})
}

impl fmt::Display for Provided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Provider: first words by the gateway's own route and by the OpenAI API, ms (load {:.1})",
            self.load
        )?;
        for (name, overhead) in [("stand-in", &self.light), ("claude", &self.real)] {
            for (turns, routes) in [("first", &overhead.first), ("later", &overhead.later)] {
                writeln!(
                    f,
                    "  {name:<10}{turns:<7} own p50 {:>8.3} p99 {:>8.3}   OpenAI p50 {:>8.3} p99 {:>8.3}   \
                     added {:>7.3}   ({} turns)",
                    routes.native.p50(),
                    routes.native.p99(),
                    routes.openai.p50(),
                    routes.openai.p99(),
                    routes.added(),
                    routes.openai.count()
                )?;
            }
        }
        writeln!(
            f,
            "  {} answers at once, {} words each at {PACE} a second",
            self.extent.streams, self.extent.words
        )?;
        for (name, wave) in [
            ("OpenAI, first turns with their claims", &self.streams.begun),
            ("OpenAI, next turns", &self.streams.later),
            ("own route, the same sessions", &self.streams.native),
        ] {
            writeln!(
                f,
                "    {name:<40} first words p50 {:>8.2} p99 {:>8.2}   delay of a word p50 {:>6.2} p99 {:>7.2}",
                wave.first.p50(),
                wave.first.p99(),
                wave.delay.p50(),
                wave.delay.p99()
            )?;
        }
        writeln!(
            f,
            "    memory of the gateway: {:.1} MB before, {:.1} MB at most",
            self.streams.idle_bytes as f64 / 1e6,
            self.streams.most_bytes as f64 / 1e6
        )?;
        let decision = &self.decision;
        for (name, samples) in [
            (
                "another provider answers, Redis killed",
                &decision.without_redis,
            ),
            (
                "another provider answers, Docker away, none warm",
                &decision.without_runtime,
            ),
            ("health of the chain", &decision.health),
            ("health, Redis killed", &decision.health_without_redis),
        ] {
            writeln!(
                f,
                "  {name:<52} p50 {:>7.3} p99 {:>7.3} most {:>7.3}",
                samples.p50(),
                samples.p99(),
                samples.most()
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
    use super::super::Extent;
    use super::super::decision::Decision;
    use super::super::streams::Streams;
    use super::*;

    fn samples(ms: f64, count: usize) -> Samples {
        Samples::of(vec![ms; count])
    }

    fn routes(native: f64, openai: f64) -> Routes {
        Routes {
            native: samples(native, 3),
            openai: samples(openai, 3),
        }
    }

    fn provided() -> Provided {
        let extent = Extent::quick();
        let overhead = |later| Overhead {
            claim: samples(1.0, 3),
            first: routes(10.0, 10.5),
            later: routes(5.0, later),
        };
        let wave = |waves| Wave {
            first: samples(9.0, extent.streams * waves),
            delay: samples(0.5, 3),
        };
        Provided {
            extent,
            load: 0.5,
            light: overhead(5.25),
            real: overhead(7.0),
            streams: Streams {
                begun: wave(1),
                later: wave(extent.waves),
                native: wave(extent.waves),
                idle_bytes: 10_000_000,
                most_bytes: 20_000_000,
            },
            decision: Decision {
                without_redis: samples(1.0, 3),
                without_runtime: samples(5.0, 3),
                health: samples(0.1, 3),
                health_without_redis: samples(0.1, 3),
            },
        }
    }

    #[test]
    fn the_object_holds_every_figure_and_every_goal() {
        let object = provided().to_json();
        let later = &object["firstDeltaMs"]["standIn"]["later"];
        assert_eq!(later["added"], 0.25);
        assert_eq!(object["streams"]["mostBytes"], 20_000_000);
        let goals = object["goals"].as_array().unwrap();
        let missed: Vec<&str> = goals
            .iter()
            .filter(|goal| goal["met"] == false)
            .filter_map(|goal| goal["goal"].as_str())
            .collect();
        let wanted = "the OpenAI API adds at most 1 ms to later turns, claude";
        assert_eq!(missed, [wanted]);
        assert!(!object.to_string().contains("null"), "{object}");
    }

    #[test]
    fn the_table_names_what_was_missed() {
        let text = provided().to_string();
        assert_eq!(text.matches("MISSED").count(), 1, "{text}");
        assert!(!text.contains("NaN"), "{text}");
    }
}
