//! Where the time of the recorded turns went.

use ccpool_protocol::event::{Event, ReplyEvent, Timings};
use ccpool_protocol::stages::{Stage, StageTime, stages};

use crate::transcripts::{VERSIONS, fold, transcripts};

fn timings(ending: &Event) -> Option<Timings> {
    match ending {
        Event::Completed(completed) => Some(completed.timings),
        Event::Failed(failed) => Some(failed.timings),
        _ => None,
    }
}

/// The stages of every turn of a recording, with its ending.
fn staged(events: &[ReplyEvent]) -> Vec<(&ReplyEvent, Timings, Vec<StageTime>)> {
    let endings = events
        .iter()
        .filter_map(|event| Some((event, timings(&event.event)?)));
    endings
        .map(|(ending, timings)| {
            let whole = timings.result_ms.expect("the fold has seen the result");
            let times = stages(ending.at - whole, &timings, ending.at);
            (ending, timings, times)
        })
        .collect()
}

#[test]
fn stages_fill_the_turn() {
    let mut answered = 0;
    for path in VERSIONS.iter().flat_map(|version| transcripts(version)) {
        for (ending, timings, times) in staged(&fold(&path)) {
            let (first, last) = (times.first().unwrap(), times.last().unwrap());
            let whole = timings.result_ms.unwrap();
            assert_eq!(
                (first.from, last.to),
                (ending.at - whole, ending.at),
                "{path:?}"
            );
            for pair in times.windows(2) {
                assert_eq!(pair[0].to, pair[1].from, "{path:?}: {times:?}");
                assert!(pair[0].stage < pair[1].stage, "{path:?}: {times:?}");
            }
            // The recorder is no wrapper: nobody told when a prompt was taken and written.
            let named = |stage| times.iter().any(|time| time.stage == stage);
            assert!(!named(Stage::Wait), "{path:?}: {times:?}");
            assert_eq!(
                named(Stage::Answer),
                timings.first_delta_ms.is_some(),
                "{path:?}: {times:?}"
            );
            answered += usize::from(named(Stage::Answer));
        }
    }
    assert!(answered > 100, "only {answered} turns have an answer");
}

#[test]
fn a_plain_answer_asks_first_and_then_speaks() {
    for version in VERSIONS {
        let paths = transcripts(version);
        let plain = paths
            .iter()
            .find(|path| path.ends_with("t01_text_multi_turn.jsonl"));
        let events = fold(plain.expect("it was recorded"));
        let turns = staged(&events);
        assert!(turns.len() > 1, "{version}: it has several turns");
        for (_, _, times) in turns {
            let names: Vec<Stage> = times.iter().map(|time| time.stage).collect();
            assert_eq!(
                names,
                [Stage::Prepare, Stage::Request, Stage::Answer],
                "{version}"
            );
            let whole: Vec<bool> = times.iter().map(|time| time.is_whole).collect();
            assert_eq!(whole, [false, true, true], "{version}");
        }
    }
}
