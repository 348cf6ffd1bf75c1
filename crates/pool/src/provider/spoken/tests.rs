use proptest::prelude::*;

use super::*;

fn delta(message: &str, block: u64, text: &str) -> Event {
    Event::TextDelta {
        message_id: message.to_owned(),
        block,
        text: text.to_owned(),
    }
}

fn block(message: &str, text: &str) -> Event {
    Event::Text {
        message_id: message.to_owned(),
        text: text.to_owned(),
        parent_tool_use_id: None,
    }
}

fn retract(message: &str, from_block: u64) -> Event {
    Event::Retract {
        message_id: message.to_owned(),
        from_block,
    }
}

/// What is heard, and whether the parts are the whole.
fn heard(events: &[Event]) -> String {
    let mut spoken = Spoken::default();
    let parts: Vec<String> = events.iter().filter_map(|e| spoken.hear(e)).collect();
    assert!(parts.iter().all(|part| !part.is_empty()));
    assert_eq!(parts.concat(), spoken.text());
    parts.concat()
}

#[test]
fn messages_are_apart_and_blocks_are_not() {
    let events = [
        delta("m1", 0, "Let me "),
        delta("m1", 0, "look."),
        block("m1", "Let me look."),
        delta("m1", 2, " Now."),
        block("m1", " Now."),
        delta("m2", 0, ""),
        delta("m2", 0, "Done."),
    ];
    assert_eq!(heard(&events), "Let me look. Now.\n\nDone.");
}

#[test]
fn a_block_that_was_not_streamed_counts_once() {
    let events = [block("m1", "one"), block("m1", " two"), block("m2", "x")];
    assert_eq!(heard(&events), "one two\n\nx");
}

#[test]
fn subagents_and_thoughts_do_not_count() {
    let mut theirs = block("m1", "aside");
    if let Event::Text {
        parent_tool_use_id, ..
    } = &mut theirs
    {
        *parent_tool_use_id = Some("t1".to_owned());
    }
    let thought = Event::ThinkingDelta {
        message_id: "m1".to_owned(),
        block: 0,
        text: "hm".to_owned(),
    };
    assert_eq!(heard(&[theirs, thought, delta("m1", 1, "hi")]), "hi");
}

#[test]
fn what_is_repeated_is_said_once() {
    for by in ["m1", "m2"] {
        let events = [
            delta("m1", 0, "Hello "),
            delta("m1", 0, "wor"),
            retract("m1", 0),
            delta(by, 0, "Hel"),
            delta(by, 0, "lo world"),
            delta(by, 0, "!"),
            delta("m3", 0, "Bye."),
        ];
        assert_eq!(heard(&events), "Hello world!\n\nBye.", "{by}");
    }
}

#[test]
fn what_differs_is_said_from_the_word_on() {
    let events = [
        delta("m1", 0, "Hello "),
        delta("m1", 0, "world, I am"),
        retract("m1", 0),
        delta("m2", 0, "Hello wor"),
        delta("m2", 0, "k of"),
        delta("m2", 0, " art"),
    ];
    assert_eq!(heard(&events), "Hello world, I am\n\nwork of art");
    let events = [
        delta("m1", 0, "x"),
        retract("m1", 0),
        delta("m2", 0, "other"),
    ];
    assert_eq!(heard(&events), "x\n\nother");
    // No space in it.
    let long = "字".repeat(20);
    let events = [
        delta("m1", 0, &format!("{long}a")),
        retract("m1", 0),
        delta("m2", 0, &format!("{long}b")),
    ];
    assert_eq!(heard(&events), format!("{long}a\n\nb"));
}

#[test]
fn only_what_was_retracted_is_compared() {
    let events = [
        delta("m1", 0, "one "),
        delta("m1", 1, "two"),
        retract("m1", 1),
        delta("m1", 1, "two three"),
        retract("m9", 0),
        delta("m2", 0, "one "),
    ];
    assert_eq!(heard(&events), "one two three\n\none ");
}

#[test]
fn what_is_shorter_the_second_time_leaves_the_next_message_alone() {
    let events = [
        delta("m1", 0, "one two"),
        retract("m1", 0),
        delta("m2", 0, "one"),
        delta("m3", 0, " two"),
    ];
    assert_eq!(heard(&events), "one two\n\n two");
}

#[test]
fn a_repetition_can_be_repeated() {
    let events = [
        delta("m1", 0, "one two three"),
        retract("m1", 0),
        delta("m2", 0, "one "),
        retract("m2", 0),
        delta("m3", 0, "one two "),
        delta("m3", 0, "three four"),
    ];
    assert_eq!(heard(&events), "one two three four");
    let events = [
        delta("m1", 0, "one two"),
        retract("m1", 0),
        delta("m2", 0, "one 2 three"),
        retract("m2", 0),
        delta("m3", 0, "one 2 three four"),
    ];
    assert_eq!(heard(&events), "one two\n\n2 three four");
}

fn pieces(text: &str, message: &str, lengths: &[usize]) -> Vec<Event> {
    let mut pieces = Vec::new();
    let mut left = text;
    let mut lengths = lengths.iter().copied().cycle();
    while !left.is_empty() {
        let most = lengths.next().unwrap_or(1).max(1);
        let at = left
            .char_indices()
            .nth(most)
            .map_or(left.len(), |(at, _)| at);
        pieces.push(delta(message, 0, &left[..at]));
        left = &left[at..];
    }
    pieces
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let id = || prop_oneof![Just("m1"), Just("m2"), Just("m3")];
    let text = || "[ab é]{0,5}";
    let one = prop_oneof![
        4 => (id(), 0..3_u64, text()).prop_map(|(id, at, text)| delta(id, at, &text)),
        1 => (id(), text()).prop_map(|(id, text)| block(id, &text)),
        2 => (id(), 0..3_u64).prop_map(|(id, from)| retract(id, from)),
    ];
    proptest::collection::vec(one, 0..20)
}

proptest! {
    #[test]
    fn whatever_comes_the_parts_are_the_whole(events in events()) {
        heard(&events);
    }

    /// However both are cut into pieces, and wherever the first one broke off.
    #[test]
    fn a_repetition_adds_only_what_is_new(
        text in "[ab é\n]{1,20}",
        said in 0..20_usize,
        first in proptest::collection::vec(1..5_usize, 1..4),
        second in proptest::collection::vec(1..5_usize, 1..4),
        by in prop_oneof![Just("m1"), Just("m2")],
    ) {
        let at = text.char_indices().nth(said).map_or(text.len(), |(at, _)| at);
        let mut events = pieces(&text[..at], "m1", &first);
        events.push(retract("m1", 0));
        events.extend(pieces(&text, by, &second));
        prop_assert_eq!(heard(&events), text);
    }

    /// What was said stays, and what is said instead is there to its end.
    #[test]
    fn nothing_new_is_lost(
        old in "[ab ]{1,12}",
        new in "[ab ]{1,12}",
        first in proptest::collection::vec(1..5_usize, 1..4),
        second in proptest::collection::vec(1..5_usize, 1..4),
    ) {
        let mut events = pieces(&old, "m1", &first);
        events.push(retract("m1", 0));
        events.extend(pieces(&new, "m2", &second));
        let all = heard(&events);
        prop_assert!(all.starts_with(&old));
        if old.starts_with(&new) {
            prop_assert_eq!(all, old);
        } else if new.starts_with(&old) {
            prop_assert_eq!(all, new);
        } else {
            let more = all.strip_prefix(&format!("{old}\n\n")).map(str::to_owned);
            let more = more.expect("what differs comes after a blank line");
            prop_assert!(!more.is_empty() && new.ends_with(&more), "{:?}", all);
        }
    }
}
