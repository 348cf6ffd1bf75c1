//! Waiting for another session's answer.

use std::time::Duration;

use ccpool::{Event, Turn};
use futures::StreamExt;
use serde_json::{Value, json};

use crate::{Answer, Progress, Refusal};

/// How a turn that was waited for went.
#[derive(Debug)]
pub(super) enum Reply {
    /// It was completed.
    Text(String),
    /// It failed: the kind and the message.
    Failed(String, String),
    /// It goes on longer than anybody waits.
    Late(Duration),
}

/// Reads a turn to its end, or to the end of patience.
pub(super) async fn reply(
    turn: Turn,
    patience: Duration,
    progress: &Progress,
) -> Result<Reply, Refusal> {
    let read = async {
        let mut events = turn.events;
        let mut tools = 0_u32;
        while let Some(event) = events.next().await {
            let event = event?.event.event;
            if let Event::Completed(completed) = event {
                return Ok(Reply::Text(completed.text));
            } else if let Event::Failed(failed) = event {
                return Ok(Reply::Failed(failed.kind.to_string(), failed.message));
            } else if let Event::ToolUse { name, .. } = event {
                tools += 1;
                let message = format!("it calls {name}");
                progress.report(f64::from(tools), None, message).await;
            }
        }
        let (kind, message) = ("container_lost", "the session has ended");
        Ok(Reply::Failed(kind.to_owned(), message.to_owned()))
    };
    match tokio::time::timeout(patience, read).await {
        Ok(read) => read,
        Err(_) => Ok(Reply::Late(patience)),
    }
}

impl Reply {
    /// For the model that waited for it.
    pub(super) fn told(self, session: &str, turn: &str) -> Result<Answer, Refusal> {
        let data = |outcome: &str, text: &str| -> Value {
            json!({"session": session, "turn": turn, "outcome": outcome, "text": text})
        };
        match self {
            Self::Text(text) => {
                let data = data("completed", &text);
                Ok(Answer::with_data(
                    format!("{session} answers:\n\n{text}"),
                    data,
                ))
            }
            Self::Failed(kind, message) => Err(Refusal::new(format!(
                "The turn `{turn}` of {session} failed ({kind}): {message}"
            ))),
            Self::Late(patience) => {
                let text = format!(
                    "{session} has not answered within {} s; its turn `{turn}` goes on. Look with \
                     sessions_history later.",
                    patience.as_secs()
                );
                Ok(Answer::with_data(text.clone(), data("running", "")))
            }
        }
    }
}
