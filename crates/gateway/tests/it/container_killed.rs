//! A container that Docker kills, at some stages of a session.

use reqwest::Method;
use serde_json::{Value, json};

use crate::gateway::{Gateway, accepted, answer};
use crate::ledger::{Ledger, Lists, only_ending};
use crate::network::Network;

use crate::sse::{Message, SseReader};

/// When it is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Redis has handed out a prompt that nobody has seen, and this one waits behind it.
    Waiting,
    /// Some words were said.
    Text,
    /// A tool is at work.
    Tool,
}

#[tokio::test]
async fn a_turn_ends_once_whenever_its_container_is_killed() {
    let network = Network::create("stages").await;
    let pool = json!({"minWarm": 2, "maxTotal": 5, "maxPerAgent": 5});
    let gateway = Gateway::start(network.setup(&pool)).await;
    for stage in [Stage::Waiting, Stage::Text, Stage::Tool] {
        let session = format!("{stage:?}");
        let claimed = gateway.claim(&session).await;
        let mut ledger = Ledger::of(&gateway, &session).await;
        // A turn before, so that its ending is not taken for the lost one's.
        let (status, answer) = gateway.turn(&session, &json!({"prompt": "hello"})).await;
        assert_eq!(status, 200, "{answer}");
        let (turn, messages) = tokio::select! {
            lost = lose(&gateway, &network, &session, stage) => lost,
            () = guard_from_the_push(&mut ledger) => unreachable!("it never returns"),
        };
        let lists = ledger.lists().await;
        lists.assert_gapless();
        let shown = lists.shown(&turn);
        let ending = only_ending(&messages, &shown);
        assert_eq!(
            (&ending["kind"], shown.visible_output, shown.tool_effects),
            (
                &json!("container_lost"),
                stage == Stage::Text,
                stage == Stage::Tool
            ),
            "{ending}"
        );
        assert!(!lists.holds(&turn), "{lists:#?}");
        let pool = gateway
            .wait_for_pool(|pool| is_gone(pool, &claimed) && pool["counts"]["warm"] == 2)
            .await;
        let failures = pool["failures"].as_array().expect("a list");
        let told = failures
            .iter()
            .filter(|f| f["container"] == claimed["container"]);
        assert_eq!(told.count(), 1, "{pool}");
    }
    gateway.stop().await;
    network.remove().await;
}

/// The turn and what its reader got.
async fn lose(
    gateway: &Gateway,
    network: &Network,
    session: &str,
    stage: Stage,
) -> (String, Vec<Message>) {
    let scene = match stage {
        Stage::Waiting => json!({"text": "never said"}),
        Stage::Text => json!({"text": "one two three four", "stallAfter": 2}),
        Stage::Tool => json!([{"toolUse": {"name": "Bash", "input": {"command": "sleep 300"}}}]),
    };
    let mut unseen = None;
    if stage == Stage::Waiting {
        network.halt_wrapper(session).await;
        unseen = Some(gateway.stream(session, "never seen").await);
    }
    let mut stream = gateway.stream(session, &format!("[[do: {scene}]]")).await;
    let turn = stream.turn.clone();
    let mut messages = Vec::new();
    let awaited = match stage {
        Stage::Waiting => None,
        Stage::Text => Some("text_delta"),
        Stage::Tool => Some("tool_use"),
    };
    while messages.last().map(|m: &Message| &*m.event) != awaited {
        messages.push(stream.next().await.expect("it goes on"));
    }
    if stage == Stage::Waiting {
        let lists = Ledger::of(gateway, session).await.lists().await;
        assert_eq!((lists.input.len(), lists.inflight.len()), (1, 1));
    }
    network.kill(session).await;
    messages.extend(stream.rest().await);
    if let Some(unseen) = unseen {
        let turn = unseen.turn.clone();
        let shown = Ledger::of(gateway, session)
            .await
            .lists()
            .await
            .shown(&turn);
        let messages = unseen.rest().await;
        assert_eq!(only_ending(&messages, &shown)["kind"], "container_lost");
    }
    (turn, messages)
}

/// Like [`Ledger::guard`], for a turn whose name is not known yet: the newest one.
async fn guard_from_the_push(ledger: &mut Ledger) {
    let newest = |lists: &Lists| {
        let items = lists.input.iter().chain(&lists.inflight);
        let item: Value = serde_json::from_str(items.last()?).expect("an item is JSON");
        item["turn"].as_str().map(str::to_owned)
    };
    let turn = loop {
        if let Some(turn) = newest(&ledger.lists().await) {
            break turn;
        }
    };
    ledger.guard(&turn).await;
}

#[tokio::test]
async fn a_session_whose_container_is_killed_between_turns_has_ended() {
    let network = Network::create("between").await;
    let gateway = Gateway::start(network.setup(&json!({"minWarm": 1, "maxTotal": 3}))).await;
    let claimed = gateway.claim("s1").await;
    let (status, done) = gateway.turn("s1", &json!({"prompt": "hello"})).await;
    assert_eq!(status, 200, "{done}");
    let path = "/api/docker-cc/sessions/s1/events";
    let request = gateway.request(Method::GET, path).send().await;
    let reader = SseReader::of(accepted(request.expect("an answer")).await);
    network.kill("s1").await;
    assert_eq!(reader.rest().await, [], "nothing ran");
    gateway
        .wait_for_pool(|pool| is_gone(pool, &claimed) && pool["counts"]["warm"] == 1)
        .await;
    let lists = Ledger::of(&gateway, "s1").await.lists().await;
    let turn = done["turn"].as_str().expect("a name");
    let shown = lists.shown(turn);
    assert_eq!(shown.terminals.len(), 1, "{shown:#?}");
    let (status, problem) = gateway.turn("s1", &json!({"prompt": "again"})).await;
    assert_eq!(status, 404, "{problem}");
    // The name is free again, for a session that begins anew.
    gateway.claim("s1").await;
    let (status, next) = gateway.turn("s1", &json!({"prompt": "hello"})).await;
    assert_eq!(status, 200, "{next}");
    let (status, problem) =
        answer(gateway.request(Method::DELETE, "/api/docker-cc/sessions/s1")).await;
    assert_eq!(status, 204, "{problem}");
    gateway.stop().await;
    network.remove().await;
}

fn is_gone(pool: &Value, claimed: &Value) -> bool {
    let all = pool["containers"].as_array().expect("a list");
    all.iter().all(|c| c["container"] != claimed["container"])
}
