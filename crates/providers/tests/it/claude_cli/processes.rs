//! How long processes stay, and what goes with them.

use std::time::Duration;

use ccpool::provider::{Conversation, Message};
use nix::sys::signal::{Signal, kill};
use serde_json::json;

use super::failures::until_spoken;
use super::rig::{Answer, Rig, eventually, scene};

#[tokio::test]
async fn an_idle_one_goes_in_time() {
    let rig = Rig::with(|config| config.timeouts.idle = Duration::from_millis(200)).await;
    let mut conversation = Conversation::default();
    rig.say(&mut conversation, "Hello.").await.completed();
    rig.deserted().await;
    rig.say(&mut conversation, "Go on.").await.completed();
    rig.finish().await;
}

#[tokio::test]
async fn the_one_that_has_waited_for_longest_makes_room() {
    let rig = Rig::with(|config| config.claude_cli.max_processes = 2).await;
    let mut conversations = [const { Vec::<Message>::new() }; 3].map(|messages| Conversation {
        messages,
        ..Conversation::default()
    });
    let mut sessions = Vec::new();
    for (conversation, text) in conversations.iter_mut().zip(["one", "two", "three"]) {
        let answer = rig.say(conversation, text).await;
        answer.completed();
        sessions.push(answer.session);
        assert!(rig.processes().len() <= 2);
    }
    let [first, second, third] = &mut conversations;
    let fresh = rig.say(first, "Go on.").await;
    assert!(!sessions.contains(&fresh.session), "{sessions:?}");
    assert_eq!(rig.say(third, "Go on.").await.session, sessions[2]);
    let fresh = rig.say(second, "Go on.").await;
    assert!(!sessions.contains(&fresh.session), "{sessions:?}");
    assert_eq!(rig.processes().len(), 2);
    rig.finish().await;
}

#[tokio::test]
async fn they_go_with_the_provider() {
    let rig = Rig::new().await;
    rig.say(&mut Conversation::default(), "Hello.").await;
    let process = rig.process();
    let Rig { provider, dir, .. } = rig;
    drop(provider);
    eventually("it has ended", async || kill(process, None).err()).await;
    eventually("its folder is gone", async || {
        let left = dir.path().join("data/claude-cli").read_dir();
        (left.unwrap().count() == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_a_tool_has_left_goes_with_its_process() {
    let rig = Rig::with(|config| {
        config.claude_cli.tools = vec!["Bash".to_owned()];
        config.claude_cli.skip_permissions = true;
    })
    .await;
    let mark = rig.dir.path().join("ran");
    let command = format!("touch {}; sleep 300", mark.display());
    let prompt = scene(&json!([
        {"text": "Let me see.", "toolUse": {"name": "Bash", "input": {"command": command}}},
        {"text": "done"},
    ]));
    let conversation = Conversation {
        messages: vec![Message::user(prompt)],
        ..Conversation::default()
    };
    let mut reply = rig.reply(&conversation).await.unwrap();
    until_spoken(&mut reply.events).await;
    eventually("the tool runs", async || mark.exists().then_some(())).await;
    assert!(rig.processes().len() > 1, "claude and its tool");
    kill(rig.process(), Signal::SIGKILL).unwrap();
    let answer = Answer::of(reply).await;
    let failed = answer.failed();
    assert!(failed.visible_output && failed.tool_effects, "{failed:?}");
    rig.deserted().await;
    rig.finish().await;
}
