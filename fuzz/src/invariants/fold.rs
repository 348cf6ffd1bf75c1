//! Stdout of `claude` to reply events: by the wrapper, by readers of its envelopes, and from a
//! recording.

use std::collections::HashMap;

use ccpool_protocol::TurnId;
use ccpool_protocol::event::{Event, ReplyEvent};
use ccpool_protocol::fold::{Ending, Fold, Stamp};
use ccpool_protocol::line::Line;
use ccpool_protocol::replay::Replay;
use serde_json::value::RawValue;

use super::envelopes;
use super::nesting::is_too_deep;
use super::reading::{Order, Page};
use super::telling::{Telling, lines, read, tell};

/// The bytes are what `claude` wrote to its stdout.
pub fn check(stdout: &[u8]) {
    let lines = lines(stdout);
    let telling = tell(&lines);
    one_ending_per_turn(&telling.events);
    one_ending_whatever_comes(&lines);
    for text in &lines {
        envelopes::line(text);
    }
    for event in &telling.events {
        envelopes::event_comes_back(event);
    }
    readers_learn_the_same(&telling);
    retractions_leave_the_finished_text(&lines, &telling.events);
    a_recording_says_what_its_lines_say(&lines);
}

fn one_ending_per_turn(events: &[ReplyEvent]) {
    let mut endings: HashMap<&TurnId, u32> = HashMap::new();
    for event in events.iter().filter(|event| event.event.is_terminal()) {
        let count = endings.entry(&event.turn).or_default();
        *count += 1;
        assert_eq!(*count, 1, "{} ends twice", event.turn);
    }
}

/// All lines in one turn, as if nobody kept count of the endings.
fn one_ending_whatever_comes(lines: &[String]) {
    let turn = TurnId::new("t1").expect("a turn id");
    for ending in [Ending::ByResult, Ending::ByWrapper] {
        let mut fold = Fold::new(ending);
        let mut events = Vec::new();
        for (line, seq) in lines
            .iter()
            .filter_map(|text| Line::parse(text).ok())
            .zip(1..)
        {
            let stamp = Stamp {
                turn: &turn,
                seq,
                at: seq,
            };
            events.extend(fold.push(stamp, line));
        }
        one_ending_per_turn(&events);
        assert_eq!(
            fold.turn_ended(),
            events.iter().any(|event| event.event.is_terminal())
        );
    }
}

/// Readers hear the ending from the wrapper, everything else from the lines themselves.
fn readers_learn_the_same(telling: &Telling) {
    let mut fold = Fold::new(Ending::ByWrapper);
    let mut events = Vec::new();
    let mut ended = None;
    for envelope in &telling.envelopes {
        envelopes::comes_back(envelope);
        let new = read(&mut fold, envelope);
        if new.iter().any(|event| event.event.is_terminal()) {
            ended = Some(&envelope.turn);
        }
        assert_eq!(fold.turn_ended(), ended == Some(&envelope.turn));
        events.extend(new);
    }
    if telling.envelopes.iter().any(|e| is_too_deep(e.line.get())) {
        return;
    }
    let told: Vec<_> = telling.events.iter().map(without_place).collect();
    let learnt: Vec<_> = events.iter().map(without_place).collect();
    assert_eq!(learnt, told, "readers learn what the wrapper knows");
}

/// The ending has an envelope of its own, and its origin a line of the wrapper's.
fn without_place(event: &ReplyEvent) -> (&Event, &TurnId) {
    (&event.event, &event.turn)
}

fn retractions_leave_the_finished_text(lines: &[String], events: &[ReplyEvent]) {
    let mut order = Order::default();
    for line in lines.iter().filter_map(|text| Line::parse(text).ok()) {
        order.see(&line);
    }
    if !order.is_kept() {
        return;
    }
    let mut page = Page::default();
    for event in events {
        page.see(&event.event);
        if event.event.is_terminal() {
            page.holds_the_finished_text("a reader");
        }
    }
}

/// A recording may hold the lines as they came, or each with its direction and time.
fn a_recording_says_what_its_lines_say(lines: &[String]) {
    let (mut plain, mut recorded) = (Replay::default(), Replay::default());
    let mut events = Vec::new();
    for text in lines.iter().map(|text| text.trim()) {
        if text.is_empty() || text.starts_with("{\"dir\"") {
            // Whatever it is, it is no reason to panic.
            let _ = Replay::default().push(text);
            continue;
        }
        let entry = match serde_json::from_str::<&RawValue>(text) {
            Ok(json) => format!("{{\"dir\":\"out\",\"t_ms\":0.5,\"line\":{json}}}"),
            Err(_) => text.to_owned(),
        };
        match (plain.push(text), recorded.push(&entry)) {
            (Ok(said), Ok(again)) => {
                assert_eq!(said, again, "{text}");
                events.extend(said);
            }
            (Err(_), Err(_)) => {}
            (one, other) => panic!("{text}: {one:?}, but recorded {other:?}"),
        }
    }
    one_ending_per_turn(&events);
}
