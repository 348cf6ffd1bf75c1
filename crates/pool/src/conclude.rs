//! Ending the turns of a session whose container is gone, so that every turn has its ending.

use std::collections::HashMap;

use ccpool_protocol::envelope::Envelope;
use ccpool_protocol::input::InputItem;
use ccpool_protocol::line::WrapperLine;
use ccpool_protocol::state::field;
use ccpool_protocol::transcript::Entry;
use ccpool_protocol::{Event, FailureKind, ReplyEvent, SessionId, TurnId};
use serde_json::value::RawValue;

use crate::clock::unix_ms;
use crate::store::{Conclusion, Store, StoreError};

/// Somebody may push a prompt just now, but not for ever.
const ATTEMPTS: usize = 100;
/// More envelopes than a session can have; Lua's numbers are exact up to here.
const MOST: u64 = 1 << 53;

/// What the turns are told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Why<'a> {
    pub(crate) kind: FailureKind,
    pub(crate) message: &'a str,
}

/// Ends the running turn and every prompt that was not answered. The wrapper must be gone: from
/// here on nobody else writes.
pub(crate) async fn conclude(
    store: &dyn Store,
    session: &SessionId,
    why: Why<'_>,
) -> Result<(), StoreError> {
    for _ in 0..ATTEMPTS {
        let state = store.session_state(session).await?;
        let from = state.get(field::SEQ).map_or("", String::as_str);
        // What is no number of envelopes was not written by a wrapper of ours.
        let seq = from.parse().ok().filter(|seq| *seq < MOST).unwrap_or(0);
        let running = state
            .get(field::TURN)
            .and_then(|turn| TurnId::new(turn.as_str()).ok());
        let items = store.unanswered(session).await?;
        let turns = open_turns(running.clone(), &items);
        if turns.is_empty() {
            return Ok(());
        }
        let now = unix_ms();
        let endings: Vec<ReplyEvent> = turns
            .into_iter()
            .zip(seq + 1..)
            .map(|(turn, seq)| {
                let event = ending(&state, running.as_ref() == Some(&turn), why);
                ReplyEvent {
                    event,
                    turn,
                    seq,
                    at: now,
                    origin: None,
                }
            })
            .collect();
        let envelopes: Vec<String> = endings.iter().map(enveloped).collect();
        let newest = endings.last().map(serde_json::to_string);
        let newest = newest
            .expect("there is a turn")
            .expect("events have string keys");
        let to = endings.last().map_or(seq, |ending| ending.seq);
        let entries = endings.iter().map(|ending| entry(ending, &items));
        let entries: Vec<String> = entries.collect();
        let conclusion = Conclusion {
            from,
            to,
            prompts: items.len(),
            envelopes: &envelopes,
            result: &newest,
            entries: &entries,
        };
        if store.conclude(session, &conclusion).await? {
            for ReplyEvent { turn, .. } in &endings {
                tracing::info!(%session, %turn, kind = %why.kind, "ended without its container");
            }
            return Ok(());
        }
    }
    Err(StoreError::Broken(format!(
        "session {session} goes on changing without its container"
    )))
}

/// The running turn first, then the prompts in their order. A prompt pushed by hand may have no
/// name yet.
fn open_turns(running: Option<TurnId>, items: &[Vec<u8>]) -> Vec<TurnId> {
    let mut turns: Vec<TurnId> = running.into_iter().collect();
    for (number, item) in items.iter().enumerate() {
        let named = InputItem::turn_named(item);
        let unnamed = || TurnId::new(format!("unnamed-{number}")).expect("a turn id");
        let turn = named.unwrap_or_else(unnamed);
        // The running turn's own prompt is still in flight.
        if !turns.contains(&turn) {
            turns.push(turn);
        }
    }
    turns
}

/// A turn that had begun keeps what the wrapper wrote down of it in the step in which it happened:
/// whether something was seen, and whether a tool acted.
fn ending(state: &HashMap<String, String>, had_begun: bool, why: Why<'_>) -> Event {
    let said = |field: &str| had_begun && state.get(field).is_some_and(|value| value == "true");
    Event::lost(
        why.kind,
        why.message,
        said(field::VISIBLE_OUTPUT),
        said(field::TOOL_EFFECTS),
    )
}

/// What the transcript keeps of it, with the prompt that asked for it.
fn entry(ending: &ReplyEvent, items: &[Vec<u8>]) -> String {
    let entry = Entry::of(&ending.turn, ending.at, &ending.event);
    let read = items.iter().filter_map(|item| InputItem::parse(item).ok());
    let asked = read
        .into_iter()
        .find(|item| item.turn.as_ref() == Some(&ending.turn));
    match asked {
        Some(item) => entry.asked(&item).to_json(),
        None => entry.to_json(),
    }
}

fn enveloped(ending: &ReplyEvent) -> String {
    let line = WrapperLine::Terminal {
        event: ending.event.clone(),
    }
    .to_json();
    let line = RawValue::from_string(line).expect("a wrapper line is JSON");
    Envelope {
        seq: ending.seq,
        turn: ending.turn.clone(),
        at: ending.at,
        line,
    }
    .to_json()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_open_turn_once_and_the_running_one_first() {
        let turn = |name: &str| TurnId::new(name).unwrap();
        let items: [&[u8]; 4] = [
            br#"{"turn":"t2","text":"x"}"#,
            br#"{"turn":"t1","text":"x"}"#,
            b"junk",
            br#"{"text":"y"}"#,
        ];
        let items = items.map(<[u8]>::to_vec);
        assert_eq!(
            open_turns(Some(turn("t1")), &items),
            [turn("t1"), turn("t2"), turn("unnamed-2"), turn("unnamed-3")]
        );
        assert!(open_turns(None, &[]).is_empty());
    }

    #[test]
    fn what_was_seen_and_done_is_said_of_the_running_turn_alone() {
        let state = [
            (field::VISIBLE_OUTPUT, "true"),
            (field::TOOL_EFFECTS, "true"),
        ];
        let state = state.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let state = HashMap::from(state);
        let why = Why {
            kind: FailureKind::ContainerLost,
            message: "gone",
        };
        let flags = |had_begun| match ending(&state, had_begun, why) {
            Event::Failed(failed) => (failed.visible_output, failed.tool_effects),
            other => panic!("{other:?}"),
        };
        assert_eq!((flags(true), flags(false)), ((true, true), (false, false)));
    }
}
