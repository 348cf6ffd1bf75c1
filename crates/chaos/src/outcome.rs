//! What all runs came to.

use std::time::Duration;

use serde::Serialize;

use crate::verdict::{Kind, Violation};

/// One run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) seed: u64,
    /// Faults that came to pass.
    pub(crate) faults: usize,
    /// Turns that a client was told the end of.
    pub(crate) turns: usize,
    pub(crate) violations: Vec<Violation>,
}

/// All runs, as printed.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Totals {
    runs: usize,
    faults: usize,
    turns: usize,
    lost_prompts: usize,
    double_terminals: usize,
    missing_terminals: usize,
    double_owners: usize,
    over_cap: usize,
    orphans: usize,
    seconds: f64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    violations: Vec<Told>,
}

#[derive(Debug, Clone, Serialize)]
struct Told {
    seed: u64,
    what: String,
}

impl Totals {
    /// Counts one more run.
    pub(crate) fn add(&mut self, run: &Run) {
        self.runs += 1;
        self.faults += run.faults;
        self.turns += run.turns;
        for violation in &run.violations {
            let count = match violation.kind {
                Kind::LostPrompt => Some(&mut self.lost_prompts),
                Kind::DoubleTerminal => Some(&mut self.double_terminals),
                Kind::MissingTerminal => Some(&mut self.missing_terminals),
                Kind::DoubleOwner => Some(&mut self.double_owners),
                Kind::OverCap => Some(&mut self.over_cap),
                Kind::Orphan => Some(&mut self.orphans),
                // They have no number of their own, only a place in the list.
                Kind::Hung | Kind::Broken => None,
            };
            if let Some(count) = count {
                *count += 1;
            }
            self.violations.push(Told {
                seed: run.seed,
                what: violation.to_string(),
            });
        }
    }

    /// With how long all of it took.
    pub(crate) fn took(&mut self, time: Duration) {
        self.seconds = (time.as_secs_f64() * 10.0).round() / 10.0;
    }

    /// Nothing was violated.
    pub(crate) fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    /// One line.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("numbers and texts are JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clean_runs_and_others_are_one_line() {
        let mut totals = Totals::default();
        totals.add(&Run {
            seed: 1,
            faults: 3,
            turns: 9,
            violations: Vec::new(),
        });
        assert!(totals.is_clean());
        totals.took(Duration::from_millis(4321));
        assert_eq!(
            totals.to_json(),
            r#"{"runs":1,"faults":3,"turns":9,"lostPrompts":0,"doubleTerminals":0,"missingTerminals":0,"doubleOwners":0,"overCap":0,"orphans":0,"seconds":4.3}"#
        );
        let violation = |kind| Violation {
            kind,
            what: "it".to_owned(),
        };
        totals.add(&Run {
            seed: 2,
            faults: 1,
            turns: 0,
            violations: vec![violation(Kind::OverCap), violation(Kind::Hung)],
        });
        assert!(!totals.is_clean());
        let json: serde_json::Value = serde_json::from_str(&totals.to_json()).unwrap();
        assert_eq!((&json["overCap"], &json["runs"]), (&1.into(), &2.into()));
        assert_eq!(json["violations"][1]["seed"], 2);
        assert_eq!(json["violations"][1]["what"], "Hung: it");
    }
}
