//! What sessions keep: prompts, envelopes, endings.

use std::time::Duration;

use ccpool::store::{Conclusion, Page, PushOutcome, StoreError};
use ccpool::{ContainerId, TurnId};

use super::on_every_store;
use super::subject::{BUFFER, KEEP, MOST_OF_IT, Subject, session};

on_every_store!(
    a_prompt_reaches_a_live_session,
    a_prompt_for_one_container_reaches_no_other,
    a_repeated_key_means_the_first_turn,
    a_page_begins_where_it_is_asked_to,
    a_page_has_an_end,
    the_turns_of_a_lost_container_are_ended_once,
    whoever_listens_is_counted,
);

fn turn(name: &str) -> TurnId {
    TurnId::new(name).unwrap()
}

fn envelope(seq: u64) -> String {
    format!("{{\"seq\":{seq},\"turn\":\"t\"}}")
}

async fn serve(subject: &impl Subject) {
    let fence = subject.begin().await;
    subject.warm(1, fence).await;
    subject.claimed("s1", "a").await;
}

async fn a_prompt_reaches_a_live_session(subject: &impl Subject) {
    let (store, id) = (subject.store(), session("s1"));
    let push = async |name: &str| store.push(&id, &turn(name), name, None, None).await;
    assert!(matches!(push("t0").await, Err(StoreError::Emptied)));
    serve(subject).await;
    assert_eq!(push("t1").await.unwrap(), PushOutcome::Pushed { seq: 0 });
    subject.write_state(&id, &[("seq", "5")]).await;
    assert_eq!(push("t2").await.unwrap(), PushOutcome::Pushed { seq: 5 });
    subject.take(&id).await;
    assert_eq!(push("t3").await.unwrap(), PushOutcome::Pushed { seq: 5 });
    // Those that were taken come first.
    let items = store.unanswered(&id).await.unwrap();
    assert_eq!(items, [b"t1", b"t2", b"t3"]);
    assert!(store.unanswered(&session("s2")).await.unwrap().is_empty());

    let unknown = store
        .push(&session("s2"), &turn("t"), "{}", None, None)
        .await;
    assert_eq!(unknown.unwrap(), PushOutcome::Unknown);
    let (_, container) = store.sessions().await.unwrap().remove(0);
    let out = super::containers::OUT;
    let nothing = ccpool::store::Condition::None;
    store
        .retire(&container, out, "why", nothing, None)
        .await
        .unwrap();
    assert_eq!(push("t4").await.unwrap(), PushOutcome::Unknown);
    assert_eq!(store.unanswered(&id).await.unwrap().len(), 3);
}

async fn a_prompt_for_one_container_reaches_no_other(subject: &impl Subject) {
    serve(subject).await;
    let (store, id) = (subject.store(), session("s1"));
    let (_, container) = store.sessions().await.unwrap().remove(0);
    let push = async |on: &ContainerId| {
        let turn = turn("t");
        let pushed = store.push(&id, &turn, "{}", None, Some(on));
        pushed.await.unwrap()
    };
    assert_eq!(push(&container).await, PushOutcome::Pushed { seq: 0 });
    let other = ContainerId::from_random(99);
    assert_eq!(push(&other).await, PushOutcome::Unknown);
    assert_eq!(store.unanswered(&id).await.unwrap().len(), 1);
}

async fn a_repeated_key_means_the_first_turn(subject: &impl Subject) {
    serve(subject).await;
    let (store, id) = (subject.store(), session("s1"));
    let push = async |name: &str, key: &str| {
        let turn = turn(name);
        let pushed = store.push(&id, &turn, name, Some((key, KEEP)), None);
        pushed.await.unwrap()
    };
    assert_eq!(push("t1", "k").await, PushOutcome::Pushed { seq: 0 });
    assert_eq!(push("t2", "k").await, PushOutcome::Repeated(turn("t1")));
    assert_eq!(push("t3", "other").await, PushOutcome::Pushed { seq: 0 });
    assert_eq!(store.unanswered(&id).await.unwrap().len(), 2);
    // Its answer is known after the session's end too, and not for ever.
    let seen = store.containers().await.unwrap().remove(0);
    store.release(&seen, KEEP).await.unwrap();
    subject.pass(MOST_OF_IT).await;
    assert_eq!(push("t4", "k").await, PushOutcome::Repeated(turn("t1")));
    subject.pass(MOST_OF_IT).await;
    assert_eq!(push("t5", "k").await, PushOutcome::Unknown);
}

async fn a_page_begins_where_it_is_asked_to(subject: &impl Subject) {
    serve(subject).await;
    let (store, id) = (subject.store(), session("s1"));
    assert_eq!(store.page(&id, None).await.unwrap(), Page::default());
    let all: Vec<String> = (11..=15).map(envelope).collect();
    subject.write_buffer(&id, &all).await;
    for (after, from) in [
        (None, 0),
        (Some(0), 0),
        (Some(10), 0),
        (Some(11), 1),
        (Some(14), 4),
        (Some(15), 5),
        (Some(99), 5),
    ] {
        let page = store.page(&id, after).await.unwrap();
        assert_eq!(page.envelopes, all[from..], "after {after:?}");
        assert!(!page.more);
    }
}

async fn a_page_has_an_end(subject: &impl Subject) {
    serve(subject).await;
    let (store, id) = (subject.store(), session("s1"));
    let many: Vec<String> = (1..=501).map(envelope).collect();
    subject.write_buffer(&id, &many).await;
    let page = store.page(&id, None).await.unwrap();
    assert_eq!((page.envelopes.len(), page.more), (500, true));
    let rest = store.page(&id, Some(500)).await.unwrap();
    assert_eq!((rest.envelopes.len(), rest.more), (1, false));
    // It ends with the envelope that brings it to a megabyte.
    let long = |seq: u64| format!("{{\"seq\":{seq},\"long\":\"{}\"}}", "x".repeat(600_000));
    let long: Vec<String> = (502..=504).map(long).collect();
    subject.write_buffer(&id, &long).await;
    let page = store.page(&id, Some(501)).await.unwrap();
    assert_eq!((page.envelopes.len(), page.more), (2, true));
}

async fn the_turns_of_a_lost_container_are_ended_once(subject: &impl Subject) {
    serve(subject).await;
    let (store, id) = (subject.store(), session("s1"));
    for name in ["t1", "t2"] {
        store
            .push(&id, &turn(name), name, None, None)
            .await
            .unwrap();
    }
    subject.take(&id).await;
    let conclude = async |from: &str, prompts| {
        let conclusion = Conclusion {
            from,
            to: 5,
            prompts,
            envelopes: &[envelope(4), envelope(5)],
            result: "last",
            entries: &["first turn".to_owned(), "second turn".to_owned()],
        };
        store.conclude(&id, &conclusion).await.unwrap()
    };
    assert_eq!(store.result(&id).await.unwrap(), None);
    assert!(!conclude("3", 2).await, "nothing was published");
    subject
        .write_state(&id, &[("seq", "3"), ("turn", "t1"), ("batch", "8")])
        .await;
    let written: Vec<String> = (1..=3).map(envelope).collect();
    subject.write_buffer(&id, &written).await;
    assert!(!conclude("2", 2).await, "it has published since");
    assert!(!conclude("3", 1).await, "a prompt has come since");
    assert!(store.result(&id).await.unwrap().is_none());
    assert!(conclude("3", 2).await);
    assert!(!conclude("3", 2).await, "they have ended");
    let state = store.session_state(&id).await.unwrap();
    assert_eq!((state["seq"].as_str(), state["turn"].as_str()), ("5", ""));
    // No batch that is still on its way has a number above that.
    assert_eq!(state["batch"], "9007199254740991");
    assert_eq!(store.result(&id).await.unwrap().as_deref(), Some("last"));
    assert!(store.unanswered(&id).await.unwrap().is_empty());
    let buffer = store.page(&id, None).await.unwrap().envelopes;
    assert_eq!(buffer, (1..=5).map(envelope).collect::<Vec<_>>());
    // The buffer is as long as any.
    let many: Vec<String> = (6..=BUFFER as u64 + 5).map(envelope).collect();
    let to = BUFFER as u64 + 5;
    let conclusion = Conclusion {
        from: "5",
        to,
        prompts: 0,
        envelopes: &many,
        result: "x",
        entries: &["third turn".to_owned()],
    };
    assert!(store.conclude(&id, &conclusion).await.unwrap());
    // The transcript has them all, read from the newest back.
    for (skip, limit, wanted) in [
        (0, 2, &["second turn", "third turn"][..]),
        (1, 1, &["second turn"]),
        (1, 9, &["first turn", "second turn"]),
        (2, 0, &[]),
        (3, 9, &[]),
    ] {
        let (entries, count) = store.transcript(&id, skip, limit).await.unwrap();
        assert_eq!(
            (&entries[..], count),
            (
                &wanted.iter().map(|e| (*e).to_owned()).collect::<Vec<_>>()[..],
                3
            )
        );
    }
    let first = store.page(&id, None).await.unwrap().envelopes.remove(0);
    assert_eq!(first, envelope(6));
}

async fn whoever_listens_is_counted(subject: &impl Subject) {
    serve(subject).await;
    let heard = subject.store().control(&session("s1"), "interrupt").await;
    assert_eq!(heard.unwrap(), 0);
    subject.listen(&session("s1")).await;
    let heard = subject.store().control(&session("s1"), "interrupt").await;
    assert_eq!(heard.unwrap(), 1);
    assert!(subject.store().ping().await.unwrap() < Duration::from_secs(60));
}
