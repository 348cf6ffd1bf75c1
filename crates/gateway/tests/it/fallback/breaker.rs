//! A provider that fails again and again is not asked for a while, then by one.

use serde_json::{Value, json};

use super::trio::{MODELS, PROVIDERS, Trio, asked, assert_answered, error, play};
use crate::openai::chat::{Came, post};
use crate::parts::eventually;

const INSIDE: &str = PROVIDERS[0];

#[tokio::test]
async fn it_opens_lets_one_through_and_closes() {
    let trio = Trio::start(&[
        ("overloaded", [error(529), Value::Null, Value::Null]),
        ("hangs", [json!({"hang": true}), Value::Null, Value::Null]),
    ])
    .await;
    let overloaded = [(MODELS[0], "overloaded")];
    for failures in 1..=3 {
        assert_eq!(trio.breaker(INSIDE).await, 0);
        let came = trio.say(&play("overloaded")).await;
        assert_answered(&came, 1, &overloaded);
        assert_eq!(trio.counts(), [failures, failures, 0]);
    }
    assert_eq!(trio.breaker(INSIDE).await, 2);

    // Until the pause is over it is passed over; then one conversation tries it.
    let hangs = asked(&play("hangs"));
    let mut passed_over = 3;
    let probe = loop {
        let mut probe = Box::pin(Came::of(post(&trio.gateway, &hangs)));
        let tried = eventually("it is asked", async || (trio.counts()[0] > 3).then_some(()));
        tokio::select! {
            came = &mut probe => {
                assert_answered(&came, 1, &overloaded);
                assert!(came.header("x-ccpool-passed").contains("(not asked for "), "{came:?}");
                passed_over += 1;
            }
            () = tried => break probe,
        }
        assert_eq!(trio.counts(), [3, passed_over, 0]);
    };
    assert_eq!(trio.breaker(INSIDE).await, 1);
    // Meanwhile others pass by.
    let came = trio.say("hello").await;
    assert_answered(&came, 1, &overloaded);
    assert_eq!(trio.counts(), [4, passed_over + 1, 0]);
    // Who goes away while it tries leaves that to the next one, who is answered.
    drop(probe);
    eventually("the next one is answered", async || {
        let came = trio.say("hello").await;
        (came.header("x-ccpool-provider") == INSIDE).then_some(())
    })
    .await;
    assert_eq!(trio.breaker(INSIDE).await, 0);
    assert_answered(&trio.say("hello").await, 0, &[]);
    trio.stop().await;
}
