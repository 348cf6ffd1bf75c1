//! How often turns have ended. No IO.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Ending, Mark, Seen};
use crate::lives::Lives;
use crate::verdict::{Kind, Violation};

/// What is known of a turn's endings in one life of Redis.
#[derive(Default)]
struct Endings<'a> {
    session: &'a str,
    in_redis: BTreeSet<&'a Ending>,
    told: BTreeSet<&'a Ending>,
}

/// Turns with two endings in one life of Redis, or with none in its last one.
pub(crate) fn terminals(history: &[Seen], lives: &Lives) -> Vec<Violation> {
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
            | Seen::Ended { .. }
            | Seen::Still(_)
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
    // A line that comes after a turn's ending can be all that a new life has of it; the ending may
    // have been lost before it was seen, when a client was told.
    let ended: BTreeSet<&str> = turns
        .iter()
        .filter(|((life, _), endings)| {
            let told = *life < lives.last() && !endings.told.is_empty();
            told || !endings.in_redis.is_empty()
        })
        .map(|((_, turn), _)| *turn)
        .collect();
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
        if !ended.contains(turn) && life == lives.last() {
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

/// A client knows how a turn ended, and after Redis has lost everything the turn ends once more,
/// otherwise. (That nobody knows any more how it ended is fine.)
pub(crate) fn ended_again(history: &[Seen], lives: &Lives) -> Vec<Violation> {
    let mut told: BTreeMap<&str, (usize, &Ending)> = BTreeMap::new();
    let mut found = Vec::new();
    for (at, seen) in history.iter().enumerate() {
        match seen {
            Seen::Answered { turn, ending, .. } => {
                told.entry(turn).or_insert((lives.at(Mark(at)), ending));
            }
            Seen::Terminal {
                session,
                turn,
                ending,
                asked,
            } => {
                let before = told.get(turn.as_str());
                let before = before.filter(|(life, _)| *life < lives.at(*asked));
                if let Some((_, first)) = before
                    && first.kind != ending.kind
                {
                    found.push(Violation {
                        kind: Kind::DoubleTerminal,
                        what: format!(
                            "turn {turn} of {session}: a client was told {first:?}, and after Redis \
                             was emptied it ended again: {ending:?}"
                        ),
                    });
                }
            }
            Seen::Accepted { .. }
            | Seen::Forgotten { .. }
            | Seen::GaveUp { .. }
            | Seen::Departed { .. }
            | Seen::Ended { .. }
            | Seen::Still(_)
            | Seen::Held { .. }
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
    found
}
