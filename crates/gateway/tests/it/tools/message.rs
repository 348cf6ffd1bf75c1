//! Messages to channels.

use serde_json::json;

use super::receiver::Receiver;
use super::{call, text};
use crate::gateway::{Gateway, Setup};

const SECRET: &str = "the periwinkle secret 3306";
const TOKEN: &str = "xylophone9052";

#[tokio::test]
async fn a_message_leaves_the_conversation_signed_and_once() {
    let receiver = Receiver::start([(503, None, "")]).await;
    let url = receiver.url(&format!("/{TOKEN}"));
    let channel = json!({"kind": "webhook", "secret": SECRET, "description": "People"});
    let setup = Setup::default()
        .with("tools", json!({"message": {"channels": {"ops": channel}}}))
        .with_env("CCPOOL_TOOLS__MESSAGE__CHANNELS__ops__URL", url)
        .with_env("CCPOOL_LOG", "debug");
    let gateway = Gateway::start(setup).await;
    gateway.claim("mine").await;

    let sent = json!({"channel": "ops", "text": "the build is green"});
    let told = call(&gateway, "mine", "message", sent).await;
    assert_eq!(told["isError"], false, "{told}");
    assert_eq!(text(&told), "The message was sent to `ops`.");
    let received = receiver.received();
    // The first attempt was answered with 503.
    assert_eq!(received.len(), 2);
    assert_eq!(received[0].body, received[1].body);
    let body = received[1].json();
    assert_eq!(
        (&body["text"], &body["session"], &body["agent"]),
        (&json!("the build is green"), &json!("mine"), &json!("main"))
    );
    assert!(received[1].header("ccpool-signature").starts_with("v1="));

    let unknown = json!({"channel": "pos", "text": "hello"});
    let told = call(&gateway, "mine", "message", unknown).await;
    assert_eq!(told["isError"], true, "{told}");
    let said = text(&told);
    assert!(said.contains("There are: `ops` (People)."), "{said}");
    assert_eq!(receiver.received().len(), 2);

    let log = gateway.log();
    assert!(log.contains("a message did not arrive"), "{log}");
    let metrics = gateway.request(reqwest::Method::GET, "/metrics");
    let metrics = metrics.send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("tool=\"message\""), "{metrics}");
    for secret in [SECRET, TOKEN] {
        assert!(!log.contains(secret) && !metrics.contains(secret), "{log}");
    }
    gateway.stop().await;
}
