//! A pool on the process runtime, and clients that tell their conversations.

use std::collections::BTreeMap;
use std::sync::Arc;

use ccpool::config::Config;
use ccpool::provider::{Conversation, Message, PoolProvider, Provider, Refused, Reply, Spoken};
use ccpool::runtime::ProcessRuntime;
use ccpool::{EmbeddedRedis, Event, Pool, PoolParts, RedisAddress, SessionId};
use ccpool_scripted_model::{RecordedRequest, ScriptedModel};
use ccpool_testing::{claude, wrapper};
use futures::StreamExt;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{PATIENCE, eventually};

/// Everything real but the model.
pub(crate) struct Stage {
    pub(crate) pool: Pool,
    pub(crate) provider: PoolProvider,
    pub(crate) model: ScriptedModel,
    pub(crate) redis: EmbeddedRedis,
    _dir: TempDir,
}

/// A client's conversation.
#[derive(Clone)]
pub(crate) struct Talk(pub(crate) Conversation);

/// An answer that was read to its end.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) session: SessionId,
    /// As a client of OpenAI's interface is sent it.
    pub(crate) text: String,
    pub(crate) ending: Event,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// With another configuration.
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        // Short: a Unix socket's path has 107 bytes.
        let dir = TempDir::with_prefix("ccp-").unwrap();
        let model = ScriptedModel::start("127.0.0.1:0".parse().unwrap());
        let model = model.await.unwrap();
        let redis = EmbeddedRedis::start(dir.path()).await.unwrap();
        let mut config = Config::processes(dir.path());
        config.claude.path = claude();
        config.pool.min_warm = 1;
        config.pool.max_total = 4;
        config.pool.max_per_agent = 4;
        // On a busy machine containers boot slowly.
        config.pool.claim_timeout = 3 * PATIENCE;
        change(&mut config);
        let pool = Pool::start(PoolParts {
            runtime: Arc::new(ProcessRuntime::new(&config, wrapper())),
            redis: RedisAddress::resolve(&config, Some(&redis.url()), None).unwrap(),
            mcp_url: None,
            credentials: BTreeMap::from([
                ("ANTHROPIC_API_KEY".to_owned(), "sk-ant-fake".to_owned()),
                ("ANTHROPIC_BASE_URL".to_owned(), model.base_url()),
            ]),
            config: Arc::new(config),
        });
        let pool = pool.await.unwrap();
        Self {
            provider: PoolProvider::new(pool.clone()),
            pool,
            model,
            redis,
            _dir: dir,
        }
    }

    pub(crate) async fn stop(self) {
        self.pool.shutdown(std::time::Duration::from_secs(5)).await;
        self.redis.stop().await;
        self.model.shutdown().await;
    }

    pub(crate) async fn reply(&self, talk: &Talk) -> Result<Reply, Refused> {
        self.provider.reply(talk.0.clone()).await
    }

    /// Lets the client say something, and writes down the answer as it would.
    pub(crate) async fn say(&self, talk: &mut Talk, text: &str) -> Told {
        talk.0.messages.push(Message::user(text));
        self.go_on(talk).await
    }

    /// The same, of a conversation whose end awaits an answer.
    pub(crate) async fn go_on(&self, talk: &mut Talk) -> Told {
        let told = told(self.reply(talk).await.unwrap()).await;
        let calls = match &told.ending {
            Event::FunctionCalls { calls, .. } => calls.clone(),
            Event::Completed(_) => Vec::new(),
            other => panic!("{other:?}"),
        };
        talk.0.messages.push(Message::Assistant {
            text: told.text.clone(),
            calls,
        });
        told
    }

    /// The newest request of the model whose prompt ends with this.
    pub(crate) fn asked(&self, prompt: &str) -> Arc<RecordedRequest> {
        let requests = self.model.requests();
        let mut newest = requests.iter().rev().filter(|request| request.stream);
        let found = newest.find(|request| {
            let texts = request.texts_of_role("user");
            texts.last().is_some_and(|text| text.ends_with(prompt))
        });
        Arc::clone(found.unwrap_or_else(|| panic!("the model was not asked {prompt:?}")))
    }

    /// Waits until nobody serves a session.
    pub(crate) async fn ended(&self, session: &SessionId) {
        eventually(&format!("{session} has ended"), async || {
            let live = self.pool.sessions().await.unwrap();
            let lives = live.iter().any(|info| info.session == *session);
            (!lives).then_some(())
        })
        .await;
    }

    /// The sessions that live.
    pub(crate) async fn live(&self) -> Vec<String> {
        let live = self.pool.sessions().await.unwrap().into_iter();
        let mut live: Vec<String> = live.map(|info| info.session.to_string()).collect();
        live.sort();
        live
    }
}

impl Talk {
    pub(crate) fn of(caller: &str) -> Self {
        Self(Conversation {
            caller: caller.to_owned(),
            ..Conversation::default()
        })
    }

    pub(crate) fn named(caller: &str, name: &str) -> Self {
        let mut talk = Self::of(caller);
        talk.0.name = Some(name.to_owned());
        talk
    }
}

/// Reads an answer to its end.
pub(crate) async fn told(mut reply: Reply) -> Told {
    let mut spoken = Spoken::default();
    let mut text = String::new();
    let mut ending = None;
    let read = async {
        while let Some(event) = reply.events.next().await {
            assert!(ending.is_none(), "{event:?} after the end");
            text.extend(spoken.hear(&event.event));
            if event.event.is_terminal() || matches!(event.event, Event::FunctionCalls { .. }) {
                ending = Some(event.event);
            }
        }
    };
    let read = tokio::time::timeout(3 * PATIENCE, read).await;
    read.expect("an answer has an end");
    assert_eq!(text, spoken.text());
    Told {
        session: reply.session.expect("the pool answers in sessions"),
        text,
        ending: ending.expect("an ending"),
    }
}

/// How often a text occurs in what the model was asked.
pub(crate) fn count(request: &RecordedRequest, text: &str) -> usize {
    let body = request.body().expect("the body is kept");
    let messages = body["messages"].as_array().expect("messages");
    let texts = |value: &Value| match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(blocks) => blocks
            .iter()
            .filter_map(|block| block["text"].as_str().map(str::to_owned))
            .collect(),
        _ => Vec::new(),
    };
    let all = messages
        .iter()
        .flat_map(|message| texts(&message["content"]));
    all.map(|said| said.matches(text).count()).sum()
}
