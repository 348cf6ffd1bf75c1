//! A wrapper whose connection to Redis ends at any step of a turn: before Redis has the command, and
//! when it has done it and the answer is lost.

use reqwest::Method;
use serde_json::json;

use crate::gateway::{Folder, Gateway, Setup};
use crate::ledger::{Ledger, only_ending};
use crate::redis_proxy::{Fate, Harm, Moment, RedisProxy, Step};

/// A turn that takes more steps than this is not the one that is played here.
const MOST_STEPS: usize = 100;

#[tokio::test]
async fn a_turn_ends_once_at_whichever_step_the_connection_is_cut() {
    let dir = Folder::new();
    let mut proxy = RedisProxy::bind(dir.path());
    let setup = Setup::default()
        .with(
            "pool",
            json!({"minWarm": 3, "maxTotal": 8, "maxPerAgent": 8}),
        )
        .with("redis", json!({"containerUrl": proxy.url()}));
    let gateway = Gateway::start_cold(setup).await;
    proxy.serve(gateway.redis_socket());
    gateway.wait_warm(1).await;
    let matrix = async |moment| {
        assert_eq!(
            run(&gateway, &proxy, Step::Ending, moment).await,
            Fate::Killed
        );
        for step in 1..MOST_STEPS {
            if run(&gateway, &proxy, Step::Nth(step), moment).await == Fate::Absent {
                return;
            }
        }
        panic!("a turn has no end of steps");
    };
    tokio::join!(matrix(Moment::Before), matrix(Moment::After));
    gateway.stop().await;
}

/// One turn in a session of its own, to the session's end.
async fn run(gateway: &Gateway, proxy: &RedisProxy, step: Step, moment: Moment) -> Fate {
    let session = match step {
        Step::Nth(step) => format!("{moment:?}-{step}"),
        Step::Ending => format!("{moment:?}-ending"),
    };
    let trap = proxy.lay(&session, step, moment, Harm::Cuts);
    gateway.claim(&session).await;
    let prompt = format!("go [[do: {}]]", json!({"text": "one two three"}));
    let stream = gateway.stream(&session, &prompt).await;
    trap.release();
    let turn = stream.turn.clone();
    let mut ledger = Ledger::of(gateway, &session).await;
    let messages = stream.rest().await;
    let fate = trap.lift().await;
    // What is told of the session is not older than the turn's ending.
    ledger.wait_for_state("turn", "").await;
    // So nobody takes the turn for one that was cut off.
    let path = format!("/api/docker-cc/sessions/{session}");
    let ended = gateway.request(Method::DELETE, &path).send().await;
    assert!(ended.expect("an answer").status().is_success());
    ledger.wait_for_state("status", "ended").await;
    let lists = ledger.lists().await;
    let ending = only_ending(&messages, &lists.shown(&turn));
    assert_eq!(ending["text"], "one two three", "{step:?} {moment:?}");
    lists.assert_gapless();
    assert!(!lists.holds(&turn), "{lists:#?}");
    fate
}
