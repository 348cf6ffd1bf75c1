//! What holds for every recording however its bytes arrive, for readers that come and go, and for
//! any bytes at all.

use std::path::Path;
use std::sync::LazyLock;

use ccpool_protocol::envelope::Envelope;
use ccpool_protocol::event::ReplyEvent;
use ccpool_protocol::fold::{Ending, Fold};
use ccpool_protocol::framing::LineFramer;
use ccpool_protocol::replay::Replay;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::invariants::reading::Page;
use crate::invariants::telling::{lines, read, tell};
use crate::invariants::{envelopes, fold, framing, input_items};

/// One recorded process.
struct Recording {
    name: String,
    /// What it wrote to its stdout.
    stdout: Vec<u8>,
}

static RECORDINGS: LazyLock<Vec<Recording>> = LazyLock::new(|| {
    let transcripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut recordings = Vec::new();
    for version in ["2.1.197", "2.1.329"] {
        for entry in std::fs::read_dir(transcripts.join(version)).unwrap() {
            let path = entry.unwrap().path();
            // The one exception is a copy of a session file of the CLI's, not of its stdout.
            if path.extension().is_some_and(|e| e == "jsonl")
                && !path.ends_with("session_file_example.jsonl")
            {
                let name = path.file_stem().unwrap().to_string_lossy();
                recordings.push(Recording {
                    name: format!("{version}/{name}"),
                    stdout: stdout_of(&std::fs::read_to_string(&path).unwrap()),
                });
            }
        }
    }
    assert!(recordings.len() > 200, "the transcripts are there");
    recordings.sort_by(|a, b| a.name.cmp(&b.name));
    recordings
});

fn stdout_of(transcript: &str) -> Vec<u8> {
    #[derive(Deserialize)]
    struct Entry<'a> {
        dir: &'a str,
        #[serde(borrow)]
        line: &'a RawValue,
    }
    let mut stdout = Vec::new();
    for line in transcript.lines() {
        let entry: Entry<'_> = serde_json::from_str(line).unwrap();
        if entry.dir == "out" {
            stdout.extend_from_slice(entry.line.get().as_bytes());
            stdout.push(b'\n');
        }
    }
    stdout
}

/// The events of a process whose output arrives in these pieces.
fn events<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Vec<ReplyEvent> {
    let mut framer = LineFramer::default();
    let mut replay = Replay::default();
    let mut events = Vec::new();
    let mut take = |line: Vec<u8>| {
        events.extend(replay.push(std::str::from_utf8(&line).unwrap()).unwrap());
    };
    for chunk in chunks {
        framer.feed(chunk);
        while let Some(line) = framer.next_line() {
            take(line.unwrap());
        }
    }
    if let Some(line) = framer.finish() {
        take(line.unwrap());
    }
    events
}

#[test]
fn every_recording_says_the_same_in_small_pieces() {
    for (recording, size) in RECORDINGS.iter().zip([5, 61, 4099].into_iter().cycle()) {
        let bytes = &recording.stdout;
        assert_eq!(
            events(bytes.chunks(size)),
            events([bytes.as_slice()].into_iter()),
            "{} in pieces of {size}",
            recording.name
        );
    }
}

/// The same invariants that fuzzing checks: readers of the envelopes learn what the wrapper knows,
/// and what remains after the retractions is the finished text.
#[test]
fn every_recording_keeps_the_invariants() {
    for recording in RECORDINGS.iter() {
        println!("{}", recording.name);
        fold::check(&recording.stdout);
    }
}

/// The place of an event: its envelope, and which of that envelope's events it is.
type Place = (u64, usize);

/// Reads envelopes as a gateway's reader does: from the channel, or from the buffer when some were
/// missed or it has come back.
struct Reader {
    fold: Fold,
    /// The newest envelope that was looked at.
    seen: u64,
    /// Events up to here are known from before.
    known: Option<Place>,
    told: Vec<(Place, ReplyEvent)>,
}

impl Reader {
    fn after(known: Option<Place>) -> Self {
        Self {
            fold: Fold::new(Ending::ByWrapper),
            seen: 0,
            known,
            told: Vec::new(),
        }
    }

    fn take(&mut self, envelopes: &[Envelope]) {
        for envelope in envelopes {
            if envelope.seq <= self.seen {
                continue;
            }
            self.seen = envelope.seq;
            for (part, event) in read(&mut self.fold, envelope).into_iter().enumerate() {
                let place = (envelope.seq, part);
                if self.known.is_none_or(|known| place > known) {
                    self.told.push((place, event));
                }
            }
        }
    }
}

/// Reads on at `place` in both ways; gives what the two readers were told in all.
fn interrupted(
    session: &[Envelope],
    whole: &[(Place, ReplyEvent)],
    place: usize,
) -> [Vec<(Place, ReplyEvent)>; 2] {
    // It has missed some, and finds the ones before them in the buffer again.
    let mut behind = Reader::after(None);
    behind.take(&session[..place]);
    behind.take(&session[place / 2..]);
    // It was away, and knows the last event that it was told.
    let (before, _) = whole.split_at(whole.len() * place / session.len());
    let mut back = Reader::after(before.last().map(|(place, _)| *place));
    back.take(session);
    let mut told = before.to_vec();
    told.extend(back.told);
    [behind.told, told]
}

#[test]
fn a_reader_that_goes_on_anywhere_is_told_everything_once() {
    const PLACES: usize = 4;
    for recording in RECORDINGS.iter() {
        let session = tell(&lines(&recording.stdout)).envelopes;
        let mut reader = Reader::after(None);
        reader.take(&session);
        let whole = reader.told;
        assert!(whole.is_sorted_by(|a, b| a.0 < b.0), "{}", recording.name);
        for place in (0..=PLACES).map(|n| session.len() * n / PLACES) {
            for told in interrupted(&session, &whole, place) {
                assert_eq!(told, whole, "{} cut at {place}", recording.name);
            }
        }
    }
}

/// Who comes back to a buffer that has lost the beginning of the running message, but nothing that this
/// reader had not read, is told what fits what it was told before.
#[test]
fn a_reader_that_comes_back_to_a_short_buffer_ends_up_with_the_finished_text() {
    let mut cuts = 0;
    // Older deltas do not say which message they are of.
    let newer = RECORDINGS.iter().filter(|r| r.name.starts_with("2.1.329"));
    for recording in newer {
        let session = tell(&lines(&recording.stdout)).envelopes;
        for place in 1..session.len() {
            if begins_with_a_whole_message(&session[place..], &recording.stdout) {
                // Nothing tells it from the end of a streamed one: only its `text` is told.
                continue;
            }
            let mut before = Reader::after(None);
            before.take(&session[..place]);
            let mut after = Reader::after(None);
            after.take(&session[place..]);
            let mut page = Page::default();
            for (_, event) in before.told.iter().chain(&after.told) {
                page.see(&event.event);
                if event.event.is_terminal() {
                    page.holds_the_finished_text(&format!("{} at {place}", recording.name));
                }
            }
            cuts += 1;
        }
    }
    assert!(cuts > 1000, "{cuts}");
}

/// Whether the first that is said of an answer is a message that was never streamed.
fn begins_with_a_whole_message(envelopes: &[Envelope], stdout: &[u8]) -> bool {
    let said = envelopes
        .iter()
        .map(|envelope| serde_json::from_str::<Value>(envelope.line.get()).unwrap())
        .find(|line| {
            line["parent_tool_use_id"].is_null()
                && (line["type"] == "assistant" || line["type"] == "stream_event")
        });
    let Some(line) = said.filter(|line| line["type"] == "assistant") else {
        return false;
    };
    let named = format!("\"api_message_id\": {}", line["message"]["id"]);
    !String::from_utf8_lossy(stdout).contains(&named)
}

/// Nothing may panic, and what is understood keeps its invariants.
fn check_everything(bytes: &[u8]) {
    framing::check(bytes);
    fold::check(bytes);
    input_items::check(bytes);
    envelopes::check(bytes);
}

/// A recorded line, now and then cut off before its end.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    any::<([Index; 2], Option<Index>)>().prop_map(|([recording, line], end)| {
        let stdout = &recording.get(&RECORDINGS).stdout;
        let lines: Vec<&[u8]> = stdout.split(|byte| *byte == b'\n').collect();
        let mut line = [line.get(&lines), b"\n".as_slice()].concat();
        if let Some(end) = end {
            line.truncate(end.index(8 * line.len()));
        }
        line
    })
}

/// Bytes of which JSON and lines are made, and some others.
fn byte() -> impl Strategy<Value = u8> {
    prop_oneof![
        4 => select(b"{}[]\",:\\\n\r 019.e-tn".as_slice()),
        1 => any::<u8>(),
    ]
}

proptest! {
    #[test]
    fn any_cuts_give_the_same_events(
        recording in any::<Index>(),
        cuts in prop::collection::vec(any::<Index>(), 0..60),
    ) {
        let bytes = &recording.get(&RECORDINGS).stdout;
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let chunks = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]);
        prop_assert_eq!(events(chunks), events([bytes.as_slice()].into_iter()));
    }

    #[test]
    fn a_reader_may_be_interrupted_at_any_place(recording in any::<Index>(), place in any::<Index>()) {
        let session = tell(&lines(&recording.get(&RECORDINGS).stdout)).envelopes;
        let mut reader = Reader::after(None);
        reader.take(&session);
        for told in interrupted(&session, &reader.told, place.index(session.len() + 1)) {
            prop_assert_eq!(&told, &reader.told);
        }
    }

    #[test]
    fn any_bytes_are_taken(bytes in prop::collection::vec(byte(), 0..400)) {
        check_everything(&bytes);
    }

    #[test]
    fn recorded_lines_in_any_order_keep_the_invariants(
        pieces in prop::collection::vec(pieces(), 0..30),
    ) {
        fold::check(&pieces.concat());
    }
}
