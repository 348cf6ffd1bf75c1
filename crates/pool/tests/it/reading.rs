//! Readers that come late, come back, or fall behind.

use ccpool::{Event, EventId, SessionId, StreamedEvent};
use redis::AsyncCommands;

use crate::support::{World, config, next, rest, text_line};

fn session() -> SessionId {
    SessionId::new("s1").unwrap()
}

async fn claimed() -> World {
    let mut world = World::new(config(1, 2)).await;
    world.warm(1).await;
    world.claim("s1").await;
    world
}

fn text(event: &StreamedEvent) -> &str {
    match &event.event.event {
        Event::TextDelta { text, .. } => text,
        other => panic!("{other:?} is no delta"),
    }
}

#[tokio::test]
async fn whoever_comes_back_goes_on_exactly_where_it_was() {
    let mut world = claimed().await;
    for seq in 1..=5 {
        world.publish_text("s1", seq, "t1", &seq.to_string()).await;
    }
    let after = Some(EventId { seq: 2, part: 0 });
    let mut events = world.pool.events(&session(), after).await.unwrap();
    for expected in 3..=5u64 {
        let event = next(&mut events).await;
        assert_eq!(
            (event.id.seq, text(&event)),
            (expected, expected.to_string().as_str())
        );
    }
    world.publish_text("s1", 6, "t1", "6").await;
    assert_eq!(text(&next(&mut events).await), "6");
}

#[tokio::test]
async fn what_the_buffer_no_longer_has_is_a_gap() {
    let mut world = claimed().await;
    for seq in 1..=6 {
        world.publish_text("s1", seq, "t1", &seq.to_string()).await;
    }
    let buffer = world.session_keys("s1").output_buffer;
    let () = world.connection.ltrim(buffer, -2, -1).await.unwrap();
    let after = Some(EventId { seq: 2, part: 0 });
    let mut events = world.pool.events(&session(), after).await.unwrap();
    assert_eq!(
        next(&mut events).await.event.event,
        Event::Gap { from: 3, to: 4 }
    );
    assert_eq!(text(&next(&mut events).await), "5");
    assert_eq!(text(&next(&mut events).await), "6");
}

/// Published past the channel, as when the connection was away: found in the buffer.
#[tokio::test]
async fn what_was_missed_on_the_channel_comes_from_the_buffer() {
    let mut world = claimed().await;
    let mut events = world.pool.events(&session(), None).await.unwrap();
    world.publish_text("s1", 1, "t1", "1").await;
    assert_eq!(text(&next(&mut events).await), "1");
    let keys = world.session_keys("s1");
    for seq in 2..=3 {
        let line = text_line(&seq.to_string());
        let json = format!(r#"{{"seq":{seq},"turn":"t1","at":1,"line":{line}}}"#);
        let () = world
            .connection
            .rpush(&keys.output_buffer, json)
            .await
            .unwrap();
    }
    world.publish_text("s1", 4, "t1", "4").await;
    for expected in ["2", "3", "4"] {
        assert_eq!(text(&next(&mut events).await), expected);
    }
}

/// More than the channel holds, and messages too large for it, while the reader does not read.
#[tokio::test]
async fn a_reader_that_fell_behind_gets_everything_once() {
    let mut world = claimed().await;
    let mut events = world.pool.events(&session(), None).await.unwrap();
    let large = "x".repeat(100_000);
    for seq in 1..=400u64 {
        let said = if seq % 100 == 0 {
            large.clone()
        } else {
            seq.to_string()
        };
        world.publish_text("s1", seq, "t1", &said).await;
    }
    world.publish_completed("s1", 401, "t1", "done").await;
    for expected in 1..=400u64 {
        let event = next(&mut events).await;
        assert_eq!(
            event.id,
            EventId {
                seq: expected,
                part: 0
            }
        );
        assert_eq!(text(&event).len() > 1000, expected % 100 == 0);
    }
    let last = [next(&mut events).await, next(&mut events).await];
    let places = last.each_ref().map(|event| (event.id.seq, event.id.part));
    assert_eq!(places, [(401, 0), (401, 1)]);
    assert!(matches!(last[0].event.event, Event::Retract { .. }));
    assert!(last[1].event.event.is_terminal());
}

#[tokio::test]
async fn the_stream_of_a_session_ends_with_it() {
    let mut world = claimed().await;
    let events = world.pool.events(&session(), None).await.unwrap();
    world.publish_text("s1", 1, "t1", "last words").await;
    world.pool.end(&session()).await.unwrap();
    let names: Vec<_> = rest(events).await.iter().map(Event::type_name).collect();
    assert_eq!(names, ["text_delta"]);
    assert!(
        world
            .pool
            .events(&"nobody".parse().unwrap(), None)
            .await
            .is_err()
    );
}

/// Its envelopes are trimmed away, but the session lives: nobody waits for ever.
#[tokio::test]
async fn a_turn_that_is_over_and_trimmed_ends_its_readers() {
    let mut world = claimed().await;
    let keys = world.session_keys("s1");
    world.publish_completed("s1", 1, "t1", "done").await;
    let kept = r#"{"type":"failed","kind":"stalled","message":"m","visibleOutput":true,"toolEffects":false,"turn":"t2","seq":2,"at":1}"#;
    let () = world.connection.set(&keys.result, kept).await.unwrap();
    let () = world.connection.del(&keys.output_buffer).await.unwrap();
    for (turn, kind) in [
        ("t2", "stalled"),
        ("t1", "container_lost"),
        ("no-such", "container_lost"),
    ] {
        let turn = turn.parse().unwrap();
        let events = rest(
            world
                .pool
                .turn_events(&session(), &turn, None)
                .await
                .unwrap(),
        )
        .await;
        let [Event::Failed(failed)] = &events[..] else {
            panic!("{events:?}")
        };
        assert_eq!(failed.kind.as_str(), kind);
    }
    // One that waits in the input is open, whatever the buffer holds.
    let item = r#"{"turn":"t3","text":"x"}"#;
    let () = world.connection.rpush(&keys.input, item).await.unwrap();
    let waiting = world
        .pool
        .turn_events(&session(), &"t3".parse().unwrap(), None)
        .await
        .unwrap();
    world.publish_completed("s1", 2, "t3", "done").await;
    assert_eq!(
        rest(waiting).await.last().map(Event::type_name),
        Some("completed")
    );
}
