//! The CLI asks before it acts.

use std::time::Duration;

use ccpool_protocol::boot::Boot;
use ccpool_protocol::event::Event;
use ccpool_protocol::permission::{Behavior, PendingPermission, SettledPermission, listed};
use ccpool_protocol::state::field;
use serde_json::{Value, json};

use super::play::Play;
use crate::support::eventually;

fn asking(boot: &mut Boot) {
    boot.claude.allowed_tools.clear();
}

/// A command that writes, so it is asked about.
fn touch(file: &str) -> Value {
    json!([
        {"toolUse": {"name": "Bash", "input": {"command": format!("touch {file}")}}},
        {"text": "So be it."},
    ])
}

fn made(play: &Play, file: &str) -> bool {
    play.rig.dir.path().join("work").join(file).exists()
}

/// A scene with a question, answered like this.
async fn answered(play: &mut Play, turn: &str, scene: Value, answer: Value) -> Value {
    play.act(turn, scene).await;
    let asked = play.asked(1).await;
    play.permit(&asked, answer).await;
    play.rig.ending(turn).await
}

#[tokio::test]
async fn t09a_perm_allow_bash() {
    let mut play = Play::with(asking).await;
    play.act("t1", touch("made")).await;
    let asked = play.asked(1).await;
    assert!(!made(&play, "made"));
    let input = asked["request"]["input"].clone();
    play.permit(&asked, json!({"behavior": "allow", "updatedInput": input}))
        .await;
    let ending = play.rig.ending("t1").await;
    assert!(made(&play, "made"), "{ending}");
    insta::assert_snapshot!(play.finish().await, @r#"t1: started tool_use(Bash) permission_request permission_resolved(allowed) tool_result text_delta text completed "So be it.""#);
}

#[tokio::test]
async fn t09b_perm_allow_without_the_input() {
    let mut play = Play::with(asking).await;
    answered(&mut play, "t1", touch("made"), json!({"behavior": "allow"})).await;
    assert!(made(&play, "made"));
    insta::assert_snapshot!(play.finish().await, @r#"t1: started tool_use(Bash) permission_request permission_resolved(allowed) tool_result text_delta text completed "So be it.""#);
}

#[tokio::test]
async fn t09c_perm_allow_changed_input() {
    let mut play = Play::with(asking).await;
    let other = json!({"behavior": "allow", "updatedInput": {"command": "touch other"}});
    answered(&mut play, "t1", touch("made"), other).await;
    assert_eq!((made(&play, "made"), made(&play, "other")), (false, true));
    insta::assert_snapshot!(play.finish().await, @r#"t1: started tool_use(Bash) permission_request permission_resolved(allowed) tool_result text_delta text completed "So be it.""#);
}

#[tokio::test]
async fn t09d_perm_deny() {
    let mut play = Play::with(asking).await;
    let no = json!({"behavior": "deny", "message": "not on a Friday"});
    answered(&mut play, "t1", touch("made"), no).await;
    assert!(!made(&play, "made"));
    let told = play.asked_model();
    assert!(
        json!(told.messages())
            .to_string()
            .contains("not on a Friday")
    );
    insta::assert_snapshot!(play.finish().await, @r#"t1: started tool_use(Bash) permission_request permission_resolved(denied) tool_result(error) text_delta text completed "So be it.""#);
}

/// Nothing was said and nothing was done: the turn may be tried elsewhere.
#[tokio::test]
async fn t09e_perm_deny_interrupt() {
    let mut play = Play::with(asking).await;
    let stop = json!({"behavior": "deny", "message": "stop", "interrupt": true});
    answered(&mut play, "t1", touch("made"), stop).await;
    assert!(!made(&play, "made"));
    insta::assert_snapshot!(play.finish().await, @"t1: started tool_use(Bash) permission_request permission_resolved(denied) tool_result(error) failed(interrupted)");
}

#[tokio::test]
async fn t09f_perm_allow_always_suggestion() {
    let mut play = Play::with(asking).await;
    play.act("t1", touch("made")).await;
    let asked = play.asked(1).await;
    let suggestions = &asked["request"]["permission_suggestions"];
    assert!(!suggestions.as_array().unwrap().is_empty(), "{asked}");
    let told = play.transcript().await;
    let told = told.of("t1").find_map(|event| match &event.event {
        Event::PermissionRequest { suggestions, .. } => Some(json!(suggestions)),
        _ => None,
    });
    assert_eq!(told.as_ref(), Some(suggestions), "a reader gets them too");
    let always = json!({
        "behavior": "allow",
        "updatedInput": asked["request"]["input"],
        "updatedPermissions": suggestions,
    });
    play.permit(&asked, always).await;
    play.rig.ending("t1").await;
    // Once more, and nobody is asked.
    std::fs::remove_file(play.rig.dir.path().join("work/made")).unwrap();
    play.acted("t2", touch("made")).await;
    assert!(made(&play, "made"));
    insta::assert_snapshot!(play.finish().await, @r#"
    t1: started tool_use(Bash) permission_request permission_resolved(allowed) tool_result text_delta text completed "So be it."
    t2: started tool_use(Bash) tool_result text_delta text completed "So be it."
    "#);
}

/// An answer that the CLI cannot read is a no.
#[tokio::test]
async fn t09h_perm_malformed_response() {
    let mut play = Play::with(asking).await;
    answered(
        &mut play,
        "t1",
        touch("made"),
        json!({"behaviour": "perhaps"}),
    )
    .await;
    assert!(!made(&play, "made"));
    insta::assert_snapshot!(play.finish().await, @r#"t1: started tool_use(Bash) permission_request permission_resolved(denied) tool_result(error) text_delta text completed "So be it.""#);
}

/// An answer to a question that nobody asked changes nothing, and one that comes twice neither.
#[tokio::test]
async fn t10h_answers_to_no_open_request() {
    let mut play = Play::with(asking).await;
    play.act("t1", touch("made")).await;
    let asked = play.asked(1).await;
    play.permit(
        &json!({"request_id": "nobody"}),
        json!({"behavior": "allow"}),
    )
    .await;
    assert!(!made(&play, "made"));
    play.permit(&asked, json!({"behavior": "allow"})).await;
    play.permit(&asked, json!({"behavior": "deny", "message": "too late"}))
        .await;
    play.rig.ending("t1").await;
    assert!(made(&play, "made"));
    insta::assert_snapshot!(play.finish().await, @r#"t1: started tool_use(Bash) permission_request permission_resolved(allowed) tool_result text_delta text completed "So be it.""#);
}

/// Two tools that both ask: each answer goes to its own question.
#[tokio::test]
async fn two_questions_one_yes_one_no() {
    let mut play = Play::with(asking).await;
    let both = json!([
        {"toolUse": [
            {"id": "toolu_a", "name": "Bash", "input": {"command": "touch a"}},
            {"id": "toolu_b", "name": "Bash", "input": {"command": "touch b"}},
        ]},
        {"text": "One of them."},
    ]);
    play.act("t1", both).await;
    for number in [1, 2] {
        let asked = play.asked(number).await;
        let answer = if asked["request"]["tool_use_id"] == "toolu_a" {
            json!({"behavior": "deny", "message": "no"})
        } else {
            json!({"behavior": "allow"})
        };
        play.permit(&asked, answer).await;
    }
    play.rig.ending("t1").await;
    assert_eq!((made(&play, "a"), made(&play, "b")), (false, true));
    play.finish().await;
}

fn question() -> Value {
    json!({"questions": [{
        "question": "Which colour?",
        "header": "Colour",
        "options": [
            {"label": "Red", "description": "warm"},
            {"label": "Blue", "description": "cold"},
        ],
        "multiSelect": false,
    }]})
}

fn asks() -> Value {
    json!([
        {"toolUse": {"name": "AskUserQuestion", "input": question()}},
        {"text": "The answer is here: {{toolResult}}"},
    ])
}

#[tokio::test]
async fn t09i_ask_user_question() {
    let mut play = Play::begin().await;
    let mut input = question();
    input["answers"] = json!({"Which colour?": "Blue"});
    let answer = json!({"behavior": "allow", "updatedInput": input});
    let ending = answered(&mut play, "t1", asks(), answer).await;
    let text = ending["text"].as_str().unwrap();
    assert!(
        text.contains("Which colour?") && text.contains("Blue"),
        "{text}"
    );
    insta::assert_snapshot!(play.finish().await, @r#"t1: started tool_use(AskUserQuestion) permission_request permission_resolved(allowed) tool_result text_delta text completed "The answer is here: Your questions have been answered: \"Whic""#);
}

#[tokio::test]
async fn t09j_ask_user_question_deny() {
    let mut play = Play::begin().await;
    let no = json!({"behavior": "deny", "message": "I will not say"});
    let ending = answered(&mut play, "t1", asks(), no).await;
    assert!(
        ending["text"].as_str().unwrap().contains("I will not say"),
        "{ending}"
    );
    insta::assert_snapshot!(play.finish().await, @r#"t1: started tool_use(AskUserQuestion) permission_request permission_resolved(denied) tool_result(error) text_delta text completed "The answer is here: I will not say""#);
}

/// A question to a person is one, also where nothing else is asked about.
#[tokio::test]
async fn t10f_a_question_without_permissions() {
    let mut play = Play::with(|boot| boot.claude.skip_permissions = true).await;
    play.acted("t1", touch("made")).await;
    assert!(made(&play, "made"));
    let mut input = question();
    input["answers"] = json!({"Which colour?": "Red"});
    let answer = json!({"behavior": "allow", "updatedInput": input});
    let ending = answered(&mut play, "t2", asks(), answer).await;
    assert!(ending["text"].as_str().unwrap().contains("Red"), "{ending}");
    insta::assert_snapshot!(play.finish().await, @r#"
    t1: started tool_use(Bash) tool_result text_delta text completed "So be it."
    t2: started tool_use(AskUserQuestion) permission_request permission_resolved(allowed) tool_result text_delta text completed "The answer is here: Your questions have been answered: \"Whic"
    "#);
}

#[tokio::test]
async fn t09m_write() {
    let mut play = Play::with(asking).await;
    let file = play.rig.dir.path().join("work/new.txt");
    let scene = json!([
        {"toolUse": {"name": "Write", "input": {"file_path": file, "content": "heron\n"}}},
        {"text": "Written."},
    ]);
    answered(&mut play, "t1", scene, json!({"behavior": "allow"})).await;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "heron\n");
    insta::assert_snapshot!(play.finish().await, @r#"t1: started tool_use(Write) permission_request permission_resolved(allowed) tool_result text_delta text completed "Written.""#);
}

#[tokio::test]
async fn t09n_write_outside_cwd() {
    let mut play = Play::with(asking).await;
    let file = play.rig.dir.path().join("outside.txt");
    let scene = json!([
        {"toolUse": {"name": "Write", "input": {"file_path": file, "content": "heron\n"}}},
        {"text": "Not written."},
    ]);
    let no = json!({"behavior": "deny", "message": "stay inside"});
    answered(&mut play, "t1", scene, no).await;
    assert!(!file.exists());
    insta::assert_snapshot!(play.finish().await, @r#"t1: started tool_use(Write) permission_request permission_resolved(denied) tool_result(error) text_delta text completed "Not written.""#);
}

#[tokio::test]
async fn t09p_plan_exit() {
    let mut play = Play::with(|boot| {
        asking(boot);
        boot.claude.permission_mode = Some("plan".to_owned());
    })
    .await;
    let scene = json!([
        {"toolUse": {"name": "ExitPlanMode", "input": {"plan": "1. Do it."}}},
        {"text": "The plan stands."},
    ]);
    let allow = json!({"behavior": "allow", "updatedInput": {"plan": "1. Do it."}});
    answered(&mut play, "t1", scene, allow).await;
    insta::assert_snapshot!(play.finish().await, @r#"t1: started tool_use(ExitPlanMode) permission_request permission_resolved(allowed) tool_result text_delta text completed "The plan stands.""#);
}

#[tokio::test]
async fn t10a_interrupt_while_permission_pending() {
    let mut play = Play::with(asking).await;
    play.act("t1", touch("made")).await;
    let asked = play.asked(1).await;
    play.rig.control("interrupt").await;
    play.rig.ending("t1").await;
    play.permit(&asked, json!({"behavior": "allow"})).await;
    play.said("t2", "[[script:hello]]").await;
    assert!(!made(&play, "made"));
    insta::assert_snapshot!(play.finish().await, @r#"
    t1: started tool_use(Bash) permission_request status(permission_withdrawn) permission_resolved(withdrawn) tool_result(error) failed(interrupted)
    t2: started text_delta text completed "Hello from the scripted model."
    "#);
}

/// A question is no silence: it waits longer than a stall may last.
#[tokio::test]
async fn a_question_is_no_stall() {
    let mut play = Play::with(|boot| {
        asking(boot);
        boot.stall_ms = 700;
    })
    .await;
    play.act("t1", touch("made")).await;
    let asked = play.asked(1).await;
    // There is nothing to be heard that it could wait for: twice the limit is to pass in silence.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    play.permit(&asked, json!({"behavior": "allow"})).await;
    play.rig.ending("t1").await;
    insta::assert_snapshot!(play.finish().await, @r#"t1: started tool_use(Bash) permission_request permission_resolved(allowed) tool_result text_delta text completed "So be it.""#);
}

/// Refused without a question, and said so.
#[tokio::test]
async fn t09k_a_mode_that_does_not_ask() {
    let mut play = Play::with(|boot| {
        asking(boot);
        boot.claude.permission_mode = Some("dontAsk".to_owned());
    })
    .await;
    play.acted("t1", touch("made")).await;
    assert!(!made(&play, "made"));
    insta::assert_snapshot!(play.finish().await, @r#"t1: started tool_use(Bash) status(permission_denied) tool_result(error) text_delta text completed "So be it.""#);
}

#[tokio::test]
async fn a_rule_that_denies() {
    let settings = json!({"permissions": {"deny": ["Bash(touch:*)"]}});
    let arguments = ["--settings".to_owned(), settings.to_string()];
    let mut play = Play::with(|boot| boot.claude.extra_args.extend(arguments)).await;
    play.acted("t1", touch("made")).await;
    assert!(!made(&play, "made"));
    insta::assert_snapshot!(play.finish().await, @r#"t1: started tool_use(Bash) status(permission_denied) tool_result(error) text_delta text completed "So be it.""#);
}

/// A hook of the settings says no before anybody is asked, so nothing has acted when the turn fails.
#[tokio::test]
async fn a_hook_that_denies() {
    let output = json!({"hookSpecificOutput": {
        "hookEventName": "PreToolUse",
        "permissionDecision": "deny",
        "permissionDecisionReason": "the hook says no",
    }});
    let hook = json!([{"matcher": "Bash", "hooks": [{"type": "command", "command": format!("echo '{output}'")}]}]);
    let settings = json!({"hooks": {"PreToolUse": hook}});
    let arguments = ["--settings".to_owned(), settings.to_string()];
    let mut play = Play::with(|boot| boot.claude.extra_args.extend(arguments)).await;
    let scene = json!([
        {"toolUse": {"name": "Bash", "input": {"command": "touch made"}}},
        {"error": 400},
    ]);
    play.acted("t1", scene).await;
    assert!(!made(&play, "made"));
    insta::assert_snapshot!(play.finish().await, @"t1: started tool_use(Bash) tool_result(error) failed(invalid_request)");
}

/// Denied, so nothing has acted when the turn fails.
#[tokio::test]
async fn a_denied_tool_has_not_acted() {
    let mut play = Play::with(asking).await;
    let mut scene = touch("made");
    scene[1] = json!({"error": 400});
    let no = json!({"behavior": "deny", "message": "no"});
    answered(&mut play, "t1", scene, no).await;
    insta::assert_snapshot!(play.finish().await, @"t1: started tool_use(Bash) permission_request permission_resolved(denied) tool_result(error) failed(invalid_request)");
}

/// It was allowed to run, and what it did before it failed is done.
#[tokio::test]
async fn a_permitted_tool_that_fails_has_acted() {
    let mut play = Play::with(asking).await;
    let scene = json!([
        {"toolUse": {"name": "Bash", "input": {"command": "touch made; exit 3"}}},
        {"error": 400},
    ]);
    answered(&mut play, "t1", scene, json!({"behavior": "allow"})).await;
    assert!(made(&play, "made"));
    insta::assert_snapshot!(play.finish().await, @"t1: started tool_use(Bash) permission_request permission_resolved(allowed) tool_result(error) failed(invalid_request, acted)");
}

#[tokio::test]
async fn a_permitted_tool_that_is_interrupted_has_acted() {
    let mut play = Play::with(asking).await;
    let scene = json!([
        {"toolUse": {"name": "Bash", "input": {"command": "touch made; sleep 60"}}},
        {"text": "never"},
    ]);
    play.act("t1", scene).await;
    play.permit(&play.asked(1).await, json!({"behavior": "allow"}))
        .await;
    eventually("it has acted", || async {
        made(&play, "made").then_some(())
    })
    .await;
    eventually("the state says so", || async {
        let acted = play.rig.state(field::TOOL_EFFECTS).await;
        acted.filter(|acted| acted == "true")
    })
    .await;
    play.rig.control("interrupt").await;
    play.rig.ending("t1").await;
    insta::assert_snapshot!(play.finish().await, @"t1: started tool_use(Bash) permission_request permission_resolved(allowed) tool_result(error) failed(interrupted, acted)");
}

/// Nobody answers: the policy does, and the state says so.
#[tokio::test]
async fn the_policy_answers_in_time() {
    for (on_timeout, made_it) in [(Behavior::Deny, false), (Behavior::Allow, true)] {
        let mut play = Play::with(|boot| {
            asking(boot);
            boot.permission_ms = Some(300);
            boot.on_permission_timeout = on_timeout;
        })
        .await;
        play.acted("t1", touch("made")).await;
        assert_eq!(made(&play, "made"), made_it);
        let settled = play.rig.state(field::PERMISSIONS_SETTLED).await.unwrap();
        let settled = listed::<SettledPermission>(&settled);
        assert_eq!(settled.len(), 1);
        assert_eq!(settled[0].behavior, Some(on_timeout));
        let open = play.rig.state(field::PERMISSIONS).await;
        assert_eq!(open.as_deref(), Some(""));
        let told = play.asked_model();
        let told = json!(told.messages()).to_string();
        assert_eq!(told.contains("nobody answered within 300 ms"), !made_it);
        let words = play.finish().await;
        assert!(
            words.contains("permission_request permission_resolved(timed_out) "),
            "{words}"
        );
    }
}

/// The state lists what waits, whoever looks.
#[tokio::test]
async fn the_state_lists_what_waits() {
    let mut play = Play::with(|boot| {
        asking(boot);
        boot.permission_ms = Some(60_000);
    })
    .await;
    play.act("t1", touch("made")).await;
    let asked = play.asked(1).await;
    let open = play.rig.state(field::PERMISSIONS).await.unwrap();
    let open = listed::<PendingPermission>(&open);
    let named = open[0].request_id.as_str();
    assert_eq!((open.len(), json!(named)), (1, asked["request_id"].clone()));
    assert_eq!(open[0].input.as_ref().unwrap(), &asked["request"]["input"]);
    let event = play.transcript().await;
    let event = event.of("t1").find_map(|event| match &event.event {
        Event::PermissionRequest { expires_at, .. } => Some((event.seq, *expires_at)),
        _ => None,
    });
    assert_eq!(event, Some((open[0].seq, open[0].expires_at)));
    let no = json!({"type": "answer", "requestId": named, "ticket": "x",
        "answer": {"behavior": "deny", "message": "no"}});
    play.rig.control(&no.to_string()).await;
    play.rig.ending("t1").await;
    let settled = play.rig.state(field::PERMISSIONS_SETTLED).await.unwrap();
    let settled = listed::<SettledPermission>(&settled);
    assert_eq!(settled[0].ticket.as_deref(), Some("x"));
    assert_eq!(
        play.rig.state(field::PERMISSIONS).await.as_deref(),
        Some("")
    );
    play.finish().await;
}
