//! Docker is stopped, and nothing is warm.

use serde_json::json;

use super::trio::{MODELS, Trio, assert_answered};
use crate::docker_away::Door;
use crate::network::Network;
use crate::parts::eventually;

#[tokio::test]
async fn without_docker_the_cli_of_this_host_answers() {
    let network = Network::create("chain").await;
    let dir = tempfile::tempdir().expect("a folder");
    let mut door = Door::new(dir.path());
    let mut setup = network.setup(&json!({"minWarm": 1, "maxTotal": 3, "maxPerAgent": 3}));
    setup.config["docker"]["host"] = json!(door.host());
    setup.config["timeouts"] = json!({"healthIntervalMs": 500});
    let trio = Trio::with(setup, &[]).await;
    assert_answered(&trio.say("hello").await, 0, &[]);
    trio.gateway.wait_warm(1).await;
    door.close().await;
    // What is warm serves still.
    assert_answered(&trio.say("hello").await, 0, &[]);
    let came = trio.say("hello").await;
    assert_answered(&came, 1, &[(MODELS[0], "unavailable")]);

    door.open();
    trio.gateway.wait_warm(1).await;
    eventually("the pool answers again", async || {
        let came = trio.say("hello").await;
        (came.header("x-ccpool-provider") == "docker-claude-code").then_some(())
    })
    .await;
    trio.stop().await;
    door.close().await;
    network.remove().await;
}
