//! A wrapper that is killed at any step of a turn: what it sends to Redis is counted, and each
//! command is fatal once before Redis has it and once after.

use std::collections::BTreeSet;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};

use crate::gateway::{Folder, Gateway, Setup};
use crate::ledger::{Ledger, only_ending};
use crate::parts::eventually;
use crate::proc::marked;
use crate::redis_proxy::{Fate, Harm, Moment, RedisProxy, Step};

/// A turn that takes more steps than this is not the one that is played here.
const MOST_STEPS: usize = 100;

/// How a turn ended whose wrapper was killed.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Ended {
    /// With its answer, which Redis had by then.
    Completed,
    /// Without; as far as this.
    Lost {
        visible_output: bool,
        tool_effects: bool,
    },
}

#[tokio::test]
async fn a_turn_ends_once_at_whichever_step_its_wrapper_is_killed() {
    let dir = Folder::new();
    let mut proxy = RedisProxy::bind(dir.path());
    let setup = Setup::default()
        .with(
            "pool",
            json!({"minWarm": 4, "maxTotal": 10, "maxPerAgent": 10}),
        )
        .with("permissions", json!({"allow": ["Bash"]}))
        .with("redis", json!({"containerUrl": proxy.url()}));
    let gateway = Gateway::start_cold(setup).await;
    proxy.serve(gateway.redis_socket());
    gateway.wait_warm(1).await;
    // The first one brings the scripts to Redis, which later ones find there.
    gateway.claim("first").await;
    let (status, answer) = gateway.turn("first", &json!({"prompt": "hello"})).await;
    assert_eq!(status, 200, "{answer}");

    let matrix = async |moment| {
        let mut seen = BTreeSet::new();
        let (fate, ended) = run(&gateway, &proxy, Step::Ending, moment).await;
        assert_eq!(fate, Fate::Killed);
        assert_eq!(ended == Ended::Completed, moment == Moment::After);
        seen.insert(ended);
        for step in 1..MOST_STEPS {
            match run(&gateway, &proxy, Step::Nth(step), moment).await {
                (Fate::Killed, ended) => {
                    seen.insert(ended);
                }
                (Fate::Waits, ended) => assert_eq!(ended, Ended::Completed),
                (Fate::Absent, ended) => {
                    assert_eq!(ended, Ended::Completed);
                    return seen;
                }
            }
        }
        panic!("a turn has no end of steps");
    };
    let (mut seen, after) = tokio::join!(matrix(Moment::Before), matrix(Moment::After));
    seen.extend(after);
    // It was not always the same step.
    let lost = |visible_output, tool_effects| Ended::Lost {
        visible_output,
        tool_effects,
    };
    let all = [
        Ended::Completed,
        lost(false, false),
        lost(true, false),
        lost(true, true),
    ];
    assert_eq!(seen, BTreeSet::from(all));

    gateway
        .wait_for_pool(|pool| pool["counts"]["warm"] == 4)
        .await;
    gateway.stop().await;
}

/// One turn in a session of its own.
async fn run(gateway: &Gateway, proxy: &RedisProxy, step: Step, moment: Moment) -> (Fate, Ended) {
    let session = match step {
        Step::Nth(step) => format!("{moment:?}-{step}"),
        Step::Ending => format!("{moment:?}-ending"),
    };
    let effect = gateway.dir.path().join(&session);
    let scene = json!([
        {
            "text": "one two three",
            "toolUse": {"name": "Bash", "input": {"command": format!("echo ran >> {}", effect.display())}},
        },
        {"text": "four five six"},
    ]);
    let trap = proxy.lay(&session, step, moment, Harm::Kills);
    let claimed = gateway.claim(&session).await;
    let container = claimed["container"].as_str().expect("a container");
    let stream = gateway
        .stream(&session, &format!("go {session} [[do: {scene}]]"))
        .await;
    trap.release();
    let turn = stream.turn.clone();
    let mut ledger = Ledger::of(gateway, &session).await;
    let messages = tokio::select! {
        messages = stream.rest() => messages,
        () = ledger.guard(&turn) => unreachable!("it never returns"),
    };
    let acted = times(&effect);
    let fate = trap.lift().await;
    if fate == Fate::Killed {
        let is_gone = |pool: &Value| {
            let all = pool["containers"].as_array().expect("a list");
            all.iter().all(|c| c["container"] != container)
        };
        gateway.wait_for_pool(is_gone).await;
        eventually("nothing of the container is left", async || {
            marked(container).is_empty().then_some(())
        })
        .await;
    }
    let lists = ledger.lists().await;
    let shown = lists.shown(&turn);
    let ending = only_ending(&messages, &shown);
    lists.assert_gapless();
    assert!(!lists.holds(&turn), "{lists:#?}");
    assert!(acted <= 1, "the tool ran {acted} times");
    assert_eq!(acted, times(&effect), "it ran after its turn had ended");
    let asked = gateway.model.requests();
    let asked = asked
        .iter()
        .filter(|request| {
            request.stream && request.last_user_text.contains(&format!("go {session} "))
        })
        .map(|request| request.message_count);
    let asked: Vec<usize> = asked.collect();
    let once: BTreeSet<usize> = asked.iter().copied().collect();
    assert_eq!(
        asked.len(),
        once.len(),
        "the model was asked again: {asked:?}"
    );
    if ending["type"] == "completed" {
        assert_eq!((ending["text"].as_str(), acted), (Some("four five six"), 1));
        return (fate, Ended::Completed);
    }
    assert_eq!(ending["kind"], "container_lost", "{ending}");
    let ended = Ended::Lost {
        visible_output: shown.visible_output,
        tool_effects: shown.tool_effects,
    };
    (fate, ended)
}

/// How often the tool has run.
fn times(effect: &Path) -> usize {
    std::fs::read_to_string(effect).map_or(0, |text| text.lines().count())
}

/// A tool may go on when everything above it is gone. What it did then would be told to nobody.
#[tokio::test]
async fn nothing_acts_any_more_when_a_turn_has_lost_its_container() {
    let setup = Setup::default().with("permissions", json!({"allow": ["Bash"]}));
    let gateway = Gateway::start(setup).await;
    let claimed = gateway.claim("s1").await;
    let container = claimed["container"].as_str().expect("a container");
    let effect = gateway.dir.path().join("effect");
    let command = format!(
        "while sleep 0.05; do echo ran >> {}; done",
        effect.display()
    );
    let scene = json!([{"toolUse": {"name": "Bash", "input": {"command": command}}}]);
    let stream = gateway.stream("s1", &format!("[[do: {scene}]]")).await;
    eventually("the tool is at work", async || {
        (times(&effect) > 0).then_some(())
    })
    .await;
    let wrapper = gateway.wrapper_of(container).await;
    kill(wrapper, Signal::SIGKILL).expect("a wrapper can be killed");
    let messages = stream.rest().await;
    let left = marked(container);
    let ending = &messages.last().expect("an ending").data;
    assert_eq!(
        (&ending["kind"], &ending["toolEffects"]),
        (&json!("container_lost"), &json!(true)),
        "{ending}"
    );
    assert_eq!(left, [], "it goes on");
    gateway.wait_warm(1).await;
    gateway.stop().await;
}
