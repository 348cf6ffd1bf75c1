use serde::Serialize;

use super::turn::Turn;

/// What a run has shown.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// `docker` or `process`, once that is decided.
    pub(crate) runtime: Option<&'static str>,
    /// `scripted` or `anthropic`, likewise.
    pub(crate) model: Option<&'static str>,
    /// The turns that ended.
    pub(crate) turns: Vec<Turn>,
    /// The second answer held what the first prompt told.
    pub(crate) remembered: bool,
    /// The same process of the CLI answered both times.
    pub(crate) same_process: bool,
    /// After the session nothing was left of its container.
    pub(crate) container_destroyed: bool,
    /// A new warm container took its place.
    pub(crate) replaced: bool,
    /// What was left over at the very end.
    pub(crate) left_over: Option<String>,
}

/// Turns of a whole run.
const TURNS: usize = 2;

impl Outcome {
    /// The first thing that did not hold.
    pub(crate) fn shortfall(&self) -> Option<String> {
        for (number, turn) in (1..).zip(&self.turns) {
            if let Some(failure) = &turn.failure {
                return Some(format!("turn {number} did not complete: {failure}"));
            }
        }
        let facts = [
            (self.turns.len() == TURNS, "not every turn was played"),
            (
                self.remembered,
                "the second answer does not hold what the first prompt told",
            ),
            (
                self.same_process,
                "the second turn was answered by another process than the first",
            ),
            (
                self.container_destroyed,
                "the session's container is still there after its end",
            ),
            (
                self.replaced,
                "no new warm container took the place of the one that was used",
            ),
        ];
        facts
            .into_iter()
            .find_map(|(holds, otherwise)| (!holds).then(|| otherwise.to_owned()))
            .or_else(|| self.left_over.clone())
    }

    /// One line of JSON for a program; `error` is why the run failed, if it did.
    pub(crate) fn to_json(&self, error: Option<&str>) -> String {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Report<'a> {
            runtime: Option<&'static str>,
            model: Option<&'static str>,
            turns: &'a [Turn],
            remembered: bool,
            container_destroyed: bool,
            replaced: bool,
            #[serde(skip_serializing_if = "Option::is_none")]
            error: Option<&'a str>,
        }
        let report = Report {
            runtime: self.runtime,
            model: self.model,
            turns: &self.turns,
            remembered: self.remembered,
            container_destroyed: self.container_destroyed,
            replaced: self.replaced,
            error,
        };
        serde_json::to_string(&report).expect("it has string keys and finite numbers")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Outcome {
        Outcome {
            runtime: Some("docker"),
            model: Some("scripted"),
            turns: vec![Turn::default(), Turn::default()],
            remembered: true,
            same_process: true,
            container_destroyed: true,
            replaced: true,
            left_over: None,
        }
    }

    #[test]
    fn everything_must_hold() {
        assert_eq!(good().shortfall(), None);
        type Spoil = fn(&mut Outcome);
        let spoilt: [(Spoil, &str); 7] = [
            (|o| o.turns[1].failure = Some("stalled: x".into()), "turn 2"),
            (|o| o.turns.truncate(1), "not every turn"),
            (|o| o.remembered = false, "does not hold"),
            (|o| o.same_process = false, "another process"),
            (|o| o.container_destroyed = false, "still there"),
            (|o| o.replaced = false, "took the place"),
            (|o| o.left_over = Some("a network".into()), "a network"),
        ];
        for (spoil, told) in spoilt {
            let mut outcome = good();
            spoil(&mut outcome);
            let shortfall = outcome.shortfall().unwrap();
            assert!(shortfall.contains(told), "{shortfall}");
        }
    }

    #[test]
    fn an_error_is_told_beside_the_rest() {
        let json = good().to_json(None);
        assert!(json.starts_with(r#"{"runtime":"docker","model":"scripted","turns":[{"#));
        assert!(!json.contains("error") && !json.contains('\n'), "{json}");
        let json: serde_json::Value =
            serde_json::from_str(&good().to_json(Some("no disk"))).unwrap();
        assert_eq!(json["error"], "no disk");
        assert_eq!(json["turns"][1]["completed"], true);
        assert_eq!(json["containerDestroyed"], true);
    }
}
