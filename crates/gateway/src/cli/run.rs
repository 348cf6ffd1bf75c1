//! `ccpool run`: one prompt, by a running gateway or by a pool of its own.

use std::io::{IsTerminal, Read};
use std::pin::Pin;
use std::time::Duration;

use ccpool::config::{Config, Loaded};
use ccpool::{ClaimRequest, Pool, Prompt};
use ccpool_protocol::input::{InputItem, Mode};
use ccpool_protocol::{Event, ReplyEvent, SessionId, TurnId};
use futures::{Stream, StreamExt};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::command::{Global, Run};
use super::contact::Contact;
use super::error::{CliError, Exit};
use super::event_feed;
use super::gateway_client::GatewayClient;
use super::serve::warn_without_isolation;
use super::signals::Signals;
use super::talk::Talk;
use crate::gateway::{Front, Gateway};

/// How long a pool of its own may take to go away.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

type Events<'a> = Pin<Box<dyn Stream<Item = Result<ReplyEvent, CliError>> + Send + 'a>>;

/// Sends the prompt and prints the answer.
pub(crate) async fn run(
    global: &Global,
    arguments: &Run,
    loaded: Loaded,
) -> Result<Exit, CliError> {
    let prompt = prompt_text(arguments)?;
    let mut signals = Signals::listen()?;
    let config = loaded.config;
    if !arguments.place.is_given() {
        let client = GatewayClient::new(&config.http)?;
        if client.is_alive().await {
            return by_gateway(global, arguments, prompt, &client, &mut signals).await;
        }
        tracing::debug!("no gateway answers; starting a pool for this prompt");
    }
    by_own_pool(global, arguments, prompt, config, &mut signals).await
}

fn prompt_text(arguments: &Run) -> Result<String, CliError> {
    let prompt = match arguments.prompt.as_deref() {
        Some(prompt) if prompt != "-" => prompt.to_owned(),
        None if std::io::stdin().is_terminal() => {
            return Err(CliError::usage("there is no prompt")
                .mend("give it as an argument, or on standard input"));
        }
        Some(_) | None => {
            let mut text = String::new();
            std::io::stdin()
                .lock()
                .read_to_string(&mut text)
                .map_err(|error| {
                    CliError::usage(format!(
                        "cannot read the prompt from standard input: {error}"
                    ))
                })?;
            text
        }
    };
    // Refused here, so that no container is started for it.
    let item = InputItem::text(
        TurnId::new("t").expect("one letter is a turn id"),
        prompt.as_str(),
    );
    item.check()
        .map_err(|_| CliError::usage("the prompt is empty").mend("write something"))?;
    Ok(prompt)
}

/// What of a claim matters here.
#[derive(Debug, Deserialize)]
struct Claimed {
    session: SessionId,
}

async fn by_gateway(
    global: &Global,
    arguments: &Run,
    prompt: String,
    client: &GatewayClient,
    signals: &mut Signals,
) -> Result<Exit, CliError> {
    let claim = json!({"session": arguments.session, "model": arguments.model});
    let Claimed { session } = client.post("/api/docker-cc/sessions", &claim).await?;
    let path = format!("/api/docker-cc/sessions/{session}");
    let body = json!({"prompt": prompt, "command": arguments.command});
    let answered = async {
        let response = client.post_stream(&format!("{path}/turns"), &body).await?;
        let events: Events<'_> = Box::pin(event_feed::events(response).map(|fed| Ok(fed?.event)));
        let talk = Talk::new(global, Contact::Gateway(client, &session));
        print(talk, events, signals).await
    }
    .await;
    // A session that was named is meant to go on.
    if arguments.session.is_none()
        && let Err(error) = client.delete(&path).await
    {
        tracing::warn!(%session, ?error, "the session could not be ended");
    }
    answered
}

async fn by_own_pool(
    global: &Global,
    arguments: &Run,
    prompt: String,
    config: Config,
    signals: &mut Signals,
) -> Result<Exit, CliError> {
    let runtime = config.runtime;
    let progress = spinner(global, "starting a pool for this prompt");
    let config = for_one_prompt(config);
    // Not cancel-safe, and need not be: a start that is cut off leaves children that die with it.
    let gateway = tokio::select! {
        started = Gateway::start(config, arguments.place.wrapper.clone(), Front::ToolsOnly) => started?,
        signal = signals.next() => return Err(interrupted(signal)),
    };
    progress.suspend(|| warn_without_isolation(runtime));
    let outcome = one_turn(
        global,
        arguments,
        prompt,
        gateway.pool(),
        signals,
        &progress,
    )
    .await;
    progress.set_message("removing the pool");
    gateway.shutdown(STOP_TIMEOUT).await;
    progress.finish_and_clear();
    outcome
}

async fn one_turn(
    global: &Global,
    arguments: &Run,
    prompt: String,
    pool: &Pool,
    signals: &mut Signals,
    progress: &ProgressBar,
) -> Result<Exit, CliError> {
    let request = ClaimRequest {
        session: arguments.session.clone(),
        model: arguments.model.clone(),
        ..ClaimRequest::default()
    };
    progress.set_message("waiting for a warm container");
    // A claim that is given up leaves a container that the shutdown removes.
    let claimed = tokio::select! {
        claimed = pool.claim(request) => claimed?,
        signal = signals.next() => return Err(interrupted(signal)),
    };
    let session = claimed.session;
    let prompt = Prompt {
        turn: None,
        text: Some(prompt),
        content: None,
        mode: Mode::Queue,
        command: arguments.command,
        functions: None,
        model: None,
        on: None,
        idempotency_key: None,
    };
    let turn = pool.send(&session, prompt).await?;
    progress.finish_and_clear();
    let events: Events<'_> = Box::pin(
        turn.events
            .map(|item| item.map(|streamed| streamed.event).map_err(CliError::from)),
    );
    let talk = Talk::new(global, Contact::Pool(pool, &session));
    print(talk, events, signals).await
}

/// One container, with a key space of its own: what is removed at the end is this pool's alone.
fn for_one_prompt(mut config: Config) -> Config {
    config.pool.min_warm = 1;
    config.pool.max_total = 1;
    config.pool.claim_timeout = config.timeouts.startup;
    let own = Uuid::new_v4().simple().to_string();
    config.redis.key_prefix = format!("{}run-{}:", config.redis.key_prefix, &own[..8]);
    config
}

/// Prints a turn to its end. The first signal interrupts the turn, the second leaves it.
async fn print(
    mut talk: Talk<'_>,
    mut events: Events<'_>,
    signals: &mut Signals,
) -> Result<Exit, CliError> {
    let mut asked = false;
    loop {
        // All are cancel-safe: events come from a stream that is kept, signals and lines are kept too.
        let item = tokio::select! {
            item = events.next() => item,
            signal = signals.next() => {
                if asked {
                    return Err(interrupted(signal));
                }
                asked = true;
                talk.contact().interrupt().await?;
                continue;
            }
            line = talk.line() => {
                talk.take(&line).await?;
                continue;
            }
        };
        let Some(item) = item else {
            return Err(CliError::new(
                Exit::Unavailable,
                "unavailable",
                "the answer broke off before its end",
            )
            .mend("see the gateway's log"));
        };
        let event = item?;
        talk.event(&event)?;
        match &event.event {
            Event::Completed(_) => return Ok(Exit::Done),
            Event::Failed(failed) => return Err(CliError::from(&**failed)),
            _ => {}
        }
    }
}

fn interrupted(signal: &str) -> CliError {
    CliError::new(
        Exit::Interrupted,
        "interrupted",
        format!("stopped by {signal}"),
    )
}

/// Something to look at while the first container boots, on a terminal.
fn spinner(global: &Global, message: &'static str) -> ProgressBar {
    if global.quiet || global.json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {msg}").expect("the template is valid");
    let progress = ProgressBar::new_spinner()
        .with_style(style)
        .with_message(message);
    progress.enable_steady_tick(Duration::from_millis(100));
    progress
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_of_its_own_shares_nothing() {
        let shared = Config::default();
        let (one, two) = (
            for_one_prompt(shared.clone()),
            for_one_prompt(shared.clone()),
        );
        assert_eq!((one.pool.min_warm, one.pool.max_total), (1, 1));
        assert_ne!(one.redis.key_prefix, two.redis.key_prefix);
        assert!(one.redis.key_prefix.starts_with(&shared.redis.key_prefix));
    }
}
