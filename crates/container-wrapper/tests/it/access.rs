use ccpool_protocol::record::report;
use serde_json::json;

use crate::support::Rig;

/// Everything that a wrapper needs, and nothing else: what an access rule for it must allow.
const COMMANDS: [&str; 12] = [
    "+blmove", "+evalsha", "+hget", "+hmget", "+hset", "+lrange", "+lrem", "+ltrim", "+pexpire",
    "+ping", "+publish", "+rpush",
];
const MORE: [&str; 3] = ["+script|load", "+set", "+subscribe"];

#[tokio::test]
async fn its_own_keys_and_commands_are_enough() {
    let mut rig = Rig::prepare().await;
    let mut rules: Vec<String> = ["reset", "on", ">wrapper-pass"].map(str::to_owned).to_vec();
    rules.extend(
        COMMANDS
            .iter()
            .chain(&MORE)
            .map(|command| (*command).to_owned()),
    );
    let session = &rig.session;
    let lists = [&session.input, &session.inflight, &session.output_buffer];
    let others = [&session.state, &session.result];
    let own = [&rig.container.report, &rig.container.inbox];
    let keys = lists.into_iter().chain(others).chain(own);
    // The channel's name is passed to the script as a key.
    rules.extend(keys.chain([&session.output]).map(|key| format!("~{key}")));
    let events = "test:cc:pool:events".to_owned();
    let channels = [
        &session.output,
        &session.control,
        &rig.container.control,
        &events,
    ];
    rules.extend(channels.map(|channel| format!("&{channel}")));
    let mut connection = rig.redis.connect().await;
    redis::cmd("ACL")
        .arg("SETUSER")
        .arg("wrapper")
        .arg(&rules)
        .query_async::<()>(&mut connection)
        .await
        .unwrap();
    rig.boot.redis_url = format!("{}?user=wrapper&pass=wrapper-pass", rig.redis.url());
    rig.launch();
    rig.ready().await;
    rig.assign().await;
    rig.push(json!({"turn": "t1", "text": "hello"})).await;
    assert_eq!(rig.ending("t1").await["type"], "completed");
    rig.control("shutdown").await;
    assert_eq!(rig.exit().await.code(), Some(0));
    assert_eq!(rig.report(report::FAILURE).await, None);
    let denied: Vec<Vec<redis::Value>> = redis::cmd("ACL")
        .arg("LOG")
        .query_async(&mut connection)
        .await
        .unwrap();
    assert!(denied.is_empty(), "{denied:?}");
    assert!(!rig.log().contains("wrapper-pass"));
}
