//! Functions of a caller's, through the library and on real parts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ccpool::config::Config;
use ccpool::runtime::ProcessRuntime;
use ccpool::{
    ClaimRequest, EmbeddedRedis, Event, EventId, FailureKind, FunctionCall, FunctionResult,
    FunctionTool, Pool, PoolError, PoolParts, Prompt, RedisAddress, SessionId, StreamedEvent,
};
use ccpool_scripted_model::ScriptedModel;
use futures::StreamExt;
use serde_json::{Value, json};

use crate::gateway::Folder;
use crate::parts::{PATIENCE, claude, eventually, wrapper};

/// A program that embeds the pool.
struct World {
    model: ScriptedModel,
    redis: EmbeddedRedis,
    pool: Pool,
    config: Config,
    _dir: Folder,
}

impl World {
    async fn new() -> Self {
        let dir = Folder::new();
        let model = ScriptedModel::start("127.0.0.1:0".parse().expect("an address"));
        let model = model.await.expect("the model starts");
        let redis = EmbeddedRedis::start(dir.path()).await;
        let redis = redis.expect("Redis starts");
        let mut config = Config::processes(dir.path().join("data"));
        config.claude.path = claude();
        config.pool.min_warm = 1;
        let pool = start(&config, &redis, &model).await;
        pool.wait_warm(1, PATIENCE).await.expect("one is warm");
        Self {
            model,
            redis,
            pool,
            config,
            _dir: dir,
        }
    }

    /// Another gateway, which shares the pool.
    async fn another(&self) -> Pool {
        start(&self.config, &self.redis, &self.model).await
    }

    async fn claim(&self, request: ClaimRequest) -> SessionId {
        self.pool.claim(request).await.expect("a session").session
    }

    async fn stop(self) {
        self.pool.shutdown(Duration::from_secs(5)).await;
        self.redis.stop().await;
        self.model.shutdown().await;
    }
}

async fn start(config: &Config, redis: &EmbeddedRedis, model: &ScriptedModel) -> Pool {
    let address = RedisAddress::resolve(config, Some(&redis.url()), None);
    let parts = PoolParts {
        runtime: Arc::new(ProcessRuntime::new(config, wrapper())),
        redis: address.expect("an address"),
        mcp_url: None,
        credentials: BTreeMap::from([
            ("ANTHROPIC_API_KEY".to_owned(), "sk-ant-fake".to_owned()),
            ("ANTHROPIC_BASE_URL".to_owned(), model.base_url()),
        ]),
        config: Arc::new(config.clone()),
    };
    Pool::start(parts).await.expect("a pool")
}

fn weather() -> FunctionTool {
    let parameters = json!({"type": "object", "properties": {"place": {"type": "string"}}});
    FunctionTool {
        name: "weather".to_owned(),
        description: "Tells the weather.".to_owned(),
        parameters: parameters.as_object().expect("an object").clone(),
    }
}

/// A prompt with a function, which the model calls by these ids.
fn asks(ids: &[&str]) -> Prompt {
    let calls = ids
        .iter()
        .map(|id| json!({"id": id, "name": "mcp__client__weather", "input": {"place": "Rome"}}));
    let calls: Value = calls.collect();
    let scene = json!([{"toolUse": calls}, {"text": "It is {{toolResult}}."}]);
    Prompt {
        functions: Some(vec![weather()]),
        ..Prompt::text(format!("[[do: {scene}]]"))
    }
}

/// Reads on until calls are told.
async fn calls(events: &mut ccpool::EventStream) -> (EventId, Vec<FunctionCall>) {
    let told = async {
        while let Some(event) = events.next().await {
            let StreamedEvent { id, event } = event.expect("an event");
            assert!(!event.event.is_terminal(), "{event:?}");
            if let Event::FunctionCalls { calls, .. } = event.event {
                return (id, calls);
            }
        }
        panic!("the stream ends without calls")
    };
    tokio::time::timeout(PATIENCE, told).await.expect("calls")
}

/// How the turn ends.
async fn ending(events: &mut ccpool::EventStream) -> Event {
    let rest = async {
        let mut last = None;
        while let Some(event) = events.next().await {
            last = Some(event.expect("an event").event.event);
        }
        last.expect("an ending")
    };
    tokio::time::timeout(PATIENCE, rest).await.expect("an end")
}

fn kind(given: Result<(), PoolError>) -> FailureKind {
    given.expect_err("it is refused").kind()
}

#[tokio::test]
async fn a_turn_goes_on_once_the_results_are_given() {
    let world = World::new().await;
    let session = world
        .claim(ClaimRequest {
            system_prompt: Some("You are a weather frog.".to_owned()),
            ..ClaimRequest::default()
        })
        .await;
    let pool = &world.pool;
    let mut turn = pool
        .send(&session, asks(&["toolu_a", "toolu_b"]))
        .await
        .expect("a turn");
    let (_, calls) = calls(&mut turn.events).await;
    let ids: Vec<_> = calls.iter().map(|call| call.id.as_str()).collect();
    assert_eq!(ids, ["toolu_a", "toolu_b"]);
    assert_eq!(calls[0].arguments, json!({"place": "Rome"}));
    let info = pool.session(&session).await.expect("a session");
    assert_eq!(
        (info.waiting_functions, info.turn),
        (2, Some(turn.turn.clone()))
    );

    let nobodys = vec![FunctionResult::text("toolu_x", "?")];
    let refused = pool.give_results(&session, nobodys).await;
    assert_eq!(kind(refused), FailureKind::InvalidRequest);
    let one = vec![FunctionResult::text("toolu_b", "raining")];
    pool.give_results(&session, one.clone())
        .await
        .expect("it is taken");
    let again = pool.give_results(&session, one).await;
    assert_eq!(kind(again), FailureKind::InvalidRequest);
    let other = vec![FunctionResult::text("toolu_a", "sunny")];
    pool.give_results(&session, other)
        .await
        .expect("it is taken");
    let Event::Completed(done) = ending(&mut turn.events).await else {
        panic!("the turn fails")
    };
    assert!(done.text.starts_with("It is "), "{}", done.text);

    let asked = world.model.requests();
    let asked = asked
        .iter()
        .rfind(|request| request.stream)
        .expect("a request");
    let system = asked.system_text();
    assert!(system.contains("You are a weather frog."), "{system}");
    assert!(!system.contains("software engineering"), "{system}");
    world.stop().await;
}

/// The calls are in Redis: whoever comes to the session finds them, answers them, and reads on.
#[tokio::test]
async fn another_gateway_gives_the_results() {
    let world = World::new().await;
    let session = world.claim(ClaimRequest::default()).await;
    let mut turn = world
        .pool
        .send(&session, asks(&["toolu_a"]))
        .await
        .expect("a turn");
    calls(&mut turn.events).await;
    drop(turn.events);
    let another = world.another().await;
    let waiting = another
        .waiting_functions(&session)
        .await
        .expect("a session");
    assert_eq!((waiting.len(), waiting[0].id.as_str()), (1, "toolu_a"));
    assert_eq!(waiting[0].turn, turn.turn);
    let after = EventId {
        seq: waiting[0].seq,
        part: u32::MAX,
    };
    let results = vec![FunctionResult::text("toolu_a", "snowing")];
    another
        .give_results(&session, results)
        .await
        .expect("it is taken");
    let rest = another.turn_events(&session, &turn.turn, Some(after)).await;
    let mut rest = rest.expect("the turn's events");
    let Event::Completed(done) = ending(&mut rest).await else {
        panic!("the turn fails")
    };
    assert_eq!(done.text, "It is snowing.");
    another.shutdown(Duration::from_secs(5)).await;
    world.stop().await;
}

/// Nothing waits when the turn is over, however it ended.
#[tokio::test]
async fn nobody_waits_after_an_interrupt_or_the_end() {
    let world = World::new().await;
    let session = world.claim(ClaimRequest::default()).await;
    let pool = &world.pool;
    let mut turn = pool
        .send(&session, asks(&["toolu_a"]))
        .await
        .expect("a turn");
    calls(&mut turn.events).await;
    pool.interrupt(&session).await.expect("it is interrupted");
    let Event::Failed(failed) = ending(&mut turn.events).await else {
        panic!("the turn succeeds")
    };
    assert_eq!(failed.kind, FailureKind::Interrupted);
    let late = || vec![FunctionResult::text("toolu_a", "late")];
    eventually("nothing waits", async || {
        let waiting = pool.waiting_functions(&session).await.expect("a session");
        waiting.is_empty().then_some(())
    })
    .await;
    let refused = pool.give_results(&session, late()).await;
    assert_eq!(kind(refused), FailureKind::InvalidRequest);

    let mut turn = pool
        .send(&session, asks(&["toolu_b"]))
        .await
        .expect("a turn");
    calls(&mut turn.events).await;
    pool.end(&session).await.expect("it ends");
    let Event::Failed(_) = ending(&mut turn.events).await else {
        panic!("the turn succeeds")
    };
    let refused = pool.give_results(&session, late()).await;
    assert!(
        matches!(refused, Err(PoolError::UnknownSession(_))),
        "{refused:?}"
    );
    assert_eq!(pool.waiting_functions(&session).await.expect("known"), []);
    world.stop().await;
}

/// Refused where it is sent, before anything is in Redis.
#[tokio::test]
async fn functions_that_cannot_be_offered_are_refused() {
    let world = World::new().await;
    let session = world.claim(ClaimRequest::default()).await;
    let twice = Prompt {
        functions: Some(vec![weather(), weather()]),
        ..Prompt::text("hello")
    };
    let refused = world.pool.send(&session, twice).await.map(|_| ());
    assert_eq!(kind(refused), FailureKind::InvalidRequest);
    world.stop().await;
}
