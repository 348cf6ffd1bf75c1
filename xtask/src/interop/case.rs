use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::progress::{say, warn};

/// One case, as a script tells it when it is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    /// Whose it is; a script does not say so itself.
    #[serde(default)]
    pub(crate) client: String,
    /// What is to hold.
    pub(crate) case: String,
    /// Why it did not, when it did not.
    pub(crate) failure: Option<String>,
    /// Where the requests and answers of a failure are kept.
    pub(crate) records: Option<String>,
    /// How long it took.
    pub(crate) seconds: f64,
}

impl Case {
    /// Says it on stderr.
    pub(crate) fn tell(&self) {
        match &self.failure {
            None => say(format!("held    {} ({:.1} s)", self.case, self.seconds)),
            Some(failure) => {
                warn(format!("FAILED  {}: {failure}", self.case));
                if let Some(records) = &self.records {
                    say(format!("its requests are in {records}"));
                }
            }
        }
    }
}

/// What a run has shown.
#[derive(Debug)]
pub(crate) struct Outcome {
    runtime: &'static str,
    /// Every case that was run.
    pub(crate) cases: Vec<Case>,
    /// What was left over at the very end.
    pub(crate) left_over: Option<String>,
}

impl Outcome {
    /// Of a run with containers, or with plain processes.
    pub(crate) fn new(containers: bool) -> Self {
        Self {
            runtime: if containers { "docker" } else { "process" },
            cases: Vec::new(),
            left_over: None,
        }
    }

    /// True when there was a case, every one held, and nothing is left over.
    pub(crate) fn holds(&self) -> bool {
        !self.cases.is_empty()
            && self.cases.iter().all(|case| case.failure.is_none())
            && self.left_over.is_none()
    }

    /// One line for a program, with what `versions` the clients have.
    pub(crate) fn to_json(&self, versions: &[(&str, &str)]) -> String {
        let versions: serde_json::Map<_, _> = versions
            .iter()
            .map(|(name, version)| ((*name).to_owned(), json!(version)))
            .collect();
        let (held, failed) = self.counts();
        json!({
            "runtime": self.runtime,
            "versions": versions,
            "held": held,
            "failed": failed,
            "cases": self.cases,
            "leftOver": self.left_over,
        })
        .to_string()
    }

    fn counts(&self) -> (usize, usize) {
        let held = |case: &&Case| case.failure.is_none();
        let held = self.cases.iter().filter(held).count();
        (held, self.cases.len() - held)
    }
}

/// A table.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |of: fn(&Case) -> &str| {
            let widths = self.cases.iter().map(|case| of(case).chars().count());
            widths.max().unwrap_or(0)
        };
        let (clients, cases) = (width(|case| &case.client), width(|case| &case.case));
        for case in &self.cases {
            let word = match &case.failure {
                None => "held",
                Some(_) => "FAILED",
            };
            writeln!(
                f,
                "{word:6}  {:clients$}  {:cases$}  {:6.1} s",
                case.client, case.case, case.seconds
            )?;
        }
        if let Some(left_over) = &self.left_over {
            writeln!(f, "LEFT OVER: {left_over}")?;
        }
        let (held, failed) = self.counts();
        let runtime = self.runtime;
        writeln!(f, "{held} held, {failed} failed ({runtime} runtime)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(failure: Option<&str>) -> Case {
        Case {
            client: "openai".to_owned(),
            case: "a stream".to_owned(),
            failure: failure.map(str::to_owned),
            records: None,
            seconds: 0.25,
        }
    }

    #[test]
    fn it_holds_when_everything_does_and_something_was_tried() {
        let mut outcome = Outcome::new(true);
        assert!(!outcome.holds(), "nothing was tried");
        outcome.cases.push(case(None));
        assert!(outcome.holds());
        outcome.left_over = Some("a process".to_owned());
        assert!(!outcome.holds());
        outcome.left_over = None;
        outcome.cases.push(case(Some("no words")));
        assert!(!outcome.holds());
        let table = outcome.to_string();
        assert!(
            table.ends_with("1 held, 1 failed (docker runtime)\n"),
            "{table}"
        );
        let json = outcome.to_json(&[("openai", "1.2.3")]);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["cases"][1]["failure"], "no words");
        assert_eq!(json["versions"]["openai"], "1.2.3");
        assert_eq!((&json["held"], &json["failed"]), (&json!(1), &json!(1)));
    }

    #[test]
    fn a_script_tells_a_case_by_a_line() {
        let line = r#"{"case":"a stream","failure":null,"records":null,"seconds":0.25}"#;
        let told: Case = serde_json::from_str(line).unwrap();
        let mut expected = case(None);
        expected.client = String::new();
        assert_eq!(told, expected);
    }
}
