//! A scripted model and the provider, in a directory of their own.

use std::collections::BTreeSet;
use std::path::Path;

use ccpool::config::{Config, Secret};
use ccpool::provider::{Conversation, Message, Provider, Refused, Reply, Spoken};
use ccpool_protocol::event::{Event, Failed, ReplyEvent};
use ccpool_providers::ClaudeCli;
use ccpool_scripted_model::{RecordedRequest, ScriptedModel};
use ccpool_testing::claude;
pub(crate) use ccpool_testing::{PATIENCE, eventually};
use futures::StreamExt;
use nix::unistd::Pid;
use serde_json::Value;
use std::sync::Arc;
use tempfile::TempDir;

pub(crate) struct Rig {
    pub(crate) model: ScriptedModel,
    pub(crate) provider: ClaudeCli,
    pub(crate) dir: TempDir,
}

impl Rig {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// With another configuration.
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        std::fs::create_dir(&home).unwrap();
        let model = ScriptedModel::start("127.0.0.1:0".parse().unwrap()).await;
        let model = model.unwrap();
        let mut config = Config {
            data_dir: dir.path().join("data"),
            ..Config::default()
        };
        config.claude_cli.path = claude();
        config.claude_cli.clear_env = true;
        for (name, value) in [
            ("HOME", home.display().to_string()),
            ("ANTHROPIC_BASE_URL", model.base_url()),
            ("ANTHROPIC_API_KEY", "sk-ant-fake".to_owned()),
            ("CLAUDE_CODE_MAX_RETRIES", "0".to_owned()),
        ] {
            set(&mut config, name, &value);
        }
        change(&mut config);
        Self {
            provider: ClaudeCli::new(&config),
            model,
            dir,
        }
    }

    /// The processes of this provider, and what they have started: all that have its HOME.
    pub(crate) fn processes(&self) -> BTreeSet<i32> {
        with_home(&self.dir.path().join("home"))
    }

    /// The one `claude` of this provider.
    pub(crate) fn process(&self) -> Pid {
        let ours = self.processes().into_iter().filter(|pid| is_child(*pid));
        let ours: Vec<i32> = ours.collect();
        assert_eq!(ours.len(), 1, "{ours:?}");
        Pid::from_raw(ours[0])
    }

    /// Waits until no process is left.
    pub(crate) async fn deserted(&self) {
        eventually("no process is left", async || {
            self.processes().is_empty().then_some(())
        })
        .await;
    }

    pub(crate) async fn reply(&self, conversation: &Conversation) -> Result<Reply, Refused> {
        self.provider.reply(conversation.clone()).await
    }

    /// The whole answer, after which the conversation has it.
    pub(crate) async fn answer(&self, conversation: &mut Conversation) -> Answer {
        let reply = self.reply(conversation).await.unwrap();
        let answer = Answer::of(reply).await;
        let said = Message::assistant(answer.text.clone());
        conversation.messages.push(said);
        answer
    }

    /// A text of the user's, and the whole answer.
    pub(crate) async fn say(&self, conversation: &mut Conversation, text: &str) -> Answer {
        conversation.messages.push(Message::user(text));
        self.answer(conversation).await
    }

    /// The newest request for an answer that the model has got.
    pub(crate) fn asked(&self) -> Arc<RecordedRequest> {
        let requests = self.model.requests().into_iter();
        let mut streamed = requests.filter(|request| request.stream);
        streamed.next_back().expect("the model was asked")
    }

    /// The messages of that request as JSON text.
    pub(crate) fn told(&self) -> String {
        self.asked().body().unwrap()["messages"].to_string()
    }

    /// Ends the provider, and sees that nothing is left of it.
    pub(crate) async fn finish(self) {
        self.provider.shutdown(PATIENCE).await;
        assert_eq!(self.processes(), BTreeSet::new());
        let data = self.dir.path().join("data/claude-cli");
        let Self {
            provider,
            dir,
            model,
        } = self;
        drop(provider);
        let left = data.read_dir().map_or(0, Iterator::count);
        assert_eq!(left, 0, "folders are left");
        model.shutdown().await;
        drop(dir);
    }
}

pub(crate) fn set(config: &mut Config, name: &str, value: &str) {
    let env = &mut config.claude_cli.env;
    env.insert(name.to_owned(), Secret::new(value));
}

/// A prompt to which the model plays this scene.
pub(crate) fn scene(scene: &Value) -> String {
    format!("[[do: {scene}]]")
}

/// An answer that was read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) session: String,
    pub(crate) text: String,
    pub(crate) events: Vec<ReplyEvent>,
}

impl Answer {
    pub(crate) async fn of(mut reply: Reply) -> Self {
        let mut events = Vec::new();
        let mut spoken = Spoken::default();
        let read = async {
            while let Some(event) = reply.events.next().await {
                spoken.hear(&event.event);
                events.push(event);
            }
        };
        let read = tokio::time::timeout(PATIENCE, read).await;
        read.unwrap_or_else(|_| panic!("the answer does not end"));
        let ends = events.iter().filter(|event| event.event.is_terminal());
        assert_eq!(ends.count(), 1, "{events:?}");
        assert!(events.last().unwrap().event.is_terminal(), "{events:?}");
        assert!(events.is_sorted_by_key(|event| event.seq), "{events:?}");
        assert!(events.iter().all(|event| event.turn == reply.turn));
        Self {
            session: reply.session.expect("a session").to_string(),
            text: spoken.text().to_owned(),
            events,
        }
    }

    pub(crate) fn ending(&self) -> &Event {
        &self.events.last().expect("an answer has an end").event
    }

    pub(crate) fn completed(&self) -> &str {
        match self.ending() {
            Event::Completed(completed) => &completed.text,
            other => panic!("not completed: {other:?}"),
        }
    }

    pub(crate) fn failed(&self) -> &Failed {
        match self.ending() {
            Event::Failed(failed) => failed,
            other => panic!("not failed: {other:?}"),
        }
    }

    pub(crate) fn names(&self) -> Vec<&'static str> {
        let names = self.events.iter().map(|event| event.event.type_name());
        names.collect()
    }
}

fn is_child(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let parents = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    parents.is_some_and(|parent| parent.trim() == std::process::id().to_string())
}

fn with_home(home: &Path) -> BTreeSet<i32> {
    let mark = format!("HOME={}", home.display());
    let entries = Path::new("/proc").read_dir().expect("/proc can be read");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let mut variables = environment.split(|byte| *byte == 0);
        variables.any(|variable| variable == mark.as_bytes())
    })
    .collect()
}
