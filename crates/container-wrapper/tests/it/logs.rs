//! What the wrapper's log lines are about.

use serde_json::{Value, json};

use crate::support::{Rig, eventually};

const NOTE: &str = "a permission answer to no open request was ignored";

/// The lines with the note, once there are so many.
async fn notes(rig: &Rig, count: usize) -> Vec<Value> {
    eventually("the notes in the log", || async {
        let log = rig.log();
        let noted = log.lines().filter(|line| line.contains(NOTE));
        let noted: Vec<Value> = noted
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        (noted.len() >= count).then_some(noted)
    })
    .await
}

#[tokio::test]
async fn lines_name_their_session_and_the_turn_that_runs() {
    let rig = Rig::serving().await;
    let nobody = json!({"type": "permission", "requestId": "none", "response": {}}).to_string();
    rig.control(&nobody).await;
    notes(&rig, 1).await;
    rig.push(json!({"turn": "t1", "text": "the xylophone prompt [[script:stall]]"}))
        .await;
    rig.line("text_delta").await;
    rig.control(&nobody).await;
    notes(&rig, 2).await;
    rig.control("interrupt").await;
    assert_eq!(rig.ending("t1").await["kind"], "interrupted");
    rig.control(&nobody).await;
    let notes = notes(&rig, 3).await;
    let about = |note: &Value| (note["session"].clone(), note["turn"].clone());
    let session = json!("agent:main:s1");
    assert_eq!(about(&notes[0]), (session.clone(), Value::Null));
    assert_eq!(about(&notes[1]), (session.clone(), json!("t1")));
    assert_eq!(about(&notes[2]), (session, Value::Null));
    assert!(!rig.log().contains("xylophone"), "{}", rig.log());
}
