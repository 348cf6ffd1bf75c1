//! What of a history may not be. No IO.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::endings::{ended_again, terminals};
use crate::history::{Mark, Owner, Seen};
use crate::lives::Lives;

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
    found.extend(ended_again(history, &lives));
    found.extend(owners(history, &lives));
    found.extend(asked(history, &lives));
    found.extend(lives_on(history));
    found.extend(the_rest(history, max_total));
    found
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
            | Seen::Ended { .. }
            | Seen::Still(_)
            | Seen::Terminal { .. }
            | Seen::Emptied
            | Seen::Owners(_)
            | Seen::Containers(_)
            | Seen::Happened(_)
            | Seen::Asked { .. }
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

/// Within one life of Redis: a claim that it has forgotten before the container heard of it is none.
fn owners(history: &[Seen], lives: &Lives) -> Vec<Violation> {
    let mut of_container: BTreeMap<(usize, &str), BTreeSet<&str>> = BTreeMap::new();
    let mut twice = BTreeSet::new();
    for (at, seen) in history.iter().enumerate() {
        let Seen::Owners(owners) = seen else { continue };
        let mut of_session: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for owner in owners {
            let sessions = of_container
                .entry((lives.at(Mark(at)), &owner.container))
                .or_default();
            sessions.insert(&owner.session);
            let containers = of_session.entry(&owner.session).or_default();
            containers.insert(&owner.container);
        }
        let doubled = of_session.into_iter().filter(|(_, all)| all.len() > 1);
        twice.extend(doubled.map(|(session, all)| format!("{session} is served by {all:?}")));
    }
    let reused = of_container.into_iter().filter(|(_, all)| all.len() > 1);
    twice.extend(reused.map(|((_, container), all)| format!("{container} served {all:?}")));
    let violation = |what| Violation {
        kind: Kind::DoubleOwner,
        what,
    };
    twice.into_iter().map(violation).collect()
}

/// Who was told that a session is over does not pay for its container.
fn lives_on(history: &[Seen]) -> Vec<Violation> {
    let ended = |session: &String| {
        let told = |seen: &Seen| matches!(seen, Seen::Ended { session: of } if of == session);
        history.iter().any(told)
    };
    let still = history.iter().filter_map(|seen| {
        let Seen::Still(owners) = seen else {
            return None;
        };
        Some(owners)
    });
    let still = still.flatten().filter(|owner| ended(&owner.session));
    let violation = |owner: &Owner| Violation {
        kind: Kind::Broken,
        what: format!(
            "{} was ended, and {} still serves it",
            owner.session, owner.container
        ),
    };
    still.map(violation).collect()
}

/// Who is asked by two has two owners. A Redis that forgets that a prompt was taken makes it a new
/// one when it is sent again, so then nothing can be said.
fn asked(history: &[Seen], lives: &Lives) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut sessions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for seen in history {
        let Seen::Asked { prompt, most, by } = seen else {
            continue;
        };
        let session = prompt.split_once('-').map_or("", |(session, _)| session);
        for claude in by.keys() {
            sessions.entry(claude).or_default().insert(session);
        }
        if lives.last() > 0 {
            continue;
        }
        if by.len() > 1 {
            found.push(Violation {
                kind: Kind::DoubleOwner,
                what: format!("the prompt {prompt} was worked on by {:?}", by.keys()),
            });
        }
        let often = by.iter().filter(|(_, times)| *times > most);
        found.extend(often.map(|(claude, times)| Violation {
            kind: Kind::Broken,
            what: format!("{claude} asked {times} times for an answer to {prompt}"),
        }));
    }
    let shared = sessions.into_iter().filter(|(_, all)| all.len() > 1);
    found.extend(shared.map(|(claude, all)| Violation {
        kind: Kind::DoubleOwner,
        what: format!("{claude} worked for {all:?}"),
    }));
    found
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
            | Seen::Ended { .. }
            | Seen::Still(_)
            | Seen::Held { .. }
            | Seen::Terminal { .. }
            | Seen::Emptied
            | Seen::Happened(_)
            | Seen::Asked { .. }
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
    use crate::history::Ending;

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
    fn a_turn_that_ended_does_not_end_again_in_an_emptied_redis() {
        let again = |kind| {
            [
                accepted("t1", 0),
                terminal("t1", "completed", 9, 1),
                answered("t1", "completed", 9),
                Seen::Emptied,
                terminal("t1", kind, 4, 4),
            ]
        };
        assert_eq!(kinds(&again("interrupted")), [Kind::DoubleTerminal]);
        assert_eq!(kinds(&again("completed")), []);
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
        let late = Seen::Held {
            session: "s1".to_owned(),
            turn: "t1".to_owned(),
            asked: Mark(3),
        };
        let ended = terminal("t1", "completed", 9, 0);
        assert_eq!(kinds(&[ended, Seen::Emptied, late.clone()]), []);
        assert_eq!(
            kinds(&[Seen::Emptied, Seen::Emptied, late]),
            [Kind::MissingTerminal]
        );
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
    fn a_prompt_is_worked_on_once() {
        let asked = |by: &[(&str, usize)]| Seen::Asked {
            prompt: "s1-0".to_owned(),
            most: 1,
            by: by.iter().map(|(who, n)| ((*who).to_owned(), *n)).collect(),
        };
        assert_eq!(kinds(&[asked(&[("a", 1)])]), []);
        assert_eq!(kinds(&[asked(&[("a", 1), ("b", 1)])]), [Kind::DoubleOwner]);
        assert_eq!(kinds(&[asked(&[("a", 2)])]), [Kind::Broken]);
        let other = Seen::Asked {
            prompt: "s2-0".to_owned(),
            most: 1,
            by: [("a".to_owned(), 1)].into(),
        };
        let shared = [Seen::Emptied, asked(&[("a", 1)]), other];
        assert_eq!(kinds(&shared), [Kind::DoubleOwner]);
        assert_eq!(kinds(&[Seen::Emptied, asked(&[("a", 2), ("b", 1)])]), []);
    }

    #[test]
    fn a_session_that_was_ended_is_over() {
        let still = Seen::Still(vec![owner("a", "s1")]);
        assert_eq!(kinds(std::slice::from_ref(&still)), []);
        let session = "s1".to_owned();
        assert_eq!(kinds(&[Seen::Ended { session }, still]), [Kind::Broken]);
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
