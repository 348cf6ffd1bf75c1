//! Whatever a model calls a tool with, it is answered or told what is wrong.

use std::sync::Arc;
use std::time::Duration;

use ccpool::config::Config;
use ccpool::runtime::FakeRuntime;
use ccpool::{AgentId, EmbeddedRedis, Pool, PoolParts, RedisAddress, SessionId};
use ccpool_tools::{Call, Caller, GatewayTools, Progress, ToolDescription};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

/// Calls of each tool.
const ROUNDS: usize = 60;

/// Values that somebody may have thought of, and some that nobody did.
fn value() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        ".{0,40}".prop_map(Value::from),
        "[a-z0-9:/.@_ *-]{0,40}".prop_map(Value::from),
        Just(json!("s")),
        Just(json!("x".repeat(300_000))),
        Just(json!("\u{0}\u{202e}\n")),
        Just(json!("* * * * *")),
        Just(json!("2026-13-45T99:99:99Z")),
        Just(json!("http://[::ffff:127.0.0.1]/")),
    ];
    leaf.prop_recursive(2, 8, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[a-z]{1,6}", inner, 0..4).prop_map(|fields| json!(fields)),
        ]
    })
    .boxed()
}

/// Some of the tool's own fields, and now and then another one.
fn arguments(tool: &ToolDescription) -> BoxedStrategy<Map<String, Value>> {
    let fields = tool
        .input_schema
        .get("properties")
        .and_then(Value::as_object);
    let mut names: Vec<String> = fields.into_iter().flat_map(Map::keys).cloned().collect();
    names.push("other".to_owned());
    let fields = names.into_iter().map(|name| {
        let often = if name == "other" { 0.05 } else { 0.7 };
        prop::option::weighted(often, value()).prop_map(move |value| (name.clone(), value))
    });
    fields
        .collect::<Vec<_>>()
        .prop_map(|fields| {
            let given = fields.into_iter();
            given
                .filter_map(|(name, value)| Some((name, value?)))
                .collect()
        })
        .boxed()
}

#[tokio::test]
async fn any_arguments_are_answered() {
    let dir = tempfile::TempDir::with_prefix("ccp-").expect("a temporary folder");
    let redis = EmbeddedRedis::start(dir.path())
        .await
        .expect("Redis starts");
    let mut config = Config::processes(dir.path());
    config.pool.claim_timeout = Duration::ZERO;
    config.tools.sessions.wait = Duration::from_millis(50);
    let config = Arc::new(config);
    let pool = Pool::start(PoolParts {
        runtime: Arc::new(FakeRuntime::default()),
        redis: RedisAddress::resolve(&config, Some(&redis.url()), None).expect("an address"),
        mcp_url: None,
        credentials: Default::default(),
        config: Arc::clone(&config),
    })
    .await
    .expect("the pool starts");
    let tools = GatewayTools::built_in(&pool, &config);
    let all: Vec<ToolDescription> = tools.list().collect();
    assert_eq!(all.len(), 15, "{tools:?}");
    let mut runner = TestRunner::default();
    for tool in &all {
        let strategy = arguments(tool);
        for _ in 0..ROUNDS {
            let arguments = strategy.new_tree(&mut runner).expect("a value").current();
            let call = Call {
                caller: Caller {
                    session: SessionId::new("s").expect("an id"),
                    agent: AgentId::default(),
                    depth: 0,
                },
                cancelled: CancellationToken::new(),
                progress: Progress::default(),
            };
            let given = json!(arguments).to_string();
            let answered = tools.call(tool.name, arguments, call);
            let answered = tokio::time::timeout(Duration::from_secs(30), answered).await;
            let shown: String = given.chars().take(500).collect();
            let answered = answered.unwrap_or_else(|_| panic!("{} hangs: {shown}", tool.name));
            let told = match &answered {
                Ok(answer) => answer.text.as_str(),
                Err(refusal) => refusal.as_str(),
            };
            assert!(!told.is_empty(), "{} says nothing: {shown}", tool.name);
            // What was given is not given back at length.
            assert!(told.len() < 100_000, "{}: {} bytes", tool.name, told.len());
        }
    }
    pool.shutdown(Duration::from_secs(5)).await;
    redis.stop().await;
}
