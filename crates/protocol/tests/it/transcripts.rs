//! Every recorded conversation folds into events that say what its own `result` lines say.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use ccpool_protocol::event::{Event, ReplyEvent};
use ccpool_protocol::framing::LineFramer;
use ccpool_protocol::replay::Replay;
use serde_json::Value;

use crate::short;

pub(crate) const VERSIONS: [&str; 2] = ["2.1.197", "2.1.329"];

pub(crate) fn transcripts(version: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/transcripts")
        .join(version);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "jsonl"))
        // A copy of a session file of the CLI's, not of its stdout.
        .filter(|path| !path.ends_with("session_file_example.jsonl"))
        .collect();
    files.sort();
    assert!(files.len() > 100, "the transcripts of {version} are there");
    files
}

/// The recorded stdout lines as they came, by byte-level framing.
fn recorded(path: &Path) -> Vec<String> {
    let mut framer = LineFramer::default();
    framer.feed(&std::fs::read(path).unwrap());
    let mut lines = Vec::new();
    while let Some(line) = framer.next_line() {
        lines.push(String::from_utf8(line.unwrap()).unwrap());
    }
    lines
}

pub(crate) fn fold(path: &Path) -> Vec<ReplyEvent> {
    let mut replay = Replay::default();
    let mut events = Vec::new();
    for line in recorded(path) {
        events.extend(
            replay
                .push(&line)
                .unwrap_or_else(|e| panic!("{path:?}: {e}: {line}")),
        );
    }
    events
}

fn results(path: &Path) -> Vec<Value> {
    recorded(path)
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|entry| entry["dir"] == "out" && entry["line"]["type"] == "result")
        .map(|entry| entry["line"].clone())
        .collect()
}

#[test]
fn no_line_is_unknown() {
    for path in VERSIONS.iter().flat_map(|version| transcripts(version)) {
        for event in fold(&path) {
            assert!(
                !matches!(event.event, Event::Other { .. }),
                "{path:?}: {event:?}"
            );
        }
    }
}

#[test]
fn turns_end_as_their_result_lines_say() {
    for path in VERSIONS.iter().flat_map(|version| transcripts(version)) {
        let endings: Vec<ReplyEvent> = fold(&path)
            .into_iter()
            .filter(|event| event.event.is_terminal())
            .collect();
        let results = results(&path);
        assert_eq!(
            endings.len(),
            results.len(),
            "{path:?}: one ending per result"
        );
        let mut cost = 0.0;
        for (ending, result) in endings.iter().zip(&results) {
            let succeeded = result["subtype"] == "success" && result["is_error"] == false;
            match &ending.event {
                Event::Completed(completed) => {
                    assert!(succeeded, "{path:?}: {result}");
                    assert_eq!(completed.text, result["result"], "{path:?}");
                    assert_eq!(completed.session, result["session_id"], "{path:?}");
                    assert_eq!(
                        completed.usage.output_tokens,
                        result["usage"]["output_tokens"]
                    );
                    cost += completed.cost_usd;
                }
                Event::Failed(failed) => {
                    assert!(!succeeded, "{path:?}: {result}");
                    assert!(!failed.message.is_empty(), "{path:?}");
                    cost += failed.cost_usd.unwrap();
                }
                other => panic!("{path:?}: {other:?} is no ending"),
            }
            assert_eq!(
                ending.origin.as_deref(),
                result["origin"]["kind"].as_str(),
                "{path:?}"
            );
        }
        if let Some(last) = results.last() {
            let total = last["total_cost_usd"].as_f64().unwrap();
            assert!((cost - total).abs() < 1e-9, "{path:?}: {cost} and {total}");
        }
    }
}

/// The newest prompt and all that was written, where no stream broke: counted in another way.
#[test]
fn answers_used_what_their_requests_say() {
    let (mut compared, mut in_rounds) = (0, 0);
    for path in VERSIONS.iter().flat_map(|version| transcripts(version)) {
        let endings = fold(&path).into_iter().map(|event| event.event);
        let mut endings = endings.filter(Event::is_terminal);
        let (mut begun, mut ended) = (0, Vec::new());
        for entry in recorded(&path) {
            let entry: Value = serde_json::from_str(&entry).unwrap();
            let line = &entry["line"];
            match (entry["dir"].as_str(), line["event"]["type"].as_str()) {
                (Some("out"), Some("message_start")) => begun += 1,
                (Some("out"), Some("message_delta")) => ended.push(line["event"]["usage"].clone()),
                _ => {}
            }
            if entry["dir"] != "out" || line["type"] != "result" {
                continue;
            }
            let (began, requests) = (std::mem::take(&mut begun), std::mem::take(&mut ended));
            let answer = match endings.next() {
                Some(Event::Completed(completed)) => completed.answer_usage,
                Some(Event::Failed(failed)) => failed.answer_usage,
                other => panic!("{path:?}: {other:?}"),
            };
            let count = |usage: &Value, name: &str| usage[name].as_u64().unwrap();
            let newest = requests.last().map(|usage| {
                let cached = count(usage, "cache_read_input_tokens");
                count(usage, "input_tokens") + cached + count(usage, "cache_creation_input_tokens")
            });
            let written: u64 = requests.iter().map(|r| count(r, "output_tokens")).sum();
            if began == requests.len() {
                let answer = answer.map(|answer| (answer.prompt(), answer.output_tokens));
                assert_eq!(answer, newest.map(|prompt| (prompt, written)), "{path:?}");
                compared += 1;
                in_rounds += usize::from(began > 1);
            }
        }
    }
    assert!(compared > 300 && in_rounds > 50, "{compared} {in_rounds}");
}

/// The CLI repeats what broke off in one piece, which is not streamed.
#[test]
fn a_request_that_broke_off_is_no_answer() {
    for version in VERSIONS {
        let mut files = transcripts(version).into_iter();
        let broken =
            files.find(|path| path.ends_with("t13p_sse_overloaded_once_before_deltas.jsonl"));
        let events = fold(&broken.unwrap());
        let mut endings = events.iter().map(|event| &event.event);
        let first = endings.find(|event| event.is_terminal());
        let Some(Event::Completed(completed)) = first else {
            panic!("{version}: {events:?}");
        };
        let answer = completed.answer_usage.unwrap();
        assert_eq!(
            (answer.prompt(), answer.output_tokens),
            (10, 12),
            "{version}"
        );
    }
}

/// What a reader is left with who adds up deltas and obeys retractions.
#[test]
fn remaining_deltas_are_the_finished_text() {
    for path in VERSIONS.iter().flat_map(|version| transcripts(version)) {
        let mut said: BTreeMap<(String, u64), String> = BTreeMap::new();
        let mut finished: Vec<String> = Vec::new();
        let mut order: Vec<(String, u64)> = Vec::new();
        for event in fold(&path) {
            match event.event {
                Event::TextDelta {
                    message_id,
                    block,
                    text,
                } => {
                    let key = (message_id, block);
                    if !said.contains_key(&key) {
                        order.push(key.clone());
                    }
                    said.entry(key).or_default().push_str(&text);
                }
                Event::Retract {
                    message_id,
                    from_block,
                } => {
                    let dead = |key: &(String, u64)| key.0 == message_id && key.1 >= from_block;
                    said.retain(|key, _| !dead(key));
                    order.retain(|key| !dead(key));
                }
                Event::Text {
                    text,
                    parent_tool_use_id: None,
                    ..
                } if !text.is_empty() => {
                    finished.push(text);
                }
                event if event.is_terminal() => {
                    let left: Vec<String> = order
                        .iter()
                        .filter_map(|key| said.get(key).cloned())
                        .collect();
                    assert_eq!(left, finished, "{path:?}");
                }
                _ => {}
            }
        }
    }
}

/// One line per transcript: its events in short. Whoever changes the fold sees what moved.
#[test]
fn events_in_short() {
    for version in VERSIONS {
        let mut report = String::new();
        for path in transcripts(version) {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            writeln!(
                report,
                "{name}: {}",
                short::joined(fold(&path).iter().map(short::word))
            )
            .unwrap();
        }
        insta::assert_snapshot!(format!("events_{version}"), report);
    }
}
