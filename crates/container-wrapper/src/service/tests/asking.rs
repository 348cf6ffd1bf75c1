use super::*;

/// A question waits longer than a stall may last, and not for ever. After the policy's answer silence
/// counts again.
#[test]
fn a_question_waits_for_its_time_and_a_stall_from_then_on() {
    let policy = Policy {
        patience_ms: Some(5_000),
        ..POLICY
    };
    let mut play = Play::with(policy, 1_000, None);
    play.push(json!({"turn": "t1", "text": "one"}));
    play.begins();
    play.asks();
    play.waits(4_900);
    let answered = |play: &Play| {
        let mut written = play.written.iter();
        written.any(|line| line["response"]["request_id"] == "p")
    };
    assert!(!answered(&play) && play.endings().is_empty());
    play.waits(200);
    assert!(answered(&play) && play.endings().is_empty());
    play.waits(2_000);
    assert_eq!(play.endings(), [("t1".to_owned(), "stalled".to_owned())]);
}
