//! A chat-bot with a pool of its own: each line of stdin is said by the user, the answer is printed as
//! it comes. Needs `claude`, `ccpool-wrapper` and `redis-server` on PATH, and a credential:
//! `cargo run --example chat_bot`.

use std::io::Write;
use std::time::Duration;

use ccpool::config::Config;
use ccpool::provider::{Conversation, Message, PoolProvider, Provider, Spoken};
use ccpool::{EmbeddedRedis, Event, Pool, PoolParts};
use futures::StreamExt;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::temp_dir().join(format!("chat-bot-{}", std::process::id()));
    let redis = EmbeddedRedis::start(&dir).await?;
    let mut config = Config::processes(dir);
    config.pool.min_warm = 1;
    let pool = Pool::start(PoolParts::processes(config, &redis)?).await?;
    pool.wait_warm(1, Duration::from_secs(60)).await?;
    let bot = PoolProvider::new(pool.clone());

    // The bot keeps its conversations itself and tells them whole. What the session that answered
    // last knows already is not sent again.
    let mut chat = Conversation {
        caller: "chat-bot".to_owned(),
        name: Some("room-1".to_owned()),
        system: Some("You are the assistant of this room. Be brief.".to_owned()),
        ..Conversation::default()
    };
    for line in std::io::stdin().lines() {
        chat.messages.push(Message::user(line?));
        match answer(&bot, &chat).await {
            Ok(text) => chat.messages.push(Message::assistant(text)),
            // The kind says what to do: try again later, ask another provider, tell the user.
            Err((kind, message)) => {
                eprintln!("{kind}: {message}");
                chat.messages.pop();
            }
        }
    }
    let health = bot.health().await;
    eprintln!("{:?} {:?}", health.status, health.reasons);
    pool.shutdown(Duration::from_secs(5)).await;
    redis.stop().await;
    Ok(())
}

/// Prints the answer while it comes, and gives it.
async fn answer(
    bot: &dyn Provider,
    chat: &Conversation,
) -> Result<String, (ccpool::FailureKind, String)> {
    let reply = bot.reply(chat.clone()).await;
    let mut reply = reply.map_err(|refused| (refused.kind, refused.message))?;
    let mut spoken = Spoken::default();
    while let Some(event) = reply.events.next().await {
        if let Some(more) = spoken.hear(&event.event) {
            print!("{more}");
            // Who cannot be reached any more is not waited for: dropping the reply interrupts it.
            if std::io::stdout().flush().is_err() {
                break;
            }
        }
        if let Event::Failed(failed) = event.event {
            return Err((failed.kind, failed.message));
        }
    }
    println!();
    if let Some(session) = &reply.session {
        eprintln!("answered in {session}");
    }
    Ok(spoken.text().to_owned())
}
