//! Permission requests that a client answers, each with the real CLI.

use serde_json::{Value, json};

use crate::asking::{Session, ending, play, respond, setup, touch};
use crate::gateway::Gateway;
use crate::parts::eventually;

#[tokio::test]
async fn a_request_is_shown_and_allowed() {
    let gateway = Gateway::start(setup(&json!({}))).await;
    let session = Session::claim(&gateway, "s1").await;
    let (stream, asked) = session.asked(&touch("made")).await;
    assert_eq!(asked["name"], "Bash");
    assert_eq!(asked["input"]["command"], "touch made");
    let suggested = asked["suggestions"].as_array().map(Vec::len);
    assert!(suggested > Some(0), "{asked}");
    let waits = asked["expiresAt"].as_u64().expect("a time") - asked["at"].as_u64().expect("too");
    assert!((299_000..=300_000).contains(&waits), "the default: {asked}");

    let pending = session.pending().await;
    assert_eq!(pending.len(), 1, "{pending:?}");
    for field in [
        "requestId",
        "toolUseId",
        "name",
        "input",
        "suggestions",
        "expiresAt",
        "turn",
        "seq",
    ] {
        assert_eq!(pending[0][field], asked[field], "{field}");
    }
    assert!(!session.file("made").exists());
    let told = session.answer(&asked, json!({"behavior": "allow"})).await;
    assert_eq!(
        (&told["requestId"], &told["outcome"], &told["by"]),
        (&asked["requestId"], &json!("allowed"), &json!("caller"))
    );
    assert_eq!(told["ticket"], Value::Null, "{told}");
    let (end, resolved) = ending(stream).await;
    assert_eq!(end["type"], "completed", "{end}");
    assert_eq!(resolved, [json!(["allowed", "caller"])]);
    assert!(session.file("made").exists());
    assert!(session.pending().await.is_empty());
    gateway.stop().await;
}

#[tokio::test]
async fn another_input_may_be_allowed() {
    let gateway = Gateway::start(setup(&json!({}))).await;
    let session = Session::claim(&gateway, "s1").await;
    let (stream, asked) = session.asked(&touch("made")).await;
    let other = json!({"behavior": "allow", "input": {"command": "touch other"}});
    session.answer(&asked, other).await;
    let (end, _) = ending(stream).await;
    assert_eq!(end["type"], "completed", "{end}");
    let made = ["made", "other"].map(|file| session.file(file).exists());
    assert_eq!(made, [false, true]);
    gateway.stop().await;
}

/// Only for the session: nothing is written down for the next one.
#[tokio::test]
async fn always_is_not_asked_again_in_this_session() {
    let gateway = Gateway::start(setup(&json!({}))).await;
    let session = Session::claim(&gateway, "s1").await;
    let (stream, asked) = session.asked(&touch("made")).await;
    let always = json!({"behavior": "allow", "always": true});
    session.answer(&asked, always).await;
    ending(stream).await;
    std::fs::remove_file(session.file("made")).expect("it was made");
    let events = session.say(&touch("made")).await.rest().await;
    assert!(
        events.iter().all(|m| m.event != "permission_request"),
        "{events:#?}"
    );
    assert!(session.file("made").exists());
    let settings = session.file(".claude");
    assert!(!settings.exists(), "{} was made", settings.display());

    let other = Session::claim(&gateway, "s2").await;
    let (stream, asked) = other.asked(&touch("made")).await;
    other.answer(&asked, json!({"behavior": "deny"})).await;
    ending(stream).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_denial_tells_the_model_why() {
    let gateway = Gateway::start(setup(&json!({}))).await;
    let session = Session::claim(&gateway, "s1").await;
    let (stream, asked) = session.asked(&touch("made")).await;
    let no = json!({"behavior": "deny", "message": "not on a Friday"});
    let told = session.answer(&asked, no).await;
    assert_eq!(told["outcome"], "denied", "{told}");
    let (end, resolved) = ending(stream).await;
    assert_eq!(end["type"], "completed", "{end}");
    assert_eq!(resolved, [json!(["denied", "caller"])]);
    assert!(session.told_model().contains("not on a Friday"));
    assert!(!session.file("made").exists());
    gateway.stop().await;
}

#[tokio::test]
async fn a_denial_may_end_the_turn() {
    let gateway = Gateway::start(setup(&json!({}))).await;
    let session = Session::claim(&gateway, "s1").await;
    let (stream, asked) = session.asked(&touch("made")).await;
    let stop = json!({"behavior": "deny", "message": "stop", "interrupt": true});
    session.answer(&asked, stop).await;
    let (end, _) = ending(stream).await;
    assert_eq!(
        (&end["kind"], &end["toolEffects"]),
        (&json!("interrupted"), &json!(false))
    );
    // The session goes on.
    let (status, next) = gateway.turn("s1", &json!({"prompt": "hello"})).await;
    assert_eq!(status, 200, "{next}");
    gateway.stop().await;
}

#[tokio::test]
async fn an_interrupt_withdraws_what_is_asked() {
    let gateway = Gateway::start(setup(&json!({}))).await;
    let session = Session::claim(&gateway, "s1").await;
    let (stream, asked) = session.asked(&touch("made")).await;
    let (status, _) = gateway
        .post("/api/docker-cc/sessions/s1/interrupt", &json!({}))
        .await;
    assert_eq!(status, 200);
    let (end, resolved) = ending(stream).await;
    assert_eq!(end["kind"], "interrupted", "{end}");
    assert_eq!(resolved, [json!(["withdrawn", "claude"])]);
    assert!(session.pending().await.is_empty());
    let yes = json!({"behavior": "allow"});
    let (status, problem) = respond(&gateway, "s1", &asked, &yes).await;
    assert_eq!(status, 409, "{problem}");
    assert_eq!(problem["type"], "urn:ccpool:problem:permission-settled");
    assert_eq!(problem["settled"]["outcome"], "withdrawn", "{problem}");
    assert!(!session.file("made").exists());
    gateway.stop().await;
}

fn question() -> Value {
    let options = ["Red", "Blue"].map(|label| json!({"label": label, "description": "a colour"}));
    json!({"questions": [
        {"question": "Which colour?", "header": "Colour", "options": options, "multiSelect": false},
    ]})
}

#[tokio::test]
async fn a_question_is_answered_with_a_label() {
    let gateway = Gateway::start(setup(&json!({}))).await;
    let session = Session::claim(&gateway, "s1").await;
    let scene = json!([
        {"toolUse": {"name": "AskUserQuestion", "input": question()}},
        {"text": "It said: {{toolResult}}"},
    ]);
    let (stream, asked) = session.asked(&play(&scene)).await;
    assert_eq!(asked["name"], "AskUserQuestion");
    for (wrong, part) in [
        (json!({"behavior": "allow"}), "wants `answers`"),
        (
            json!({"behavior": "allow", "answers": {"Why?": "x"}}),
            "it asks Which colour?",
        ),
    ] {
        let (status, problem) = respond(&gateway, "s1", &asked, &wrong).await;
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(status == 400 && detail.contains(part), "{problem}");
    }
    let blue = json!({"behavior": "allow", "answers": {"Which colour?": "Blue"}});
    session.answer(&asked, blue).await;
    let (end, _) = ending(stream).await;
    let text = end["text"].as_str().expect("an answer");
    assert!(
        text.contains("Which colour?") && text.contains("Blue"),
        "{text}"
    );

    let mut several = scene.clone();
    several[0]["toolUse"]["input"]["questions"][0]["multiSelect"] = json!(true);
    let (stream, asked) = session.asked(&play(&several)).await;
    let both = json!({"behavior": "allow", "answers": {"Which colour?": ["Red", "Blue"]}});
    session.answer(&asked, both).await;
    let (end, _) = ending(stream).await;
    let text = end["text"].as_str().expect("an answer");
    assert!(text.contains("Red, Blue"), "{text}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_plan_is_let_go_or_sent_back() {
    let gateway = Gateway::start(setup(&json!({"mode": "plan"}))).await;
    let session = Session::claim(&gateway, "s1").await;
    let scene = json!([
        {"toolUse": {"name": "ExitPlanMode", "input": {"plan": "1. Do it."}}},
        {"text": "It said: {{toolResult}}"},
    ]);
    let (stream, asked) = session.asked(&play(&scene)).await;
    assert_eq!(asked["name"], "ExitPlanMode", "{asked}");
    let no = json!({"behavior": "deny", "message": "write tests first"});
    session.answer(&asked, no).await;
    let (end, _) = ending(stream).await;
    assert!(
        end["text"]
            .as_str()
            .is_some_and(|t| t.contains("write tests first")),
        "{end}"
    );
    let (stream, asked) = session.asked(&play(&scene)).await;
    session.answer(&asked, json!({"behavior": "allow"})).await;
    let (end, resolved) = ending(stream).await;
    assert!(
        end["text"].as_str().is_some_and(|t| t.contains("approved")),
        "{end}"
    );
    assert_eq!(resolved, [json!(["allowed", "caller"])]);
    gateway.stop().await;
}

#[tokio::test]
async fn the_policy_answers_when_nobody_does() {
    for (word, behavior) in [("deny", "deny"), ("allow", "allow")] {
        let policy = json!({"timeoutMs": 700, "onTimeout": word});
        let gateway = Gateway::start(setup(&policy)).await;
        let session = Session::claim(&gateway, "s1").await;
        let (mut stream, asked) = session.asked(&touch("made")).await;
        let resolved = stream.wait_for("permission_resolved").await.data;
        assert_eq!(
            [&resolved["outcome"], &resolved["behavior"], &resolved["by"]],
            ["timed_out", behavior, "policy"]
        );
        let (end, _) = ending(stream).await;
        assert_eq!(end["type"], "completed", "{end}");
        assert_eq!(session.file("made").exists(), word == "allow");
        let late = json!({"behavior": "allow"});
        let (status, problem) = respond(&gateway, "s1", &asked, &late).await;
        assert_eq!(
            (status, &problem["settled"]["outcome"]),
            (409, &json!("timed_out"))
        );
        gateway.stop().await;
    }
}

/// A yes would be an answer that nobody gave.
#[tokio::test]
async fn the_policy_gives_no_answer_to_a_question() {
    let policy = json!({"timeoutMs": 300, "onTimeout": "allow"});
    let gateway = Gateway::start(setup(&policy)).await;
    let session = Session::claim(&gateway, "s1").await;
    let scene = json!([
        {"toolUse": {"name": "AskUserQuestion", "input": question()}},
        {"text": "It said: {{toolResult}}"},
    ]);
    let mut stream = session.say(&play(&scene)).await;
    let resolved = stream.wait_for("permission_resolved").await.data;
    assert_eq!(
        [&resolved["outcome"], &resolved["behavior"]],
        ["timed_out", "deny"]
    );
    let (end, _) = ending(stream).await;
    assert_eq!(
        end["text"], "It said: nobody answered within 300 ms",
        "{end}"
    );
    gateway.stop().await;
}

/// Of two answers one counts, and the other one is told which.
#[tokio::test]
async fn the_first_answer_wins() {
    let gateway = Gateway::start(setup(&json!({}))).await;
    let session = Session::claim(&gateway, "s1").await;
    for round in 0..5 {
        let file = format!("made{round}");
        let (stream, asked) = session.asked(&touch(&file)).await;
        let (yes, no) = (json!({"behavior": "allow"}), json!({"behavior": "deny"}));
        let (yes, no) = tokio::join!(
            respond(&gateway, "s1", &asked, &yes),
            respond(&gateway, "s1", &asked, &no)
        );
        let mut statuses = [yes.0, no.0];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409], "{yes:?} {no:?}");
        let allowed = yes.0 == 200;
        let (taken, refused) = if allowed {
            (yes.1, no.1)
        } else {
            (no.1, yes.1)
        };
        assert_eq!(refused["settled"]["outcome"], taken["outcome"]);
        let (_, resolved) = ending(stream).await;
        assert_eq!(resolved, [json!([taken["outcome"], "caller"])]);
        assert_eq!(session.file(&file).exists(), allowed);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn answers_reach_their_own_session_alone() {
    let gateway = Gateway::start(setup(&json!({}))).await;
    let [one, two] = [
        Session::claim(&gateway, "s1").await,
        Session::claim(&gateway, "s2").await,
    ];
    let (stream, asked) = one.asked(&touch("made")).await;
    let (other, other_asked) = two.asked(&touch("made")).await;
    let yes = json!({"behavior": "allow"});
    for (session, request) in [("s2", &asked), ("s1", &other_asked)] {
        let (status, problem) = respond(&gateway, session, request, &yes).await;
        assert_eq!(status, 404, "{problem}");
        assert_eq!(problem["type"], "urn:ccpool:problem:unknown-permission");
        assert!(problem["mend"].is_string(), "{problem}");
    }
    assert_eq!(
        (one.pending().await.len(), two.pending().await.len()),
        (1, 1)
    );
    assert!(!one.file("made").exists() && !two.file("made").exists());
    one.answer(&asked, json!({"behavior": "deny"})).await;
    two.answer(&other_asked, yes.clone()).await;
    ending(stream).await;
    ending(other).await;
    let made = [&one, &two].map(|session| session.file("made").exists());
    assert_eq!(made, [false, true]);

    // A session that has ended asks nothing, and one that never was is none.
    crate::asking::end(&gateway, "s1").await;
    assert!(one.pending().await.is_empty());
    for session in ["s1", "nobody"] {
        let (status, problem) = respond(&gateway, session, &asked, &yes).await;
        assert_eq!(
            (status, &problem["type"]),
            (404, &json!("urn:ccpool:problem:unknown-session"))
        );
    }
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_no_answer_is_refused_and_changes_nothing() {
    let gateway = Gateway::start(setup(&json!({"mode": "plan"}))).await;
    let session = Session::claim(&gateway, "s1").await;
    let scene = json!([
        {"toolUse": {"name": "ExitPlanMode", "input": {"plan": "x"}}},
        {"text": "done"},
    ]);
    let (stream, asked) = session.asked(&play(&scene)).await;
    for (body, part) in [
        (json!({}), "behavior"),
        (json!({"behavior": "perhaps"}), "perhaps"),
        (json!({"behavior": "allow", "message": "x"}), "message"),
        (
            json!({"behavior": "allow", "updatedInput": {}}),
            "updatedInput",
        ),
        (json!({"behavior": "allow", "always": true}), "no rule"),
        (
            json!({"behavior": "allow", "answers": {"a": "b"}}),
            "AskUserQuestion",
        ),
        (
            json!({"behavior": "deny", "message": "x".repeat(20_000)}),
            "16384 bytes",
        ),
        (
            json!({"behavior": "allow", "input": {"plan": "x".repeat(1 << 20)}}),
            "1048576 bytes",
        ),
    ] {
        let (status, problem) = respond(&gateway, "s1", &asked, &body).await;
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(status == 400 && detail.contains(part), "{part}: {problem}");
    }
    let path = "/api/docker-cc/sessions/s1/permissions/a%20b";
    let (status, problem) = gateway.post(path, &json!({"behavior": "allow"})).await;
    assert_eq!(status, 400, "{problem}");
    assert_eq!(session.pending().await.len(), 1);
    session.answer(&asked, json!({"behavior": "deny"})).await;
    ending(stream).await;
    gateway.stop().await;
}

/// An answer that the container did not take is not told as one.
#[tokio::test]
async fn an_answer_that_was_not_taken_is_no_success() {
    use nix::sys::signal::{Signal, kill};
    let gateway = Gateway::start(setup(&json!({}))).await;
    let session = Session::claim(&gateway, "s1").await;
    let (stream, asked) = session.asked(&touch("made")).await;
    let info = gateway.get("/api/docker-cc/sessions/s1").await;
    let wrapper = gateway
        .wrapper_of(info["container"].as_str().expect("a container"))
        .await;
    kill(wrapper, Signal::SIGSTOP).expect("it can be stopped");
    let yes = json!({"behavior": "allow"});
    let (status, problem) = respond(&gateway, "s1", &asked, &yes).await;
    kill(wrapper, Signal::SIGCONT).expect("it can go on");
    assert_eq!(
        (status, &problem["kind"]),
        (503, &json!("unavailable")),
        "{problem}"
    );
    // It was on its way all the same, so the next one comes too late, or first; one counts.
    eventually("the wrapper has taken it", async || {
        session.pending().await.is_empty().then_some(())
    })
    .await;
    let (_, resolved) = ending(stream).await;
    assert_eq!(resolved, [json!(["allowed", "caller"])]);
    gateway.stop().await;
}
