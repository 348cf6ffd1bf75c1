//! What the CLI may do here, and what it gets of its user's.

use ccpool::provider::Conversation;
use ccpool_protocol::event::Event;
use ccpool_protocol::permission::Behavior;
use ccpool_scripted_model::Auth;
use ccpool_scripted_model::record::Credential;
use serde_json::json;

use super::rig::{Answer, Rig, scene, set};

#[tokio::test]
async fn there_are_no_tools_and_nothing_of_the_users_own_set_up() {
    let rig = Rig::new().await;
    let config = rig.dir.path().join("home/.claude");
    let hooked = rig.dir.path().join("hooked");
    std::fs::create_dir(&config).unwrap();
    std::fs::write(config.join("CLAUDE.md"), "The owner likes tea.").unwrap();
    let hook = json!({"type": "command", "command": format!("touch {}", hooked.display())});
    let settings = json!({"hooks": {"UserPromptSubmit": [{"hooks": [hook]}]}});
    std::fs::write(config.join("settings.json"), settings.to_string()).unwrap();
    let mut conversation = Conversation::default();
    rig.say(&mut conversation, "/context @settings.json")
        .await
        .completed();
    let asked = rig.asked();
    assert_eq!(asked.tool_names, Vec::<String>::new());
    let told = asked.body().unwrap().to_string();
    assert!(told.contains("/context @settings.json"), "{told}");
    assert!(!told.contains("likes tea"), "{told}");
    assert!(!hooked.exists());
    assert!(!config.join("projects").exists(), "a session was written");
    rig.finish().await;
}

#[tokio::test]
async fn it_is_logged_in_as_its_user_is() {
    let rig = Rig::with(|config| set(config, "ANTHROPIC_API_KEY", "")).await;
    let config = rig.dir.path().join("home/.claude");
    std::fs::create_dir(&config).unwrap();
    let login = json!({"claudeAiOauth": {
        "accessToken": "sk-ant-oat-fake",
        "refreshToken": "sk-ant-ort-fake",
        "expiresAt": 4_102_444_800_000_u64,
        "scopes": ["user:inference"],
        "subscriptionType": "max",
    }});
    std::fs::write(config.join(".credentials.json"), login.to_string()).unwrap();
    let mut conversation = Conversation::default();
    rig.say(&mut conversation, "Hello.").await.completed();
    let credential = Credential::Fake("sk-ant-oat-fake".to_owned());
    assert_eq!(rig.asked().auth, Auth::Bearer { credential });
    rig.finish().await;
}

fn bash(command: &str) -> String {
    scene(&json!([
        {"toolUse": {"name": "Bash", "input": {"command": command}}},
        {"text": "It said: {{toolResult}}"},
    ]))
}

fn settled(answer: &Answer) -> Vec<Behavior> {
    let settled = answer.events.iter().filter_map(|event| match &event.event {
        Event::PermissionResolved { behavior, .. } => *behavior,
        _ => None,
    });
    settled.collect()
}

#[tokio::test]
async fn what_the_cli_asks_is_denied() {
    let rig = Rig::with(|config| config.claude_cli.tools = vec!["Bash".to_owned()]).await;
    let mark = rig.dir.path().join("ran");
    let prompt = bash(&format!("touch {}", mark.display()));
    let answer = rig.say(&mut Conversation::default(), &prompt).await;
    assert!(answer.completed().contains("Nobody is there"), "{answer:?}");
    assert_eq!(settled(&answer), [Behavior::Deny]);
    assert!(!mark.exists());
    rig.finish().await;
}

#[tokio::test]
async fn it_is_allowed_where_permissions_are_skipped() {
    let rig = Rig::with(|config| {
        config.claude_cli.tools = vec!["Bash".to_owned()];
        config.claude_cli.skip_permissions = true;
    })
    .await;
    let mark = rig.dir.path().join("ran");
    let prompt = bash(&format!("touch {} && pwd", mark.display()));
    let answer = rig.say(&mut Conversation::default(), &prompt).await;
    let folders = rig.dir.path().join("data/claude-cli").display().to_string();
    assert!(answer.completed().contains(&folders), "{answer:?}");
    assert_eq!(settled(&answer), [Behavior::Allow]);
    assert!(mark.exists());
    rig.finish().await;
}

#[tokio::test]
async fn it_works_where_it_is_told_to() {
    let place = tempfile::tempdir().unwrap();
    let rig = Rig::with(|config| {
        config.claude_cli.tools = vec!["Bash".to_owned()];
        config.claude_cli.skip_permissions = true;
        config.claude_cli.cwd = Some(place.path().to_owned());
    })
    .await;
    let prompt = bash("touch here");
    rig.say(&mut Conversation::default(), &prompt)
        .await
        .completed();
    assert!(place.path().join("here").exists());
    rig.finish().await;
}
