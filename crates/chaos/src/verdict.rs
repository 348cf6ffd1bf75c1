//! What of a history may not be. No IO.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::history::{Ending, Mark, Seen};

/// What was violated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A prompt that was taken, and its client was never told how it ended.
    LostPrompt,
    /// Two different endings of one turn.
    DoubleTerminal,
    /// A turn without an ending in Redis.
    MissingTerminal,
    /// A container with two sessions, or a session with two containers.
    DoubleOwner,
    /// More containers than `maxTotal`.
    OverCap,
    /// Something outlives the pool.
    Orphan,
    /// Something did not happen in time.
    Hung,
    /// Anything else that cannot be.
    Broken,
}

/// One violation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) kind: Kind,
    pub(crate) what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.what)
    }
}

/// Everything in a history that may not be.
pub(crate) fn judge(history: &[Seen], max_total: usize) -> Vec<Violation> {
    let lives = Lives::of(history);
    let mut found = lost_prompts(history, &lives);
    found.extend(terminals(history, &lives));
    found.extend(owners(history));
    found.extend(the_rest(history, max_total));
    found
}

/// The lives of Redis: each ends when it loses everything.
struct Lives(Vec<usize>);

impl Lives {
    fn of(history: &[Seen]) -> Self {
        let emptied = history.iter().enumerate();
        let emptied = emptied.filter(|(_, seen)| matches!(seen, Seen::Emptied));
        Self(emptied.map(|(at, _)| at).collect())
    }

    /// In which life this place of the history lies.
    fn at(&self, mark: Mark) -> usize {
        self.0.partition_point(|emptied| *emptied < mark.0)
    }

    fn last(&self) -> usize {
        self.0.len()
    }
}

fn lost_prompts(history: &[Seen], lives: &Lives) -> Vec<Violation> {
    let mut open: BTreeMap<&str, (&str, Mark)> = BTreeMap::new();
    let mut found = Vec::new();
    let mut lost = |session: &str, turn: &str, why: &str| {
        found.push(Violation {
            kind: Kind::LostPrompt,
            what: format!("turn {turn} of {session}: {why}"),
        });
    };
    for (at, seen) in history.iter().enumerate() {
        match seen {
            Seen::Accepted {
                session,
                turn,
                asked,
            } => {
                open.entry(turn).or_insert((session, *asked));
            }
            Seen::Answered { turn, .. } => {
                open.remove(turn.as_str());
            }
            Seen::Departed { session } => open.retain(|_, (of, _)| of != session),
            Seen::GaveUp { session, turn, why } => {
                open.remove(turn.as_str());
                lost(session, turn, why);
            }
            Seen::Forgotten { session, turn } => {
                let accepted = open.remove(turn.as_str());
                let kept = |asked| lives.at(asked) == lives.at(Mark(at));
                if accepted.is_some_and(|(_, asked)| kept(asked)) {
                    lost(session, turn, "a gateway knows nothing of it");
                }
            }
            Seen::Held { .. }
            | Seen::Terminal { .. }
            | Seen::Emptied
            | Seen::Owners(_)
            | Seen::Containers(_)
            | Seen::Left(_)
            | Seen::Hung(_)
            | Seen::Broken(_) => {}
        }
    }
    for (turn, (session, _)) in open {
        lost(session, turn, "its client was told nothing until the end");
    }
    found
}

/// What is known of a turn's endings in one life of Redis.
#[derive(Default)]
struct Endings<'a> {
    session: &'a str,
    in_redis: BTreeSet<&'a Ending>,
    told: BTreeSet<&'a Ending>,
}

fn terminals(history: &[Seen], lives: &Lives) -> Vec<Violation> {
    let mut turns: BTreeMap<(usize, &str), Endings<'_>> = BTreeMap::new();
    for (at, seen) in history.iter().enumerate() {
        match seen {
            Seen::Accepted {
                session,
                turn,
                asked,
            }
            | Seen::Held {
                session,
                turn,
                asked,
            } => {
                turns.entry((lives.at(*asked), turn)).or_default().session = session;
            }
            Seen::Terminal {
                session,
                turn,
                ending,
                asked,
            } => {
                let endings = turns.entry((lives.at(*asked), turn)).or_default();
                endings.session = session;
                endings.in_redis.insert(ending);
            }
            Seen::Answered { turn, ending, .. } => {
                // Of a turn of an earlier life nothing is in Redis, so nothing can be compared.
                if let Some(endings) = turns.get_mut(&(lives.at(Mark(at)), turn.as_str())) {
                    endings.told.insert(ending);
                }
            }
            Seen::Forgotten { .. }
            | Seen::GaveUp { .. }
            | Seen::Departed { .. }
            | Seen::Emptied
            | Seen::Owners(_)
            | Seen::Containers(_)
            | Seen::Left(_)
            | Seen::Hung(_)
            | Seen::Broken(_) => {}
        }
    }
    let mut found = Vec::new();
    for ((life, turn), endings) in turns {
        let session = endings.session;
        let all: BTreeSet<_> = endings.in_redis.union(&endings.told).collect();
        if all.len() > 1 {
            let (in_redis, told) = (&endings.in_redis, &endings.told);
            found.push(Violation {
                kind: Kind::DoubleTerminal,
                what: format!(
                    "turn {turn} of {session}: in Redis {in_redis:?}, clients saw {told:?}"
                ),
            });
        }
        // What Redis has lost cannot be asked for.
        if endings.in_redis.is_empty() && life == lives.last() {
            found.push(Violation {
                kind: Kind::MissingTerminal,
                what: format!(
                    "turn {turn} of {session}: none in Redis; clients saw {:?}",
                    endings.told
                ),
            });
        }
    }
    found
}

fn owners(history: &[Seen]) -> Vec<Violation> {
    let mut of_container: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut twice = BTreeSet::new();
    for seen in history {
        let Seen::Owners(owners) = seen else { continue };
        let mut of_session: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for owner in owners {
            let sessions = of_container.entry(&owner.container).or_default();
            sessions.insert(&owner.session);
            let containers = of_session.entry(&owner.session).or_default();
            containers.insert(&owner.container);
        }
        let doubled = of_session.into_iter().filter(|(_, all)| all.len() > 1);
        twice.extend(doubled.map(|(session, all)| format!("{session} is served by {all:?}")));
    }
    let reused = of_container.into_iter().filter(|(_, all)| all.len() > 1);
    twice.extend(reused.map(|(container, all)| format!("{container} served {all:?}")));
    let violation = |what| Violation {
        kind: Kind::DoubleOwner,
        what,
    };
    twice.into_iter().map(violation).collect()
}

fn the_rest(history: &[Seen], max_total: usize) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut most: Option<&Vec<String>> = None;
    for seen in history {
        let (kind, what) = match seen {
            Seen::Containers(all) => {
                if all.len() > max_total.max(most.map_or(0, Vec::len)) {
                    most = Some(all);
                }
                continue;
            }
            Seen::Left(what) => (Kind::Orphan, what),
            Seen::Hung(what) => (Kind::Hung, what),
            Seen::Broken(what) => (Kind::Broken, what),
            Seen::Accepted { .. }
            | Seen::Answered { .. }
            | Seen::Forgotten { .. }
            | Seen::GaveUp { .. }
            | Seen::Departed { .. }
            | Seen::Held { .. }
            | Seen::Terminal { .. }
            | Seen::Emptied
            | Seen::Owners(_) => continue,
        };
        found.push(Violation {
            kind,
            what: what.clone(),
        });
    }
    // However often it was seen, it is one excess; the worst one is told.
    found.extend(most.map(|all| Violation {
        kind: Kind::OverCap,
        what: format!("{} where {max_total} are allowed: {all:?}", all.len()),
    }));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Owner;

    fn accepted(turn: &str, asked: usize) -> Seen {
        Seen::Accepted {
            session: "s1".to_owned(),
            turn: turn.to_owned(),
            asked: Mark(asked),
        }
    }

    fn ending(kind: &str, seq: u64) -> Ending {
        let kind = kind.to_owned();
        Ending { kind, seq }
    }

    fn answered(turn: &str, kind: &str, seq: u64) -> Seen {
        Seen::Answered {
            session: "s1".to_owned(),
            turn: turn.to_owned(),
            ending: ending(kind, seq),
        }
    }

    fn terminal(turn: &str, kind: &str, seq: u64, asked: usize) -> Seen {
        Seen::Terminal {
            session: "s1".to_owned(),
            turn: turn.to_owned(),
            ending: ending(kind, seq),
            asked: Mark(asked),
        }
    }

    fn forgotten(turn: &str) -> Seen {
        Seen::Forgotten {
            session: "s1".to_owned(),
            turn: turn.to_owned(),
        }
    }

    fn owner(container: &str, session: &str) -> Owner {
        Owner {
            container: container.to_owned(),
            session: session.to_owned(),
        }
    }

    fn kinds(history: &[Seen]) -> Vec<Kind> {
        let found = judge(history, 2);
        found.into_iter().map(|violation| violation.kind).collect()
    }

    #[test]
    fn what_ends_once_is_fine_however_often_it_is_read() {
        let history = [
            accepted("t1", 0),
            terminal("t1", "completed", 9, 1),
            answered("t1", "completed", 9),
            answered("t1", "completed", 9),
            Seen::Containers(vec!["a".to_owned(), "b".to_owned()]),
            Seen::Owners(vec![owner("a", "s1"), owner("b", "s2")]),
        ];
        assert_eq!(judge(&history, 2), []);
    }

    #[test]
    fn a_prompt_that_nobody_answers_is_lost() {
        let untold = [accepted("t1", 0), terminal("t1", "completed", 9, 1)];
        assert_eq!(kinds(&untold), [Kind::LostPrompt]);
        let gave_up = Seen::GaveUp {
            session: "s1".to_owned(),
            turn: "t1".to_owned(),
            why: "long enough".to_owned(),
        };
        let waited = [&untold[..], &[gave_up]].concat();
        assert_eq!(kinds(&waited), [Kind::LostPrompt]);
        let unknown = [&untold[..], &[forgotten("t1")]].concat();
        assert_eq!(kinds(&unknown), [Kind::LostPrompt]);
        let departed = Seen::Departed {
            session: "s1".to_owned(),
        };
        assert_eq!(kinds(&[&untold[..], &[departed]].concat()), []);
    }

    #[test]
    fn what_redis_has_lost_may_be_forgotten_and_nothing_else() {
        let before = [accepted("t1", 0), Seen::Emptied, forgotten("t1")];
        assert_eq!(kinds(&before), []);
        // Its answer came late, but it was sent before.
        let meanwhile = [Seen::Emptied, accepted("t1", 0), forgotten("t1")];
        assert_eq!(kinds(&meanwhile), []);
        let after = [
            Seen::Emptied,
            accepted("t1", 1),
            terminal("t1", "completed", 9, 2),
            forgotten("t1"),
        ];
        assert_eq!(kinds(&after), [Kind::LostPrompt]);
    }

    #[test]
    fn two_different_endings_are_one_too_many() {
        let in_redis = [
            accepted("t1", 0),
            terminal("t1", "completed", 9, 1),
            terminal("t1", "container_lost", 10, 1),
            answered("t1", "completed", 9),
        ];
        assert_eq!(kinds(&in_redis), [Kind::DoubleTerminal]);
        let told = [
            accepted("t1", 0),
            terminal("t1", "completed", 9, 1),
            answered("t1", "container_lost", 9),
        ];
        assert_eq!(kinds(&told), [Kind::DoubleTerminal]);
        // In two lives of Redis it is not the same turn.
        let lives = [
            accepted("t1", 0),
            terminal("t1", "completed", 9, 1),
            Seen::Emptied,
            answered("t1", "container_lost", 0),
        ];
        assert_eq!(kinds(&lives), []);
    }

    #[test]
    fn a_turn_without_an_ending_in_redis_is_missing_one() {
        let told = [accepted("t1", 0), answered("t1", "container_lost", 4)];
        assert_eq!(kinds(&told), [Kind::MissingTerminal]);
        let held = Seen::Held {
            session: "s1".to_owned(),
            turn: "t1".to_owned(),
            asked: Mark(0),
        };
        assert_eq!(kinds(std::slice::from_ref(&held)), [Kind::MissingTerminal]);
        assert_eq!(kinds(&[held, Seen::Emptied]), []);
    }

    #[test]
    fn a_container_has_one_session_and_a_session_one_container() {
        let together = Seen::Owners(vec![owner("a", "s1"), owner("b", "s1")]);
        assert_eq!(kinds(&[together]), [Kind::DoubleOwner]);
        let one = |container, session| Seen::Owners(vec![owner(container, session)]);
        // One after the other is fine for a session, not for a container.
        assert_eq!(kinds(&[one("a", "s1"), one("b", "s1")]), []);
        assert_eq!(
            kinds(&[one("a", "s1"), one("a", "s2")]),
            [Kind::DoubleOwner]
        );
    }

    #[test]
    fn too_many_containers_are_told_once_and_at_their_worst() {
        let names = |count: usize| Seen::Containers(vec!["c".to_owned(); count]);
        assert_eq!(kinds(&[names(2)]), []);
        let found = judge(&[names(3), names(5), names(4)], 2);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].kind, Kind::OverCap);
        assert!(found[0].what.starts_with("5 where 2 are allowed"));
    }

    #[test]
    fn what_is_left_or_late_or_impossible_is_told() {
        let text = || "it".to_owned();
        assert_eq!(
            kinds(&[Seen::Left(text()), Seen::Hung(text()), Seen::Broken(text())]),
            [Kind::Orphan, Kind::Hung, Kind::Broken]
        );
    }
}
