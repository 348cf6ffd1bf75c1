use std::fmt;

use serde_json::{Value, json};

use crate::rounds::{Measured, ServedSamples, SessionSamples, TurnSamples};
use crate::samples::Samples;

/// ccpool's first words may take this many times as long as the floor's.
const TO_FLOOR: f64 = 1.25;
/// How many times as fast as `docker exec` ccpool's first and later turns are to be.
const TO_EXEC: [f64; 2] = [3.3, 12.0];
/// Of the wrapper's file and of its memory, in bytes.
const WRAPPER: u64 = 6_000_000;

/// What was measured, for people and for programs.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    measured: &'a Measured,
    floor: [Option<f64>; 2],
    ccpool: [Option<f64>; 2],
    to_floor: [Option<f64>; 2],
    to_exec: [Option<f64>; 2],
}

impl<'a> Report<'a> {
    pub(crate) fn of(measured: &'a Measured) -> Self {
        let floor = [0, 1].map(|turn| measured.floor[turn].first_delta.median());
        let ccpool = [0, 1].map(|turn| measured.ccpool.turns[turn].first_delta.median());
        let exec = measured.docker_exec.first_delta.median();
        Self {
            measured,
            floor,
            ccpool,
            to_floor: [0, 1].map(|turn| quotient(ccpool[turn], floor[turn])),
            to_exec: [0, 1].map(|turn| quotient(exec, ccpool[turn])),
        }
    }

    /// One object. Times are ms and medians.
    pub(crate) fn to_json(&self) -> Value {
        let all = self.measured;
        let mut object = json!({
            "floorMs": self.floor.map(rounded),
            "ccpoolMs": self.ccpool.map(rounded),
            "dockerExecMs": median(&all.docker_exec.first_delta),
            "dockerRunMs": median(&all.docker_run.first_delta),
            "hostMs": median(&all.host.first_delta),
            "ratioToFloor": self.to_floor.map(rounded),
            "fasterThanDockerExec": self.to_exec.map(rounded),
            "claimMs": median(&all.ccpool.claim),
            "stages": served(&all.ccpool),
            "floorStages": all.floor.each_ref().map(direct),
            "ranges": {
                "floorMs": all.floor.each_ref().map(|turn| range(&turn.first_delta)),
                "ccpoolMs": all.ccpool.turns.each_ref().map(|turn| range(&turn.first_delta)),
                "dockerExecMs": range(&all.docker_exec.first_delta),
                "dockerRunMs": range(&all.docker_run.first_delta),
                "hostMs": range(&all.host.first_delta),
                "claimMs": range(&all.ccpool.claim),
            },
            "redisListHopMs": median(&all.hops.list),
            "redisChannelHopMs": median(&all.hops.channel),
            "wrapperBytes": all.wrapper_bytes,
            "wrapperRssBytes": all.wrapper_rss,
            "rounds": all.rounds,
            "disturbed": {"measurements": all.disturbed.0, "of": all.disturbed.1},
            "goals": self.goals().map(|goal| json!({"goal": goal.text, "met": goal.met})),
            "machine": all.machine,
        });
        if let Some(diagnosis) = &all.diagnosis {
            let of = |session: &SessionSamples| {
                json!({
                    "ccpoolMs": session.turns.each_ref().map(|turn| median(&turn.first_delta)),
                    "claimMs": median(&session.claim),
                    "stages": served(session),
                })
            };
            object["diagnosis"] = json!({
                "withoutRefill": of(&diagnosis.without_refill),
                "withoutRefillLater": of(&diagnosis.without_refill_later),
                "floorBesideBoot": diagnosis.floor_beside_boot.each_ref().map(direct),
                "floorBesideLightBoot": diagnosis.floor_beside_light_boot.each_ref().map(direct),
            });
        }
        object
    }

    fn goals(&self) -> [Goal; 6] {
        let at_most = |text: String, value: Option<f64>, limit: f64| Goal {
            text,
            met: value.map(|value| value <= limit),
        };
        let floor = |turn: usize, name| {
            let value = self.to_floor[turn];
            at_most(
                format!("{name} turn at most {TO_FLOOR} x the floor"),
                value,
                TO_FLOOR,
            )
        };
        let exec = |turn: usize, name| Goal {
            text: format!(
                "{name} turn at least {} x as fast as docker exec",
                TO_EXEC[turn]
            ),
            met: self.to_exec[turn].map(|value| value >= TO_EXEC[turn]),
        };
        let bytes = |what: &str, value: Option<u64>| Goal {
            text: format!("wrapper's {what} at most {} MB", WRAPPER / 1_000_000),
            met: value.map(|value| value <= WRAPPER),
        };
        [
            floor(0, "first"),
            floor(1, "later"),
            exec(0, "first"),
            exec(1, "later"),
            bytes("file", Some(self.measured.wrapper_bytes)),
            bytes("memory", self.measured.wrapper_rss),
        ]
    }
}

#[derive(Debug)]
struct Goal {
    text: String,
    /// None: not measured.
    met: Option<bool>,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.measured;
        writeln!(
            f,
            "Prompt to first words, medians of {} rounds, ms (least to most)",
            all.rounds
        )?;
        let mut row = |name: &str, samples: &Samples| {
            let (least, most) = samples.range().unwrap_or_default();
            let middle = samples.median().unwrap_or_default();
            writeln!(f, "  {name:<44}{middle:>9.2}   ({least:.2} to {most:.2})")
        };
        row(
            "floor: claude booted beforehand, first turn",
            &all.floor[0].first_delta,
        )?;
        row("ccpool, first turn", &all.ccpool.turns[0].first_delta)?;
        row("floor, later turn", &all.floor[1].first_delta)?;
        row("ccpool, later turn", &all.ccpool.turns[1].first_delta)?;
        row(
            "docker exec CONTAINER claude -p",
            &all.docker_exec.first_delta,
        )?;
        row(
            "docker run --rm IMAGE claude -p",
            &all.docker_run.first_delta,
        )?;
        row("claude -p on the host", &all.host.first_delta)?;
        row("ccpool, claim", &all.ccpool.claim)?;
        if let Some(diagnosis) = &all.diagnosis {
            let ways = [
                ("without refill", &diagnosis.without_refill),
                (
                    "without refill, 0.5 s after the claim",
                    &diagnosis.without_refill_later,
                ),
            ];
            for (name, session) in ways {
                row(&format!("first, {name}"), &session.turns[0].first_delta)?;
                row(&format!("later, {name}"), &session.turns[1].first_delta)?;
            }
            let ways = [
                ("while a container boots", &diagnosis.floor_beside_boot),
                (
                    "while one boots with least weight",
                    &diagnosis.floor_beside_light_boot,
                ),
            ];
            for (name, turns) in ways {
                row(&format!("floor, first, {name}"), &turns[0].first_delta)?;
                row(&format!("floor, later, {name}"), &turns[1].first_delta)?;
            }
        }
        row("Redis, RPUSH to BLPOP", &all.hops.list)?;
        row("Redis, PUBLISH to subscriber", &all.hops.channel)?;
        let (disturbed, begun) = all.disturbed;
        if disturbed > 0 {
            writeln!(
                f,
                "  {disturbed} of {begun} measurements began on a busy machine"
            )?;
        }
        writeln!(f, "Stages: medians, ms after the prompt")?;
        for (index, name) in ["first", "later"].iter().enumerate() {
            let turn = &all.ccpool.turns[index];
            let floor = &all.floor[index];
            let middle = |samples: &Samples| samples.median().unwrap_or_default();
            writeln!(
                f,
                "  {name}: to claude {:.1}, to the model {:.1} (floor {:.1}), first delta {:.1} \
                 (floor {:.1}), at the client {:.1}, result {:.1} (floor {:.1})",
                middle(&turn.sent),
                middle(&turn.request),
                middle(&floor.request),
                middle(&turn.inner_first_delta),
                middle(&floor.first_delta),
                middle(&turn.first_delta),
                middle(&turn.result),
                middle(&floor.result),
            )?;
        }
        let ratios = [self.to_floor, self.to_exec].map(|pair| pair.map(Option::unwrap_or_default));
        writeln!(
            f,
            "To the floor: {:.2} x first, {:.2} x later. Faster than docker exec: {:.1} x first, \
             {:.1} x later.",
            ratios[0][0], ratios[0][1], ratios[1][0], ratios[1][1]
        )?;
        let rss = all.wrapper_rss.map_or("not measured".to_owned(), |bytes| {
            format!("{:.1} MB", bytes as f64 / 1e6)
        });
        writeln!(
            f,
            "Wrapper: {:.1} MB, memory {rss}",
            all.wrapper_bytes as f64 / 1e6
        )?;
        for goal in self.goals() {
            let met = match goal.met {
                Some(true) => "met   ",
                Some(false) => "MISSED",
                None => "?     ",
            };
            writeln!(f, "  {met} {}", goal.text)?;
        }
        Ok(())
    }
}

fn served(session: &SessionSamples) -> [Value; 2] {
    session.turns.each_ref().map(|turn: &ServedSamples| {
        json!({
            "sentMs": median(&turn.sent),
            "requestMs": median(&turn.request),
            "firstDeltaMs": median(&turn.inner_first_delta),
            "resultMs": median(&turn.result),
            "clientHeadMs": median(&turn.head),
            "clientFirstDeltaMs": median(&turn.first_delta),
            "clientEndMs": median(&turn.end),
        })
    })
}

fn direct(turn: &TurnSamples) -> Value {
    json!({
        "requestMs": median(&turn.request),
        "firstDeltaMs": median(&turn.first_delta),
        "resultMs": median(&turn.result),
    })
}

fn median(samples: &Samples) -> Option<f64> {
    rounded(samples.median())
}

fn range(samples: &Samples) -> Option<[f64; 2]> {
    let (least, most) = samples.range()?;
    Some([least, most].map(|value| rounded(Some(value)).unwrap_or_default()))
}

/// To a microsecond: more digits are noise.
fn rounded(value: Option<f64>) -> Option<f64> {
    value.map(|value| (value * 1e3).round() / 1e3)
}

fn quotient(dividend: Option<f64>, divisor: Option<f64>) -> Option<f64> {
    Some(dividend? / divisor.filter(|value| *value > 0.0)?)
}
