use ccpool_protocol::access::Users;
use ccpool_protocol::keys::Keys;
use ccpool_protocol::record::report;
use ccpool_protocol::{SessionId, scripts};
use serde_json::json;

use crate::support::{Rig, eventually};

const PASSWORD: &str = "wrapper-pass";
/// SHA-256 of it.
const HASH: &str = "6e101ebb754c6f1ffcea593026e7874eb608aef186a7f38921f7b53e4e6e8c8d";

/// What a gateway does before the container is started, and at the claim.
async fn admit(rig: &Rig, session: Option<&SessionId>) {
    let users = Users::new(Keys::new(rig.boot.key_prefix.clone()), 0);
    let container = &rig.boot.container;
    let mut connection = rig.redis.connect().await;
    redis::cmd("ACL")
        .arg("SETUSER")
        .arg(users.name(container))
        .arg(users.rules(container, session, HASH).unwrap())
        .query_async::<()>(&mut connection)
        .await
        .unwrap();
}

async fn load(rig: &Rig) {
    let mut connection = rig.redis.connect().await;
    redis::cmd("SCRIPT")
        .arg("LOAD")
        .arg(scripts::PUBLISH)
        .exec_async(&mut connection)
        .await
        .unwrap();
}

/// A wrapper with a user that may reach its container's keys.
async fn prepare() -> (Rig, SessionId) {
    let mut rig = Rig::prepare().await;
    let users = Users::new(Keys::new(rig.boot.key_prefix.clone()), 0);
    let user = users.name(&rig.boot.container);
    rig.boot.redis_url = format!("{}?user={user}&pass={PASSWORD}", rig.redis.url());
    admit(&rig, None).await;
    (rig, SessionId::new("agent:main:s1").unwrap())
}

#[tokio::test]
async fn its_own_keys_and_commands_are_enough() {
    let (mut rig, session) = prepare().await;
    load(&rig).await;
    rig.launch();
    rig.ready().await;
    admit(&rig, Some(&session)).await;
    rig.assign().await;
    rig.push(json!({"turn": "t1", "text": "hello"})).await;
    assert_eq!(rig.ending("t1").await["type"], "completed");
    rig.control("shutdown").await;
    assert_eq!(rig.exit().await.code(), Some(0));
    assert_eq!(rig.report(report::FAILURE).await, None);
    let denied: Vec<Vec<redis::Value>> = redis::cmd("ACL")
        .arg("LOG")
        .query_async(&mut rig.redis.connect().await)
        .await
        .unwrap();
    assert!(denied.is_empty(), "{denied:?}");
    assert!(!rig.log().contains(PASSWORD));
}

#[tokio::test]
async fn a_script_that_is_not_loaded_yet_is_waited_for() {
    let (mut rig, session) = prepare().await;
    rig.launch();
    rig.ready().await;
    admit(&rig, Some(&session)).await;
    rig.assign().await;
    rig.push(json!({"turn": "t1", "text": "hello"})).await;
    eventually("it has tried", || async {
        rig.log().contains("publisher: Redis failed").then_some(())
    })
    .await;
    assert!(rig.buffer().await.is_empty());
    load(&rig).await;
    assert_eq!(rig.ending("t1").await["type"], "completed");
}

/// Redis keeps its users in memory alone: after a restart they are gone, until a gateway has made
/// them again.
#[tokio::test]
async fn a_user_that_redis_has_lost_is_waited_for() {
    let (mut rig, session) = prepare().await;
    load(&rig).await;
    rig.launch();
    rig.ready().await;
    admit(&rig, Some(&session)).await;
    rig.assign().await;
    rig.push(json!({"turn": "t1", "text": "hello"})).await;
    assert_eq!(rig.ending("t1").await["type"], "completed");
    rig.redis.down().await;
    rig.redis.up().await;
    rig.push(json!({"turn": "t2", "text": "hello"})).await;
    admit(&rig, Some(&session)).await;
    load(&rig).await;
    assert_eq!(rig.ending("t2").await["type"], "completed");
}
