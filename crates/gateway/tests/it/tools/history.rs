//! `sessions_history`, `agents_list` and `config_get`.

use redis::AsyncCommands;
use serde_json::json;

use super::{call, text};
use crate::gateway::{Gateway, Setup};

#[tokio::test]
async fn what_was_asked_and_answered_can_be_read() {
    let setup = Setup::default().with("pool", json!({"minWarm": 2, "maxTotal": 4}));
    let gateway = Gateway::start(setup).await;
    gateway.claim("mine").await;
    gateway.wait_warm(1).await;
    let theirs = json!({"session": "theirs", "agent": "other"});
    let (status, claimed) = gateway.post("/api/docker-cc/sessions", &theirs).await;
    assert_eq!(status, 201, "{claimed}");
    for prompt in ["first question", "second question"] {
        let (status, answer) = gateway.turn("mine", &json!({"prompt": prompt})).await;
        assert_eq!(status, 200, "{answer}");
    }
    let refused = json!({"prompt": "[[script:invalid-request]] please"});
    let (status, _) = gateway.turn("mine", &refused).await;
    assert_ne!(status, 200);

    let own = call(&gateway, "mine", "sessions_history", json!({})).await;
    let read = text(&own);
    assert_eq!(own["isError"], false, "{read}");
    let order = [
        "mine: 3 finished turns",
        "first question",
        "second question",
        "failed (",
    ];
    let places: Vec<_> = order.iter().map(|part| read.find(part)).collect();
    assert!(
        places.is_sorted() && places.iter().all(Option::is_some),
        "{read}"
    );
    assert_eq!(read.matches("answered: ").count(), 2, "{read}");

    // The call itself is a turn by now: the tool it used is named.
    let paged = json!({"session": "mine", "limit": 1});
    let newest = text(&call(&gateway, "mine", "sessions_history", paged).await);
    assert!(
        newest.starts_with("mine: 4 finished turns, 3 older ones with skip 1"),
        "{newest}"
    );
    assert!(
        newest.contains("tools: mcp__ccpool__sessions_history"),
        "{newest}"
    );
    let back = json!({"limit": 1, "skip": 4});
    let oldest = text(&call(&gateway, "mine", "sessions_history", back).await);
    assert!(
        oldest.contains("first question") && !oldest.contains("second"),
        "{oldest}"
    );

    // Another agent's session neither reads it nor speaks to it, whatever its container makes of the
    // state that it may write.
    let state = "clawdbot:cc:mine:state";
    let pretend = gateway.redis().await.hset(state, "agentId", "other").await;
    let (): () = pretend.expect("it can be written");
    let listed = text(&call(&gateway, "theirs", "sessions_list", json!({})).await);
    assert!(!listed.contains("mine"), "{listed}");
    for (tool, input) in [
        ("sessions_history", json!({"session": "mine"})),
        ("session_status", json!({"session": "mine"})),
        (
            "sessions_send",
            json!({"session": "mine", "prompt": "from another agent"}),
        ),
    ] {
        let refused = call(&gateway, "theirs", tool, input).await;
        assert_eq!(refused["isError"], true, "{tool}: {refused}");
        let told = text(&refused);
        assert!(told.contains("has no session `mine`"), "{tool}: {told}");
    }
    let asked = gateway.model.requests();
    let from_theirs = |text: &str| text.contains("from another agent");
    let mut texts = asked.iter().map(|request| request.last_user_text.clone());
    // Only the model of the session that tried has seen those words: in its own prompt.
    assert!(
        !texts.any(|text| from_theirs(&text) && !text.contains("[[do:")),
        "it was sent"
    );
    let end = gateway.request(reqwest::Method::DELETE, "/api/docker-cc/sessions/mine");
    assert_eq!(end.send().await.expect("an answer").status(), 204);
    let ended = json!({"session": "mine"});
    let refused = call(&gateway, "theirs", "sessions_history", ended).await;
    assert_eq!(refused["isError"], true, "{refused}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_turn_whose_container_is_lost_is_in_the_history() {
    let setup = Setup::default().with("pool", json!({"minWarm": 2, "maxTotal": 4}));
    let gateway = Gateway::start(setup).await;
    let claimed = gateway.claim("lost").await;
    let container = claimed["container"].as_str().expect("a container");
    let mut turn = gateway.stream("lost", "[[script:stall]] for ever").await;
    turn.wait_for("started").await;
    let wrapper = gateway.wrapper_of(container).await;
    nix::sys::signal::kill(wrapper, nix::sys::signal::Signal::SIGKILL).expect("it can be killed");
    turn.wait_for("failed").await;

    gateway.claim("reader").await;
    let which = json!({"session": "lost"});
    let read = text(&call(&gateway, "reader", "sessions_history", which).await);
    assert!(
        read.contains("for ever") && read.contains("failed (container_lost)"),
        "{read}"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn agents_and_the_own_configuration_can_be_seen() {
    let agents = json!({
        "reviewer": {"description": "reads patches", "maxContainers": 1},
        "main": {"tools": {"deny": ["sessions_send"]}},
    });
    let setup = Setup::default().with("agents", agents);
    let gateway = Gateway::start(setup).await;
    gateway.claim("mine").await;
    let listed = text(&call(&gateway, "mine", "agents_list", json!({})).await);
    assert!(
        listed.contains("reviewer (") && listed.contains(": reads patches"),
        "{listed}"
    );
    assert!(
        listed.contains("main (") && listed.contains("<- you"),
        "{listed}"
    );

    let path = json!({"path": "pool.maxTotal"});
    assert_eq!(text(&call(&gateway, "mine", "config_get", path).await), "4");
    let all = text(&call(&gateway, "mine", "config_get", json!({})).await);
    let socket = gateway.redis_socket();
    for hidden in ["reviewer", socket.as_str(), "keyPrefix"] {
        assert!(!all.contains(hidden), "{hidden}: {all}");
    }
    let wrong = call(
        &gateway,
        "mine",
        "config_get",
        json!({"path": "pool.minwarm"}),
    )
    .await;
    assert_eq!(wrong["isError"], true, "{wrong}");
    assert!(text(&wrong).contains("minWarm"), "{wrong}");

    // What the agent may not use is refused with the reason, and wrong arguments are named.
    let letter = json!({"session": "other", "prompt": "hello"});
    let forbidden = call(&gateway, "mine", "sessions_send", letter).await;
    assert!(
        text(&forbidden).contains("`main` may not use `sessions_send`"),
        "{forbidden}"
    );
    let wrong = call(
        &gateway,
        "mine",
        "sessions_history",
        json!({"limit": "many"}),
    )
    .await;
    assert!(text(&wrong).contains("`limit`, "), "{wrong}");
    gateway.stop().await;
}
