//! A program that embeds the pool: two prompts in one session, on the process runtime.
//!
//! Needs `claude`, `ccpool-wrapper` and `redis-server` on PATH and a credential in the
//! environment: `cargo run --example embed -- "first prompt" "second prompt"`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ccpool::config::{Config, RedisTarget, RuntimeKind};
use ccpool::runtime::ProcessRuntime;
use ccpool::{ClaimRequest, EmbeddedRedis, Event, Pool, PoolParts, Prompt, RedisAddress, on_path};
use futures::StreamExt;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::temp_dir().join(format!("ccpool-embed-{}", std::process::id()));
    let mut config = Config {
        runtime: RuntimeKind::Process,
        data_dir: dir,
        ..Config::default()
    };
    config.redis.url = RedisTarget::Embedded;
    config.pool.min_warm = 1;

    let redis = EmbeddedRedis::start(&config.data_dir).await?;
    let address = RedisAddress::resolve(&config, Some(&redis.url()), None)?;
    let config = Arc::new(config);
    let wrapper = on_path(Path::new("ccpool-wrapper"));
    let pool = Pool::start(PoolParts {
        runtime: Arc::new(ProcessRuntime::new(&config, wrapper)),
        redis: address,
        mcp_url: None,
        credentials: std::env::vars()
            .filter(|(name, _)| name.starts_with("ANTHROPIC_") || name.starts_with("CLAUDE_CODE_"))
            .collect::<BTreeMap<_, _>>(),
        config,
    })
    .await?;
    pool.wait_warm(1, Duration::from_secs(30)).await?;

    let claimed = pool.claim(ClaimRequest::default()).await?;
    eprintln!(
        "claimed {} in {:.2} ms",
        claimed.container, claimed.claim_ms
    );
    for prompt in std::env::args().skip(1) {
        let mut turn = pool.send(&claimed.session, Prompt::text(prompt)).await?;
        while let Some(event) = turn.events.next().await {
            match event?.event.event {
                Event::TextDelta { text, .. } => {
                    print!("{text}");
                    std::io::stdout().flush()?;
                }
                Event::Completed(done) => eprintln!("\n{:?}", done.timings),
                Event::Failed(failed) => eprintln!("\n{}: {}", failed.kind, failed.message),
                _ => {}
            }
        }
    }
    pool.end(&claimed.session).await?;
    pool.shutdown(Duration::from_secs(5)).await;
    redis.stop().await;
    Ok(())
}
