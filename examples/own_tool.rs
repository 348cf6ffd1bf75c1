//! Embeds the pool and offers its agents a tool of its own: `cargo run --example own_tool -- PROMPT`.
//! Needs `claude`, `ccpool-wrapper` and `redis-server` on PATH, and a credential.

use ccpool::{ClaimRequest, EmbeddedRedis, Event, Pool, PoolParts, Prompt, config::Config};
use ccpool_tools::{Answer, Call, Effect, GatewayTools, Refusal, Tool, bridge};
use futures::StreamExt;

struct Mailbox;

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Whose {
    /// The owner's name.
    name: String,
}

impl Tool for Mailbox {
    type Arguments = Whose;
    const NAME: &'static str = "mailbox";
    const DESCRIPTION: &'static str = "Tell how many unread mails somebody has.";
    const EFFECT: Effect = Effect::Reads;

    async fn call(&self, whose: Whose, call: Call) -> Result<Answer, Refusal> {
        let (name, agent) = (whose.name, call.caller.agent);
        Ok(Answer::text(format!("{agent} sees: {name} has 3 mails.")))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::temp_dir().join(format!("own-tool-{}", std::process::id()));
    let redis = EmbeddedRedis::start(&dir).await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let mut parts = PoolParts::processes(Config::processes(dir), &redis)?;
    parts.mcp_url = Some(format!("http://{}/mcp", listener.local_addr()?));
    let config = parts.config.clone();
    let pool = Pool::start(parts).await?;
    let tools = GatewayTools::built_in(&pool, &config);
    let tools = tools.with(Mailbox).without("nodes_exec");
    let app = bridge(&pool, tools, [], Default::default());
    let mut servers = tokio::task::JoinSet::new();
    servers.spawn(async move { axum::serve(listener, app).await });

    let session = pool.claim(ClaimRequest::default()).await?.session;
    let prompt = Prompt::text(std::env::args().nth(1).unwrap_or_default());
    let mut turn = pool.send(&session, prompt).await?;
    while let Some(event) = turn.events.next().await {
        if let Event::ToolResult { content, .. } = event?.event.event {
            println!("{content}");
        }
    }
    pool.shutdown(std::time::Duration::from_secs(5)).await;
    redis.stop().await;
    Ok(())
}
