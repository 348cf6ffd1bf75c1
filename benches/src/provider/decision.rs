//! How soon another provider answers when the pool cannot, and what it costs to ask how they are.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use async_trait::async_trait;
use ccpool::config::Config;
use ccpool::protocol::event::Completed;
use ccpool::provider::{
    Conversation, Message, PoolProvider, Provider, ProviderHealth, Refused, Reply,
};
use ccpool::runtime::FakeRuntime;
use ccpool::{Event, FailureKind, HealthStatus, Pool, ReplyEvent, TurnId};
use ccpool_providers::Chain;
use futures::{StreamExt, stream};

use crate::Arguments;
use crate::pool::{Server, paper};
use crate::samples::Samples;
use crate::site::Site;

/// From a conversation to the head of another provider's answer, which takes no time itself, in ms.
#[derive(Debug, Default)]
pub(crate) struct Decision {
    /// Redis was killed.
    pub(crate) without_redis: Samples,
    /// The container runtime was stopped, and nothing is warm.
    pub(crate) without_runtime: Samples,
    /// The chain's health, while all is well.
    pub(crate) health: Samples,
    /// The same when Redis was killed.
    pub(crate) health_without_redis: Samples,
}

/// Measures so many decisions, and looks at the health, of each kind.
///
/// # Errors
/// Something does not work, or the pool answers, or says otherwise why it does not.
pub(crate) async fn measure(
    arguments: &Arguments,
    decisions: usize,
    looks: usize,
    site: &mut Site,
    data: &Path,
) -> Result<Decision> {
    let mut measured = Decision::default();
    let server = Server::start(site, &arguments.redis_server, "r-chain").await?;
    let runtime = Arc::new(FakeRuntime::default());
    let pool = paper::over(runtime.clone(), server.url(), "chain:", data).await?;
    let bot = chain(&pool)?;
    for _ in 0..looks {
        let (took, status) = looked(&bot).await;
        ensure!(status == HealthStatus::Ok, "the chain is {status:?}");
        measured.health.add(took);
    }
    runtime.fail(Some("it was stopped"));
    for _ in 0..decisions {
        measured.without_runtime.add(decided(&pool).await?);
    }
    server.kill()?;
    for _ in 0..decisions {
        measured.without_redis.add(decided(&pool).await?);
    }
    for _ in 0..looks {
        let (took, status) = looked(&bot).await;
        ensure!(status == HealthStatus::Degraded, "the chain is {status:?}");
        measured.health_without_redis.add(took);
    }
    Ok(measured)
}

async fn looked(chain: &Chain) -> (f64, HealthStatus) {
    let began = Instant::now();
    let health = chain.health().await;
    (began.elapsed().as_secs_f64() * 1e3, health.status)
}

/// The pool, and after it one that always can.
fn chain(pool: &Pool) -> Result<Chain> {
    let mut config = Config::default();
    config.model.fallbacks = vec!["anthropic/any".parse()?];
    let providers: Vec<Arc<dyn Provider>> =
        vec![Arc::new(PoolProvider::new(pool.clone())), Arc::new(Ready)];
    Ok(Chain::new(providers, &config)?)
}

/// One decision of a chain that has not failed yet: a breaker would make it faster.
async fn decided(pool: &Pool) -> Result<f64> {
    let chain = chain(pool)?;
    let conversation = Conversation {
        messages: vec![Message::user("hello")],
        ..Conversation::default()
    };
    let began = Instant::now();
    let reply = chain.reply(conversation).await?;
    let took = began.elapsed();
    let kinds: Vec<_> = reply.passed.iter().map(|passed| passed.kind).collect();
    ensure!(
        kinds == [FailureKind::Unavailable],
        "the pool failed otherwise: {:?}",
        reply.passed
    );
    Ok(took.as_secs_f64() * 1e3)
}

/// Answers at once.
#[derive(Debug)]
struct Ready;

#[async_trait]
impl Provider for Ready {
    fn name(&self) -> &str {
        "anthropic"
    }

    fn models(&self) -> Vec<String> {
        Vec::new()
    }

    async fn reply(&self, _conversation: Conversation) -> Result<Reply, Refused> {
        let turn = TurnId::new("t-ready").expect("it is a name");
        let answer = ReplyEvent {
            event: Event::Completed(Box::<Completed>::default()),
            turn: turn.clone(),
            seq: 1,
            at: 0,
            origin: None,
        };
        Ok(Reply {
            provider: self.name().to_owned(),
            model: String::new(),
            session: None,
            turn,
            passed: Vec::new(),
            events: stream::iter([answer]).boxed(),
        })
    }

    async fn health(&self) -> ProviderHealth {
        ProviderHealth {
            status: HealthStatus::Ok,
            reasons: Vec::new(),
        }
    }
}
