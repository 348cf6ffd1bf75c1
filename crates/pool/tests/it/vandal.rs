//! A container that spoils the keys it may write: nobody else suffers, and its place is freed.

use std::time::Duration;

use ccpool::runtime::Exit;
use ccpool::{Answer, FunctionResult, PoolError, RequestId, SessionId};
use redis::AsyncCommands;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::support::{World, config, eventually};

/// Makes something of every key of the container's and its session's that nobody expects there.
async fn spoil(world: &mut World, container: &ccpool::ContainerId) {
    let (own, session) = (world.keys.container(container), world.session_keys("s1"));
    for key in [own.report, session.state] {
        let () = world.connection.del(&key).await.unwrap();
        let () = world.connection.rpush(&key, "spoilt").await.unwrap();
    }
    let lists = [own.inbox, session.input, session.inflight];
    for key in lists
        .into_iter()
        .chain([session.output_buffer, session.transcript])
    {
        let () = world.connection.set(&key, "spoilt").await.unwrap();
    }
    let () = world.connection.del(&session.result).await.unwrap();
    let () = world
        .connection
        .rpush(&session.result, "spoilt")
        .await
        .unwrap();
}

#[tokio::test]
async fn spoilt_keys_are_in_nobodys_way() {
    let mut world = World::new(config(2, 3)).await;
    world.warm(2).await;
    let vandal = world.claim("s1").await;
    spoil(&mut world, &vandal).await;
    let other = world.claim("s2").await;
    assert_ne!(other, vandal);
    let exit = Exit {
        code: Some(1),
        oom: false,
    };
    world.runtime.kill(&vandal, exit);
    world
        .until("its place is free", |pool| {
            pool.containers.iter().all(|c| c.container != vandal)
        })
        .await;
    // The name is good for a session again.
    world.warm(1).await;
    assert_ne!(world.claim("s1").await, vandal);
    let session = SessionId::new("s1").unwrap();
    let prompt = ccpool::Prompt::text("hello");
    world.pool.send(&session, prompt).await.unwrap();
}

/// What it says that it asks is its own affair.
#[tokio::test]
async fn requests_that_a_container_makes_up_are_read_with_care() {
    let mut world = World::new(config(1, 2)).await;
    world.warm(1).await;
    world.claim("s1").await;
    let (keys, session) = (world.session_keys("s1"), SessionId::new("s1").unwrap());
    let request =
        |id: &str| json!({"requestId": id, "turn": "t1", "seq": 1, "name": "Bash", "askedAt": 1});
    let settled = json!([{"requestId": "old", "outcome": "denied", "by": "caller", "at": 1}, 7]);
    let long = format!("[{}{}]", " ".repeat(2 << 20), request("r1"));
    let open = json!([request("r1"), request("a b"), null, {"requestId": "r2"}]).to_string();
    for (open, listed) in [
        (long.as_str(), 0),
        ("{}", 0),
        ("[[[", 0),
        (open.as_str(), 1),
    ] {
        let fields = [
            ("permissions", open),
            ("permissionsSettled", &settled.to_string()),
        ];
        let () = world
            .connection
            .hset_multiple(&keys.state, &fields)
            .await
            .unwrap();
        let pending = world.pool.permissions(&session).await.unwrap();
        assert_eq!(pending.len(), listed);
    }
    let answer = async |request: &str| {
        let request = RequestId::new(request).unwrap();
        let answered = world.pool.answer(&session, &request, Answer::allow()).await;
        answered.expect_err("nobody takes it")
    };
    // No wrapper is there that would take it.
    let error = answer("r1").await;
    assert!(matches!(error, PoolError::Unavailable { .. }), "{error:?}");
    let error = answer("old").await;
    assert!(matches!(error, PoolError::Settled(_)), "{error:?}");
    let error = answer("r2").await;
    assert!(
        matches!(error, PoolError::UnknownPermission { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn calls_that_a_container_makes_up_are_read_with_care() {
    let mut world = World::new(config(1, 2)).await;
    world.warm(1).await;
    let (keys, session) = (world.session_keys("s1"), SessionId::new("s1").unwrap());
    let results = |id: &str| vec![FunctionResult::text(id, "x")];
    let give = async |world: &World, id: &str| {
        let given = world.pool.give_results(&session, results(id)).await;
        given.expect_err("nobody takes it")
    };
    let error = give(&world, "c1").await;
    assert!(matches!(error, PoolError::UnknownSession(_)), "{error:?}");
    world.claim("s1").await;
    let call = |id: &str| json!({"id": id, "name": "f", "turn": "t1", "seq": 1, "askedAt": 1, "expiresAt": 2});
    let long = format!("[{}{}]", " ".repeat(2 << 20), call("c1"));
    let some = json!([call("c1"), 7, null, {"id": "c2"}]).to_string();
    for (waiting, listed) in [
        ("", 0),
        (long.as_str(), 0),
        ("{}", 0),
        ("[[[", 0),
        (some.as_str(), 1),
    ] {
        let fields = [("functions", waiting), ("functionsTaken", waiting)];
        let () = world
            .connection
            .hset_multiple(&keys.state, &fields)
            .await
            .unwrap();
        let pending = world.pool.waiting_functions(&session).await.unwrap();
        assert_eq!(pending.len(), listed);
        let info = world.pool.session(&session).await.unwrap();
        assert_eq!(info.waiting_functions, listed);
    }
    // What is left of a session that has ended waits for nothing.
    let () = world
        .connection
        .hset(&keys.state, "status", "ended")
        .await
        .unwrap();
    let info = world.pool.session(&session).await.unwrap();
    assert_eq!(info.waiting_functions, 0);
    assert_eq!(world.pool.waiting_functions(&session).await.unwrap(), []);
    let () = world
        .connection
        .hset(&keys.state, "status", "busy")
        .await
        .unwrap();
    // No wrapper is there that would take it.
    let error = give(&world, "c1").await;
    assert!(matches!(error, PoolError::Unavailable { .. }), "{error:?}");
    let error = give(&world, "c2").await;
    assert!(matches!(error, PoolError::InvalidRequest(_)), "{error:?}");
    let unreadable = vec![FunctionResult {
        content: vec![json!({"type": "hologram"})],
        ..FunctionResult::text("c1", "")
    }];
    for results in [unreadable, Vec::new()] {
        let error = world.pool.give_results(&session, results).await;
        assert!(
            matches!(error, Err(PoolError::InvalidRequest(_))),
            "{error:?}"
        );
    }
}

/// A number that is none, and one after which there is no other.
#[tokio::test]
async fn a_turn_ends_whatever_its_container_says_its_number_is() {
    for seq in ["x", "", "-1", "18446744073709551615", "1e300"] {
        let mut world = World::new(config(1, 2)).await;
        world.warm(1).await;
        let vandal = world.claim("s1").await;
        let keys = world.session_keys("s1");
        let fields = [("turn", "t1"), ("seq", seq)];
        let () = world
            .connection
            .hset_multiple(&keys.state, &fields)
            .await
            .unwrap();
        let exit = Exit {
            code: Some(1),
            oom: false,
        };
        world.runtime.kill(&vandal, exit);
        let result: String = eventually("the turn ends", async || {
            world.connection.clone().get(&keys.result).await.ok()
        })
        .await;
        assert!(
            result.contains(r#""kind":"container_lost""#),
            "{seq}: {result}"
        );
    }
}

/// Whom a token stands for is said by records; a report is the container's own to write.
#[tokio::test]
async fn a_report_that_looks_like_a_record_makes_no_caller() {
    let mut world = World::new(config(2, 3)).await;
    world.warm(2).await;
    let (intruder, theirs) = (world.claim("mine").await, world.claim("theirs").await);
    let session = SessionId::new("theirs").unwrap();
    let lasts = Duration::from_secs(60);
    let pass = world.pool.issue_pass(&session, lasts).await.unwrap();
    let caller = world.pool.caller(pass.token.expose()).await.unwrap();
    assert_eq!(caller.and_then(|caller| caller.session), Some(session));

    let report = world.keys.container(&intruder).report;
    let (_, key) = report.split_once(":pool:container:").unwrap();
    let secret = "0".repeat(64);
    let person = pass.token.expose().split_once('.').unwrap().0;
    for forged in [
        format!("{key}.{secret}"),
        format!("{person}.{key}.{secret}"),
    ] {
        let record = [
            ("state", "assigned"),
            ("session", "theirs"),
            ("agent", "main"),
            ("container", theirs.as_str()),
            ("tokenHash", &hex::encode(Sha256::digest(&forged))),
        ];
        let () = world
            .connection
            .hset_multiple(&report, &record)
            .await
            .unwrap();
        assert_eq!(world.pool.caller(&forged).await.unwrap(), None, "{forged}");
    }
}
