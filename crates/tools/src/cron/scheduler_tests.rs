//! On a real Redis, with containers that never boot. The channel is a stand-in, which tells what it heard
//! and answers when it is told to.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use ccpool::config::RedisTarget;
use ccpool::runtime::FakeRuntime;
use ccpool::store::{Added, Job, JobId, JobState, NewJob};
use ccpool::{AgentId, EmbeddedRedis, PoolParts, RedisAddress, SessionId};
use ccpool_testing::{PATIENCE, eventually};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Notify;

use super::*;
use crate::cron::CronCreate;
use crate::{Call, Caller, GatewayTools, Progress, Refusal};

#[derive(Debug, Default)]
struct Channel {
    heard: Mutex<Vec<String>>,
    refuses: bool,
    /// Answers only when it is told to.
    holds: Option<Notify>,
}

#[async_trait]
impl Post for Channel {
    fn names(&self) -> Vec<String> {
        vec!["team".to_owned()]
    }

    async fn send(
        &self,
        channel: &str,
        from: &Caller,
        text: &str,
        _: &CancellationToken,
    ) -> Result<(), Refusal> {
        let heard = format!("{channel}: {text} ({} of {})", from.session, from.agent);
        self.heard.lock().unwrap().push(heard);
        if let Some(holds) = &self.holds {
            holds.notified().await;
        }
        if self.refuses {
            return Err(Refusal::new("The channel is closed."));
        }
        Ok(())
    }
}

impl Channel {
    fn heard(&self) -> Vec<String> {
        self.heard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

struct World {
    config: Arc<Config>,
    pool: Pool,
    _redis: EmbeddedRedis,
    _dir: TempDir,
}

impl World {
    async fn new(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let redis = EmbeddedRedis::start(dir.path()).await.unwrap();
        let mut config = Config::default();
        config.redis.url = RedisTarget::Embedded;
        config.data_dir = dir.path().to_owned();
        config.pool.min_warm = 0;
        change(&mut config);
        let config = Arc::new(config);
        let parts = PoolParts {
            redis: RedisAddress::resolve(&config, Some(&redis.url()), None).unwrap(),
            config: Arc::clone(&config),
            runtime: Arc::new(FakeRuntime::default()),
            mcp_url: None,
            credentials: BTreeMap::new(),
        };
        Self {
            pool: Pool::start(parts).await.unwrap(),
            config,
            _redis: redis,
            _dir: dir,
        }
    }

    /// Has a message sent a moment from now.
    async fn message(&self, channel: &Arc<Channel>) -> Result<(), Refusal> {
        self.create(json!({"message": "tea", "channel": "team"}), channel)
            .await
    }

    async fn create(&self, mut arguments: Value, channel: &Arc<Channel>) -> Result<(), Refusal> {
        let post: Arc<dyn Post> = Arc::clone(channel) as _;
        let tools = GatewayTools::empty().with(CronCreate::new(&self.pool, &self.config, post));
        let at = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(2);
        arguments["at"] = json!(at.to_string());
        let call = Call {
            caller: Caller {
                depth: 0,
                session: SessionId::new("s1").unwrap(),
                agent: AgentId::new("main").unwrap(),
            },
            cancelled: CancellationToken::new(),
            progress: Progress::default(),
        };
        let arguments = arguments.as_object().unwrap().clone();
        tools.call("cron_create", arguments, call).await.map(|_| ())
    }

    fn schedule(&self, channel: &Arc<Channel>) -> Scheduler {
        Scheduler::with_post(&self.pool, &self.config, Arc::clone(channel) as _)
    }

    async fn job(&self) -> Job {
        let agent = AgentId::new("main").unwrap();
        let mut all = self.pool.jobs().of_agent(&agent).await.unwrap();
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    /// What came of the job, once it is known.
    async fn outcome(&self) -> String {
        let last = eventually("the job has run", async || self.job().await.last);
        last.await.outcome
    }
}

fn deny(tool: &str) -> impl FnOnce(&mut Config) {
    |config| config.tools.rules.deny = vec![tool.to_owned()]
}

#[tokio::test]
async fn a_message_is_sent_once_by_many() {
    let world = World::new(|_| {}).await;
    let channel = Arc::new(Channel::default());
    let schedulers: Vec<Scheduler> = (0..4).map(|_| world.schedule(&channel)).collect();
    world.message(&channel).await.unwrap();
    assert_eq!(world.outcome().await, "ok: message sent to team");
    for scheduler in &schedulers {
        scheduler.shutdown(PATIENCE).await;
    }
    assert_eq!(channel.heard(), ["team: tea (s1 of main)"]);
    assert_eq!(world.job().await.runs, 1);
}

#[tokio::test]
async fn a_channel_that_refuses_is_told_of() {
    let world = World::new(|_| {}).await;
    let channel = Arc::new(Channel {
        refuses: true,
        ..Channel::default()
    });
    let scheduler = world.schedule(&channel);
    world.message(&channel).await.unwrap();
    assert_eq!(world.outcome().await, "failed: The channel is closed.");
    scheduler.shutdown(PATIENCE).await;
    assert_eq!(channel.heard().len(), 1, "it is not tried again");
}

#[tokio::test]
async fn a_gateway_that_stops_waits_for_a_message_under_way() {
    let world = World::new(|_| {}).await;
    let channel = Arc::new(Channel {
        holds: Some(Notify::new()),
        ..Channel::default()
    });
    let scheduler = world.schedule(&channel);
    world.message(&channel).await.unwrap();
    let heard = async || (!channel.heard().is_empty()).then_some(());
    eventually("the channel hears it", heard).await;
    let release = async {
        tokio::task::yield_now().await;
        assert_eq!(world.job().await.last, None);
        channel.holds.as_ref().unwrap().notify_one();
    };
    tokio::join!(scheduler.shutdown(PATIENCE), release);
    let last = world.job().await.last.expect("it is written down");
    assert_eq!(last.outcome, "ok: message sent to team");
}

#[tokio::test]
async fn who_may_send_no_messages_may_not_have_them_sent() {
    let world = World::new(deny("message")).await;
    let channel = Arc::new(Channel::default());
    let refusal = world.message(&channel).await.unwrap_err();
    assert!(
        refusal.as_str().contains("may not send messages"),
        "{refusal:?}"
    );

    // Nor what was set when that was still allowed.
    for denied in ["message", "cron_create"] {
        let mut world = World::new(|_| {}).await;
        world.message(&channel).await.unwrap();
        let mut config = Config::clone(&world.config);
        deny(denied)(&mut config);
        world.config = Arc::new(config);
        let scheduler = world.schedule(&channel);
        let outcome = world.outcome().await;
        assert!(outcome.contains("does not allow"), "{outcome}");
        scheduler.shutdown(PATIENCE).await;
    }
    assert_eq!(channel.heard(), Vec::<String>::new());
}

#[tokio::test]
async fn a_prompt_that_finds_no_container_says_so() {
    let soon = Duration::from_millis(500);
    let world = World::new(|config| config.pool.claim_timeout = soon).await;
    let channel = Arc::new(Channel::default());
    let scheduler = world.schedule(&channel);
    world
        .create(json!({"prompt": "hello"}), &channel)
        .await
        .unwrap();
    let outcome = world.outcome().await;
    assert!(
        outcome.starts_with("failed: No container is free"),
        "{outcome}"
    );
    scheduler.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn a_gateway_that_stops_gives_back_what_has_not_reached_its_session() {
    let world = World::new(|_| {}).await;
    let channel = Arc::new(Channel::default());
    let scheduler = world.schedule(&channel);
    world
        .create(json!({"prompt": "hello"}), &channel)
        .await
        .unwrap();
    let first = eventually("the job is on its way", async || {
        match world.job().await.state {
            JobState::Firing(run) => Some(run),
            JobState::Waiting(_) | JobState::Done => None,
        }
    })
    .await;
    scheduler.shutdown(PATIENCE).await;
    let Take::Taken(taken) = world.pool.jobs().take(PATIENCE).await.unwrap() else {
        panic!("it is due for anybody");
    };
    assert_eq!((taken.run.due, taken.run.attempt), (first.due, 2));
    assert_eq!(taken.job.last, None);
}

/// One that another version has written, say.
#[tokio::test]
async fn a_job_that_cannot_be_read_waits_for_a_gateway_that_can() {
    let world = World::new(|_| {}).await;
    let jobs = world.pool.jobs();
    let now = jobs.now().await.unwrap();
    let job = NewJob {
        id: JobId::from_random(7),
        agent: AgentId::new("main").unwrap(),
        plan: "{}".to_owned(),
        due: now,
    };
    assert_eq!(jobs.add(&job, 1).await.unwrap(), Added::Added);
    let scheduler = world.schedule(&Arc::new(Channel::default()));
    let outcome = world.outcome().await;
    assert!(outcome.contains("cannot read the job"), "{outcome}");
    let kept = world.job().await;
    assert!(
        matches!(kept.state, JobState::Waiting(due) if due > now),
        "{kept:?}"
    );
    assert_eq!(kept.runs, 0);
    scheduler.shutdown(PATIENCE).await;
}
