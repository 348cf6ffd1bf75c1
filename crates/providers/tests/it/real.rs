//! The chain over a real pool (real Redis, real wrapper, real `claude`) and the Messages API, each
//! with a model of its own, so that it is seen which one was asked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ccpool::config::{Config, Secret};
use ccpool::protocol::event::Event;
use ccpool::provider::{Conversation, Message, PoolProvider, Provider, Reply};
use ccpool::runtime::ProcessRuntime;
use ccpool::{FailureKind, HealthStatus, Pool, PoolParts, RedisAddress};
use ccpool_providers::{Anthropic, AnthropicSettings, Chain};
use ccpool_scripted_model::{ScriptFile, ScriptedModel};
use futures::StreamExt;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use redis::AsyncCommands;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::chain::all;
use ccpool_testing::{PATIENCE, RedisServer, claude, wrapper};

struct World {
    pool: Pool,
    chain: Chain,
    redis: RedisServer,
    /// Of `claude` in the pool.
    inside: ScriptedModel,
    /// Of the Messages API.
    straight: ScriptedModel,
    dir: TempDir,
}

impl World {
    /// A warm pool. `scene` is what its model always answers, if it is not to answer by itself.
    async fn new(scene: Option<&Value>, change: impl FnOnce(&mut Config)) -> Self {
        let dir = TempDir::with_prefix("ccp-").expect("a folder");
        let redis = RedisServer::start(dir.path()).await;
        let script = match scene {
            Some(scene) => {
                let script = json!({"scenes": {"always": scene}, "default": "always"});
                ScriptFile::parse(&script.to_string()).expect("a script")
            }
            None => ScriptFile::builtin(),
        };
        let address = ["127.0.0.1:0".parse().expect("an address")];
        let inside = ScriptedModel::start_with(&address, script).await;
        let straight = ScriptedModel::start_with(&address, ScriptFile::builtin()).await;
        let (inside, straight) = (inside.expect("a model"), straight.expect("a model"));

        let mut config = Config::processes(dir.path().join("data"));
        config.claude.path = claude();
        config.pool.min_warm = 1;
        config.pool.max_total = 4;
        config.timeouts.stop = Duration::from_secs(1);
        let once = Secret::new("0");
        config
            .claude
            .env
            .insert("CLAUDE_CODE_MAX_RETRIES".into(), once);
        config.model.fallbacks = vec!["anthropic/claude-x".parse().expect("a model")];
        change(&mut config);
        let config = Arc::new(config);
        let credentials = |model: &ScriptedModel| {
            BTreeMap::from([
                ("ANTHROPIC_API_KEY".to_owned(), "sk-ant-fake".to_owned()),
                ("ANTHROPIC_BASE_URL".to_owned(), model.base_url()),
            ])
        };
        let url = Secret::new(redis.url());
        let parts = PoolParts {
            runtime: Arc::new(ProcessRuntime::new(&config, wrapper())),
            redis: RedisAddress::resolve(&config, Some(&url), None).expect("an address"),
            mcp_url: None,
            credentials: credentials(&inside),
            config: Arc::clone(&config),
        };
        let pool = Pool::start(parts).await.expect("a pool");
        pool.wait_warm(1, PATIENCE).await.expect("it becomes warm");
        let settings = AnthropicSettings::of(&config, &credentials(&straight));
        let providers: Vec<Arc<dyn Provider>> = vec![
            Arc::new(PoolProvider::new(pool.clone())),
            Arc::new(Anthropic::new(settings.expect("settings"))),
        ];
        let chain = Chain::new(providers, &config).expect("a chain");
        Self {
            pool,
            chain,
            redis,
            inside,
            straight,
            dir,
        }
    }

    async fn ask(&self, conversation: Conversation) -> Reply {
        let reply = self.chain.reply(conversation);
        let reply = tokio::time::timeout(PATIENCE, reply).await;
        reply.expect("somebody answers in time").expect("an answer")
    }

    /// The process that runs as the container of this answer.
    async fn wrapper_of(&self, reply: &Reply) -> Pid {
        let snapshot = self.pool.snapshot().await.expect("a snapshot");
        let mut containers = snapshot.containers.iter();
        let own = containers.find(|one| one.session == reply.session);
        let container = &own.expect("a container").container;
        let prefix = &self.pool.config().redis.key_prefix;
        let record = format!("{prefix}pool:container:{container}");
        let pid: String = self
            .redis
            .connect()
            .await
            .hget(record, "runtimeId")
            .await
            .expect("it is in the record");
        Pid::from_raw(pid.parse().expect("a process id"))
    }

    async fn end(self) {
        self.pool.shutdown(Duration::from_secs(1)).await;
        self.inside.shutdown().await;
        self.straight.shutdown().await;
        drop(self.redis);
        self.dir.close().expect("the folder can go");
    }
}

fn asked(prompt: &str) -> Conversation {
    Conversation {
        caller: "somebody".into(),
        messages: vec![Message::user(prompt)],
        ..Conversation::default()
    }
}

fn text_of(events: &[Event]) -> String {
    match events.last() {
        Some(Event::Completed(completed)) => completed.text.clone(),
        other => panic!("it does not end well: {other:?}"),
    }
}

#[tokio::test]
async fn the_pool_answers_as_long_as_it_can() {
    let world = World::new(None, |_| {}).await;
    let health = world.chain.health().await;
    assert_eq!(health.status, HealthStatus::Ok, "{health:?}");
    let reply = world.ask(asked("hello")).await;
    assert_eq!(
        (&*reply.provider, &reply.passed[..]),
        ("docker-claude-code", &[][..])
    );
    assert_eq!(text_of(&all(reply).await), "You said: hello");
    assert!(world.straight.requests().is_empty());
    world.end().await;
}

#[tokio::test]
async fn what_the_model_refuses_inside_is_asked_elsewhere() {
    for (error, kind) in [
        (json!({"error": {"status": 529}}), FailureKind::Overloaded),
        (
            json!({"error": {"status": 429, "retryAfter": 3}}),
            FailureKind::RateLimited,
        ),
        (json!({"error": {"status": 401}}), FailureKind::Auth),
    ] {
        let world = World::new(Some(&error), |_| {}).await;
        let reply = world.ask(asked("hello")).await;
        assert_eq!(reply.provider, "anthropic", "{error}");
        assert_eq!(reply.passed[0].kind, kind, "{:?}", reply.passed);
        let events = all(reply).await;
        let Event::Status { detail, .. } = &events[0] else {
            panic!("{events:?}");
        };
        assert_eq!(detail["from"], "docker-claude-code/opus");
        assert_eq!(
            (&detail["to"], &detail["kind"]),
            (&json!("anthropic/claude-x"), &json!(kind))
        );
        assert_eq!(text_of(&events), "You said: hello");
        world.end().await;
    }
}

#[tokio::test]
async fn a_request_that_is_wrong_is_asked_nowhere_else() {
    let error = json!({"error": {"status": 400}});
    let world = World::new(Some(&error), |_| {}).await;
    let refused = world.chain.reply(asked("hello")).await;
    let refused = refused.expect_err("it is wrong");
    assert_eq!(refused.kind, FailureKind::InvalidRequest, "{refused}");
    assert!(world.straight.requests().is_empty());
    world.end().await;
}

#[tokio::test]
async fn an_exhausted_pool_sends_on_whoever_comes_too_late() {
    let world = World::new(None, |config| {
        config.pool.max_total = 1;
        config.pool.claim_timeout = Duration::ZERO;
    })
    .await;
    let scene = json!({"text": "one two three", "stallAfter": 1});
    let first = world.ask(asked(&format!("[[do: {scene}]]"))).await;
    assert_eq!(first.provider, "docker-claude-code");
    let second = world.ask(asked("hello")).await;
    assert_eq!(second.provider, "anthropic");
    assert_eq!(
        second.passed[0].kind,
        FailureKind::Exhausted,
        "{:?}",
        second.passed
    );
    assert_eq!(text_of(&all(second).await), "You said: hello");
    drop(first);
    world.end().await;
}

#[tokio::test]
async fn a_container_killed_in_the_middle_is_told_and_not_replaced() {
    let scene = json!({"text": "one two three four", "delayMs": 50, "stallAfter": 2});
    let world = World::new(Some(&scene), |_| {}).await;
    let mut reply = world.ask(asked("count")).await;
    let mut events = Vec::new();
    while !matches!(events.last(), Some(Event::TextDelta { .. })) {
        events.push(reply.events.next().await.expect("it goes on").event);
    }
    kill(world.wrapper_of(&reply).await, Signal::SIGKILL).expect("it can be killed");
    let rest = tokio::time::timeout(PATIENCE, all(reply)).await;
    events.extend(rest.expect("it ends in time"));
    let Some(Event::Failed(failed)) = events.last() else {
        panic!("{events:?}");
    };
    assert_eq!(failed.kind, FailureKind::ContainerLost, "{failed:?}");
    assert!(failed.visible_output, "{failed:?}");
    let ends = events.iter().filter(|event| event.is_terminal()).count();
    assert_eq!(ends, 1, "{events:?}");
    assert!(world.straight.requests().is_empty());
    world.end().await;
}

#[tokio::test]
async fn without_redis_the_conversation_moves_along() {
    let world = World::new(None, |_| {}).await;
    let first = world.ask(asked("My favourite colour is teal.")).await;
    assert_eq!(first.provider, "docker-claude-code");
    let said = text_of(&all(first).await);
    for frozen in [true, false] {
        match frozen {
            true => world.redis.freeze(true).await,
            false => {
                world.redis.freeze(false).await;
                world.redis.crash().await;
            }
        }
        let mut conversation = asked("My favourite colour is teal.");
        conversation.messages.extend([
            Message::assistant(said.clone()),
            Message::user("What is my favourite colour?"),
        ]);
        let reply = world.ask(conversation).await;
        assert_eq!((&*reply.provider, &*reply.model), ("anthropic", "claude-x"));
        assert_eq!(
            reply.passed[0].kind,
            FailureKind::Unavailable,
            "{:?}",
            reply.passed
        );
        assert!(text_of(&all(reply).await).contains("teal"));
    }
    let requests = world.straight.requests();
    assert_eq!(requests.len(), 2);
    let told = requests[0].messages();
    let roles: Vec<_> = told
        .iter()
        .map(|message| message["role"].as_str())
        .collect();
    assert_eq!(roles, [Some("user"), Some("assistant"), Some("user")]);
    assert_eq!(told[1]["content"][0]["text"], json!(said));
    let health = world.chain.health().await;
    assert_eq!(health.status, HealthStatus::Degraded, "{health:?}");
    world.end().await;
}
