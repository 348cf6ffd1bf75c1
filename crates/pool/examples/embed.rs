//! A program that embeds the pool: prompts in one session, on the process runtime.
//!
//! Needs `claude`, `ccpool-wrapper` and `redis-server` on PATH and a credential in the
//! environment: `cargo run --example embed -- "first prompt" "second prompt"`.

use std::io::Write;
use std::time::Duration;

use ccpool::config::Config;
use ccpool::{ClaimRequest, EmbeddedRedis, Event, Pool, PoolParts, Prompt};
use futures::StreamExt;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::temp_dir().join(format!("ccpool-embed-{}", std::process::id()));
    let redis = EmbeddedRedis::start(&dir).await?;
    let mut config = Config::processes(dir);
    config.pool.min_warm = 1;
    let pool = Pool::start(PoolParts::processes(config, &redis)?).await?;
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
