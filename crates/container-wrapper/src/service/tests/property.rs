//! Whatever happens in whatever order, each prompt ends once, and so does each question.

use std::collections::HashMap;

use ccpool_protocol::RequestId;
use ccpool_protocol::permission::Answer;
use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Move {
    Push(&'static str, bool),
    Begin,
    Tool,
    Ask,
    /// Somebody answers what is asked, whether it is or not.
    Answer(bool),
    /// The CLI asks no more.
    Cancel,
    /// The model calls a function of the caller's.
    Call,
    /// The caller gives the newest call's result, whether it waits or not.
    Give,
    /// The CLI waits for the newest call no more.
    CancelCall,
    Finish,
    Interrupt,
    SetModel,
    Hang,
    Wake,
    Stubborn,
    BadStart,
    Exit(Option<i32>),
    Wait(u64),
    Stop,
}

fn a_move() -> impl Strategy<Value = Move> {
    prop_oneof![
        8 => (prop_oneof![Just("queue"), Just("steer"), Just("interrupt")], any::<bool>())
            .prop_map(|(mode, named)| Move::Push(mode, named)),
        6 => Just(Move::Begin),
        2 => Just(Move::Tool),
        4 => Just(Move::Ask),
        1 => any::<bool>().prop_map(Move::Answer),
        1 => Just(Move::Cancel),
        4 => Just(Move::Call),
        2 => Just(Move::Give),
        1 => Just(Move::CancelCall),
        5 => Just(Move::Finish),
        2 => Just(Move::Interrupt),
        1 => Just(Move::SetModel),
        1 => Just(Move::Hang),
        2 => Just(Move::Wake),
        1 => Just(Move::Stubborn),
        1 => Just(Move::BadStart),
        2 => prop_oneof![Just(None), Just(Some(0)), Just(Some(1)), Just(Some(143))]
            .prop_map(Move::Exit),
        4 => (0u64..4000).prop_map(Move::Wait),
        1 => (60_000u64..700_000).prop_map(Move::Wait),
    ]
}

proptest! {
    #[test]
    fn every_taken_prompt_ends_once(
        moves in proptest::collection::vec(a_move(), 0..60),
        turn_ms in prop_oneof![Just(None), Just(Some(2500))],
        patience_ms in prop_oneof![Just(None), Just(Some(3000))],
        outlive_turns in any::<bool>(),
        end in prop_oneof![3 => Just(Move::Finish), 1 => Just(Move::Stop)],
    ) {
        let policy = Policy { patience_ms, outlive_turns, function_ms: 2000, ..POLICY };
        let mut play = Play::with(policy, 1000, turn_ms);
        for (i, step) in moves.into_iter().chain([end]).enumerate() {
            match step {
                Move::Push(mode, true) => {
                    play.push(json!({"turn": format!("t{i}"), "text": "x", "mode": mode,
                        "functions": [{"name": "f"}]}));
                }
                Move::Push(mode, false) => play.push(json!({"text": format!("x{i}"), "mode": mode})),
                Move::Begin => play.begins(),
                Move::Tool => play.calls_a_tool(),
                Move::Ask => play.asks(),
                Move::Answer(yes) => play.session(|session, now, out| {
                    let answer = if yes { Answer::allow() } else { Answer::deny("no") };
                    let request_id = RequestId::new("p").unwrap();
                    let ticket = String::new();
                    let control = Control::Answer { request_id, ticket, answer };
                    session.control(control, now, out);
                }),
                Move::Cancel => play.cancels(),
                Move::Call => play.calls_a_function(),
                Move::Give => play.gives(),
                Move::CancelCall => play.cancels_a_call(),
                Move::Finish => play.finishes(),
                Move::Interrupt => play.session(|s, now, out| s.control(Control::Interrupt, now, out)),
                Move::SetModel => {
                    let model = "sonnet".to_owned();
                    play.session(|s, now, out| s.control(Control::SetModel { model }, now, out));
                }
                Move::Hang => play.cli.iter_mut().for_each(|cli| cli.hangs = true),
                Move::Wake => {
                    play.cli.iter_mut().for_each(|cli| cli.hangs = false);
                    play.cli_reads();
                }
                Move::Stubborn => play.cli.iter_mut().for_each(|cli| cli.stubborn = true),
                Move::BadStart => play.bad_start = true,
                Move::Exit(code) => {
                    let was_there = play.cli.is_some();
                    play.exits(code);
                    let asks = play.service.session.is_waiting();
                    prop_assert!(!(was_there && asks), "a process that is gone asks");
                }
                Move::Wait(ms) => play.waits(ms),
                Move::Stop => play.session(|session, now, out| session.stop(now, out)),
            }
        }
        // Whatever state it is in, a process that works and time are enough.
        for _ in 0..200 {
            play.cli.iter_mut().for_each(|cli| (cli.hangs, cli.stubborn) = (false, false));
            play.cli_reads();
            play.begins();
            play.finishes();
            play.waits(10_000);
        }
        prop_assert!(!play.service.is_running());
        prop_assert!(play.gave_up.is_some() == play.cli.is_none());

        // What a background task asks without a limit may wait for ever.
        if patience_ms.is_some() || !outlive_turns {
            prop_assert_eq!(play.said("permission_asked"), play.said("permission_resolved"));
            prop_assert!(!play.service.session.is_asking());
        }
        let answers = play.written.iter().filter(|line| line["response"]["request_id"] == "p");
        prop_assert!(answers.count() <= play.said("permission_asked"));

        prop_assert!(!play.service.session.is_waiting() || (patience_ms.is_none() && outlive_turns));
        let mut replied = std::collections::HashSet::new();
        for line in &play.written {
            if let Some(question) = line["response"]["request_id"].as_str().filter(|id| id.starts_with('q')) {
                prop_assert!(replied.insert(question), "{} was answered twice", question);
            }
        }

        let endings = play.endings();
        for turn in play.taken.iter().filter_map(|(_, turn)| turn.as_deref()) {
            let count = endings.iter().filter(|(ended, _)| ended == turn).count();
            prop_assert_eq!(count, 1, "{}", turn);
        }
        let turns: std::collections::HashSet<_> = endings.iter().map(|(turn, _)| turn).collect();
        prop_assert_eq!(turns.len(), endings.len(), "a turn ended twice");
        let mut removed: HashMap<&[u8], usize> = HashMap::new();
        for op in &play.ops {
            if let Op::Remove { raw } = op {
                *removed.entry(raw).or_default() += 1;
            }
        }
        for (raw, _) in &play.taken {
            prop_assert_eq!(removed.remove(raw.as_slice()), Some(1));
        }
        prop_assert!(removed.is_empty());
    }
}
