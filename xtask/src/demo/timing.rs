use std::fmt;
use std::time::Duration;

use serde::Deserialize;

/// Stages of a turn as the gateway's terminal event tells them: milliseconds after the prompt
/// was pushed into Redis.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Stages {
    /// The wrapper wrote the prompt to `claude`.
    pub(crate) sent_ms: Option<u64>,
    /// `claude` was about to ask the model.
    pub(crate) request_ms: Option<u64>,
    /// The first delta.
    pub(crate) first_delta_ms: Option<u64>,
    /// The result.
    pub(crate) result_ms: Option<u64>,
}

/// Where the time of one turn went.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Timing {
    /// What the claim before it took, in ms, by the gateway's clock.
    pub(crate) claim_ms: Option<f64>,
    /// The stages, by the gateway's and the wrapper's clock.
    pub(crate) stages: Stages,
    /// From sending the HTTP request to reading the first delta, by this program's clock.
    pub(crate) first_delta: Option<Duration>,
    /// From sending the HTTP request to reading the terminal event.
    pub(crate) whole: Option<Duration>,
}

/// A table of turns side by side: for each stage how long it took and when it ended.
#[derive(Debug)]
pub(crate) struct TimingTable<'a>(pub(crate) &'a [Timing]);

/// What a stage took and when it ended, in ms.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    took: Option<f64>,
    at: Option<f64>,
}

type Row = (&'static str, fn(&Timing) -> Cell);

const ROWS: [Row; 7] = [
    ("claim of a warm container", |timing| Cell {
        took: timing.claim_ms,
        at: None,
    }),
    ("queue: pushed, then written to claude", |timing| {
        stage(timing.stages.sent_ms, Some(0))
    }),
    ("claude, until it asks the model", |timing| {
        stage(timing.stages.request_ms, timing.stages.sent_ms)
    }),
    ("model, until its first delta", |timing| {
        stage(timing.stages.first_delta_ms, timing.stages.request_ms)
    }),
    ("rest of the answer", |timing| {
        stage(timing.stages.result_ms, timing.stages.first_delta_ms)
    }),
    ("seen by this client: first delta", |timing| Cell {
        took: None,
        at: timing.first_delta.map(millis),
    }),
    ("seen by this client: end of turn", |timing| Cell {
        took: None,
        at: timing.whole.map(millis),
    }),
];

fn stage(end: Option<u64>, begin: Option<u64>) -> Cell {
    // Milliseconds of a clock; far below where a float loses any.
    let float = |ms: u64| ms as f64;
    Cell {
        took: end
            .zip(begin)
            .map(|(end, begin)| float(end.saturating_sub(begin))),
        at: end.map(float),
    }
}

/// In ms, rounded to a tenth.
pub(crate) fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e4).round() / 10.0
}

impl fmt::Display for TimingTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:38}", "ms")?;
        for turn in 1..=self.0.len() {
            write!(f, "{:>20}", format!("turn {turn}: took"))?;
            write!(f, "{:>8}", "at")?;
        }
        for (name, cell) in ROWS {
            write!(f, "\n{name:38}")?;
            for timing in self.0 {
                let Cell { took, at } = cell(timing);
                write!(f, "{:>20}{:>8}", shown(took), shown(at))?;
            }
        }
        Ok(())
    }
}

fn shown(ms: Option<f64>) -> String {
    match ms {
        None => "-".to_owned(),
        Some(ms) if ms.fract() == 0.0 => format!("{ms:.0}"),
        Some(ms) => format!("{ms:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_column_pair_per_turn() {
        let first = Timing {
            claim_ms: Some(3.25),
            stages: Stages {
                sent_ms: Some(1),
                request_ms: Some(41),
                first_delta_ms: Some(50),
                result_ms: Some(62),
            },
            first_delta: Some(Duration::from_micros(52_340)),
            whole: Some(Duration::from_millis(65)),
        };
        let table = TimingTable(&[first, Timing::default()]).to_string();
        let rows: Vec<Vec<&str>> = table
            .lines()
            .map(|line| line[38..].split_whitespace().collect())
            .collect();
        assert_eq!(
            rows,
            [
                vec!["turn", "1:", "took", "at", "turn", "2:", "took", "at"],
                vec!["3.2", "-", "-", "-"],
                vec!["1", "1", "-", "-"],
                vec!["40", "41", "-", "-"],
                vec!["9", "50", "-", "-"],
                vec!["12", "62", "-", "-"],
                vec!["-", "52.3", "-", "-"],
                vec!["-", "65", "-", "-"],
            ]
        );
        let widths: Vec<usize> = table.lines().map(str::len).collect();
        assert_eq!(widths, [38 + 2 * 28; 8], "{table}");
    }

    #[test]
    fn a_stage_that_was_not_seen_has_no_length() {
        let timing = Timing {
            stages: Stages {
                sent_ms: Some(2),
                first_delta_ms: Some(9),
                ..Stages::default()
            },
            ..Timing::default()
        };
        let table = TimingTable(&[timing]).to_string();
        let model = table.lines().nth(4).unwrap();
        assert!(
            model.starts_with("model") && model.ends_with("-       9"),
            "{model:?}"
        );
    }
}
