//! `ccpool sessions list|show|tail|interrupt|end`; what a session asks is in [`super::permissions`].

use std::time::{SystemTime, UNIX_EPOCH};

use ccpool_protocol::SessionId;
use futures::StreamExt;
use serde_json::{Value, json};

use super::command::{Global, Sessions};
use super::contact::Contact;
use super::error::{CliError, Exit};
use super::event_feed;
use super::gateway_client::GatewayClient;
use super::output::print;
use super::permissions;
use super::signals::Signals;
use super::table::{cell, span, table};
use super::talk::Talk;

/// Runs the command against the running gateway.
pub(crate) async fn run(
    global: &Global,
    client: &GatewayClient,
    command: &Sessions,
) -> Result<Exit, CliError> {
    let at = |session: &SessionId| format!("/api/docker-cc/sessions/{session}");
    match command {
        Sessions::List => list(global, client).await?,
        Sessions::Show { session } => {
            let session: Value = client.get(&at(session)).await?;
            show(global, &session)?;
        }
        Sessions::Tail { session, after } => {
            return tail(global, client, session, after.map(|id| id.to_string())).await;
        }
        Sessions::Permissions { session } => permissions::list(global, client, session).await?,
        Sessions::Allow(allow) => permissions::allow(global, client, allow).await?,
        Sessions::Deny(deny) => permissions::deny(global, client, deny).await?,
        Sessions::Interrupt { session } => {
            let path = format!("{}/interrupt", at(session));
            let _: Value = client.post(&path, &json!({})).await?;
            done(global, &format!("{session} has been told"), session)?;
        }
        Sessions::End { session } => {
            client.delete(&at(session)).await?;
            done(global, &format!("{session} has ended"), session)?;
        }
    }
    Ok(Exit::Done)
}

fn done(global: &Global, text: &str, session: &SessionId) -> Result<(), CliError> {
    if global.json {
        print(json!({"ok": true, "session": session}))
    } else if global.quiet {
        Ok(())
    } else {
        print(text)
    }
}

async fn list(global: &Global, client: &GatewayClient) -> Result<(), CliError> {
    let answer: Value = client.get("/api/docker-cc/sessions").await?;
    if global.json {
        return print(format_args!("{answer:#}"));
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis();
    let now = u64::try_from(now).unwrap_or(u64::MAX);
    let ago = |at: u64| span(now.saturating_sub(at));
    let rows: Vec<[String; 6]> = answer["sessions"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|session| {
            let [id, status, agent, model, turns] =
                ["session", "status", "agent", "model", "turns"].map(|key| cell(&session[key]));
            let active = session["lastActivity"]
                .as_u64()
                .map_or_else(|| "-".to_owned(), ago);
            [id, status, agent, model, turns, active]
        })
        .collect();
    print(table(
        ["SESSION", "STATUS", "AGENT", "MODEL", "TURNS", "ACTIVE"],
        &rows,
    ))
}

fn show(global: &Global, session: &Value) -> Result<(), CliError> {
    if global.json {
        return print(format_args!("{session:#}"));
    }
    let fields = session.as_object().into_iter().flatten();
    let lines: Vec<String> = fields
        .map(|(key, value)| format!("{key}: {}", cell(value)))
        .collect();
    print(lines.join("\n"))
}

/// Prints events until a signal comes or the session ends.
async fn tail(
    global: &Global,
    client: &GatewayClient,
    session: &SessionId,
    after: Option<String>,
) -> Result<Exit, CliError> {
    let mut signals = Signals::listen()?;
    let path = format!("/api/docker-cc/sessions/{session}/events");
    let replays = after.is_some();
    let response = client.get_stream(&path, after).await?;
    let mut events = event_feed::events(response);
    let mut talk = Talk::new(global, Contact::Gateway(client, session));
    talk.catch_up(replays).await?;
    loop {
        // All are cancel-safe: what was not taken is taken by the next round.
        let item = tokio::select! {
            item = events.next() => item,
            line = talk.line() => {
                talk.take(&line).await?;
                continue;
            }
            _ = signals.next() => return Ok(Exit::Done),
        };
        match item {
            Some(fed) => talk.event(&fed?.event)?,
            None => return Ok(Exit::Done),
        }
    }
}
