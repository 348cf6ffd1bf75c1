//! Prompts, and the endings that the pool writes when no wrapper can.

use ccpool::protocol::line::WrapperLine;
use ccpool::runtime::Exit;
use ccpool::{Event, FailureKind, Prompt, SessionId, TurnId};
use redis::AsyncCommands;

use crate::support::{World, config, next, rest};

fn session() -> SessionId {
    SessionId::new("s1").unwrap()
}

#[tokio::test]
async fn a_prompt_lies_in_the_input_and_its_answer_comes_back() {
    let mut world = World::new(config(1, 2)).await;
    world.warm(1).await;
    world.claim("s1").await;
    let turn = TurnId::new("t1").unwrap();
    let prompt = Prompt {
        turn: Some(turn.clone()),
        ..Prompt::text("/hello @you")
    };
    let sent = world.pool.send(&session(), prompt).await.unwrap();
    assert_eq!((&sent.turn, sent.repeated), (&turn, false));
    let item: String = world
        .connection
        .lindex(world.session_keys("s1").input, 0)
        .await
        .unwrap();
    let item: serde_json::Value = serde_json::from_str(&item).unwrap();
    assert_eq!(
        (&item["turn"], &item["text"]),
        (&"t1".into(), &"/hello @you".into())
    );
    assert!(item["at"].as_u64().is_some());

    world.publish_text("s1", 1, "t1", "he").await;
    world.publish_text("s1", 2, "another", "not mine").await;
    world.publish_text("s1", 3, "t1", "llo").await;
    world.publish_completed("s1", 4, "t1", "hello").await;
    let events = rest(sent.events).await;
    let names: Vec<_> = events.iter().map(Event::type_name).collect();
    // No `assistant` line has finished the deltas, so they do not count.
    let expected = ["text_delta", "text_delta", "retract", "completed"];
    assert_eq!(names, expected);
}

#[tokio::test]
async fn refusals_are_typed() {
    let mut world = World::new(config(1, 2)).await;
    world.warm(1).await;
    let unknown = world
        .pool
        .send(&session(), Prompt::text("hi"))
        .await
        .unwrap_err();
    assert_eq!(unknown.kind(), FailureKind::InvalidRequest);
    assert!(unknown.to_string().contains("s1"), "{unknown}");
    world.claim("s1").await;
    let empty = world
        .pool
        .send(&session(), Prompt::text("  "))
        .await
        .unwrap_err();
    assert_eq!(empty.kind(), FailureKind::InvalidRequest);
}

#[tokio::test]
async fn the_same_key_means_the_same_turn() {
    let mut world = World::new(config(1, 2)).await;
    world.warm(1).await;
    world.claim("s1").await;
    let prompt = || Prompt {
        idempotency_key: Some("k".into()),
        ..Prompt::text("hi")
    };
    let first = world.pool.send(&session(), prompt()).await.unwrap();
    world
        .publish_completed("s1", 1, first.turn.as_str(), "done")
        .await;
    let second = world.pool.send(&session(), prompt()).await.unwrap();
    assert_eq!((&second.turn, second.repeated), (&first.turn, true));
    assert_eq!(rest(second.events).await.len(), 1);
    let queued: usize = world
        .connection
        .llen(world.session_keys("s1").input)
        .await
        .unwrap();
    assert_eq!(queued, 1);
}

/// The running turn and the ones behind it, each once, with what is known of them.
#[tokio::test]
async fn every_turn_of_a_lost_container_ends() {
    let mut world = World::new(config(1, 2)).await;
    world.warm(1).await;
    let container = world.claim("s1").await;
    let named = |turn: &str| Prompt {
        turn: Some(turn.parse().unwrap()),
        ..Prompt::text("x")
    };
    let mut first = world.pool.send(&session(), named("t1")).await.unwrap();
    let second = world.pool.send(&session(), named("t2")).await.unwrap();

    // What a wrapper does before it dies in the middle of a turn.
    let keys = world.session_keys("s1");
    let () = world
        .connection
        .lmove(
            &keys.input,
            &keys.inflight,
            redis::Direction::Left,
            redis::Direction::Right,
        )
        .await
        .unwrap();
    let () = world
        .connection
        .hset_multiple(&keys.state, &[("turn", "t1"), ("visibleOutput", "true")])
        .await
        .unwrap();
    let sent = WrapperLine::Prompt {
        pushed_at: None,
        taken_at: None,
        sent_at: 1,
        steered: false,
        origin: None,
    };
    world.publish("s1", 1, "t1", &sent.to_json()).await;
    world.publish_text("s1", 2, "t1", "half an ans").await;
    assert_eq!(
        next(&mut first.events).await.event.event.type_name(),
        "text_delta"
    );
    world.runtime.kill(
        &container,
        Exit {
            code: Some(137),
            oom: false,
        },
    );

    let ending = rest(first.events).await;
    let [Event::Retract { .. }, Event::Failed(lost)] = &ending[..] else {
        panic!("{ending:?}")
    };
    assert_eq!(lost.kind, FailureKind::ContainerLost);
    assert!(lost.visible_output && !lost.tool_effects);
    let ending = rest(second.events).await;
    let [Event::Failed(lost)] = &ending[..] else {
        panic!("{ending:?}")
    };
    assert!(lost.kind == FailureKind::ContainerLost && !lost.visible_output);

    world
        .until("gone", |s| {
            s.containers.iter().all(|c| c.container != container)
        })
        .await;
    let left: usize = world
        .connection
        .exists(&[&keys.input, &keys.inflight])
        .await
        .unwrap();
    assert_eq!(left, 0);
    let result: String = world.connection.get(&keys.result).await.unwrap();
    assert!(result.contains(r#""kind":"container_lost""#), "{result}");
    let late = world
        .pool
        .turn_events(&session(), &"t1".parse().unwrap(), None)
        .await
        .unwrap();
    let names: Vec<_> = rest(late).await.iter().map(Event::type_name).collect();
    assert_eq!(names, ["text_delta", "retract", "failed"]);
}
