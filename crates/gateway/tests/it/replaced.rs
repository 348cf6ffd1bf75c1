//! Containers that fail for reasons of their own, or no longer are what the configuration says.

use serde_json::{Value, json};

use crate::gateway::Gateway;
use crate::network::Network;

#[tokio::test]
async fn one_that_runs_out_of_memory_is_told_as_that() {
    let network = Network::create("oom").await;
    let mut setup = network.setup(&json!({"minWarm": 1, "maxTotal": 1}));
    // The wrapper fits into it, claude does not.
    setup.config["resources"]["memory"] = json!("60m");
    let gateway = Gateway::start_cold(setup).await;
    let pool = gateway
        .wait_for_pool(|pool| {
            pool["failures"]
                .as_array()
                .is_some_and(|all| !all.is_empty())
        })
        .await;
    let failure = &pool["failures"][0];
    let reason = failure["reason"].as_str().expect("a reason");
    assert!(reason.contains("resources.memory"), "{failure}");
    let log = failure["logTail"].to_string();
    assert!(log.contains("signal 9"), "{failure}");
    gateway.stop().await;
    network.remove().await;
}

#[tokio::test]
async fn another_configuration_replaces_spares_and_leaves_sessions_alone() {
    let network = Network::create("drift").await;
    let mut gateway = Gateway::start(network.setup(&json!({"minWarm": 2, "maxTotal": 5}))).await;
    let claimed = gateway.claim("s1").await;
    gateway.wait_warm(2).await;
    let prints = |pool: &Value| -> Vec<String> {
        let warm = pool["containers"].as_array().expect("a list").iter();
        warm.filter(|c| c["state"] == "warm")
            .map(|c| c["fingerprint"].as_str().expect("a fingerprint").to_owned())
            .collect()
    };
    let before = prints(&gateway.get("/api/docker-cc/pool").await);
    assert_eq!(before[0], before[1]);
    gateway.crash().await;
    gateway.reconfigure(|config| config["resources"]["pidsLimit"] = json!(201));
    gateway.restart().await;
    let pool = gateway
        .wait_for_pool(|pool| {
            let warm = prints(pool);
            // Never less than are wanted.
            assert!(warm.len() >= 2, "{pool:#}");
            warm.len() == 2 && !warm.contains(&before[0])
        })
        .await;
    let serving = pool["containers"].as_array().expect("a list").iter();
    let mut serving = serving.filter(|c| c["session"] == "s1");
    let serving = serving.next().expect("the session is there");
    assert_eq!(serving["container"], claimed["container"]);
    assert_eq!(serving["fingerprint"], json!(before[0]));
    let (status, turn) = gateway.turn("s1", &json!({"prompt": "hello"})).await;
    assert_eq!(status, 200, "{turn}");
    gateway.stop().await;
    network.remove().await;
}
