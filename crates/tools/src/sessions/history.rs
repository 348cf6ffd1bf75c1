use std::fmt::Write as _;

use ccpool::protocol::transcript::Entry;
use ccpool::{Pool, SessionId, Transcript};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::shown::{own, session_id};
use crate::{Answer, Call, Effect, Refusal, Tool};

const DEFAULT: usize = 10;
const MOST: usize = 50;
/// A page ends before it is longer than this, unless a single turn is.
const PAGE_BYTES: usize = 48 << 10;

/// `sessions_history`.
#[derive(Debug)]
pub(crate) struct SessionsHistory {
    pool: Pool,
}

impl SessionsHistory {
    pub(crate) fn new(pool: &Pool) -> Self {
        Self { pool: pool.clone() }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    /// The session id, as `sessions_list` shows it; your own session when left out.
    session: Option<String>,
    /// How many turns at most, 1 to 50; 10 when left out.
    #[schemars(range(min = 1, max = 50))]
    limit: Option<usize>,
    /// How many of the newest turns to leave out, to read further back; 0 when left out.
    skip: Option<usize>,
}

impl Tool for SessionsHistory {
    type Arguments = Which;
    const NAME: &'static str = "sessions_history";
    const DESCRIPTION: &'static str = "Read what was asked and answered in a session of your agent, \
        your own when none is named: finished turns, the newest ones, oldest first. Ended sessions can \
        be read for a while. `skip` reads further back.";
    const EFFECT: Effect = Effect::Reads;

    async fn call(&self, which: Which, call: Call) -> Result<Answer, Refusal> {
        let wanted = match which.session {
            None => call.caller.session.clone(),
            Some(text) => session_id(text)?,
        };
        own(&self.pool, &call.caller, &wanted).await?;
        let limit = which.limit.unwrap_or(DEFAULT).clamp(1, MOST);
        let skip = which.skip.unwrap_or(0);
        let transcript = self.pool.transcript(&wanted, skip, limit).await?;
        Ok(shown(&wanted, transcript, skip))
    }
}

fn shown(session: &SessionId, mut transcript: Transcript, skip: usize) -> Answer {
    let mut texts: Vec<String> = Vec::new();
    let mut bytes = 0;
    // The newest ones fill the page.
    for entry in transcript.entries.iter().rev() {
        let text = entry_text(entry);
        bytes += text.len();
        if bytes > PAGE_BYTES && !texts.is_empty() {
            break;
        }
        texts.push(text);
    }
    transcript
        .entries
        .drain(..transcript.entries.len() - texts.len());
    let older = transcript.turns.saturating_sub(skip + texts.len());
    let mut text = format!("{session}: {} finished turns", transcript.turns);
    if older > 0 {
        let next = skip + texts.len();
        let _ = write!(text, ", {older} older ones with skip {next}");
    }
    for entry in texts.iter().rev() {
        text.push_str("\n\n");
        text.push_str(entry);
    }
    let data = json!({
        "session": session,
        "total": transcript.turns,
        "older": older,
        "turns": transcript.entries,
    });
    Answer::with_data(text, data)
}

fn entry_text(entry: &Entry) -> String {
    let mut text = format!("--- turn {}", entry.turn);
    match &entry.prompt {
        Some(prompt) => {
            let _ = write!(text, "\nasked: {prompt}");
        }
        None => text.push_str("\nbegun by itself"),
    }
    if !entry.tools.is_empty() {
        let _ = write!(text, "\ntools: {}", entry.tools.join(", "));
    }
    if let Some(answer) = &entry.answer {
        let _ = write!(text, "\nanswered: {answer}");
    }
    if let Some(failed) = &entry.failed {
        let _ = write!(text, "\nfailed ({}): {}", failed.kind, failed.message);
    }
    text
}

#[cfg(test)]
mod tests {
    use ccpool::TurnId;
    use ccpool::protocol::transcript::Failure;
    use ccpool::{FailureKind, SessionId};

    use super::*;

    fn entry(turn: usize, answer: &str) -> Entry {
        Entry {
            turn: TurnId::new(format!("t{turn}")).unwrap(),
            at: 1,
            prompt: Some(format!("question {turn}")),
            tools: Vec::new(),
            answer: Some(answer.to_owned()),
            failed: None,
        }
    }

    #[test]
    fn a_turn_shows_what_was_asked_used_and_answered() {
        let mut failed = entry(2, "");
        failed.answer = None;
        failed.tools = vec!["Bash".to_owned(), "Read".to_owned()];
        failed.failed = Some(Failure {
            kind: FailureKind::Stalled,
            message: "silent".to_owned(),
        });
        let transcript = Transcript {
            entries: vec![entry(1, "yes"), failed],
            turns: 7,
        };
        let answer = shown(&SessionId::new("s").unwrap(), transcript, 1);
        assert_eq!(
            answer.text,
            "s: 7 finished turns, 4 older ones with skip 3\n\n\
             --- turn t1\nasked: question 1\nanswered: yes\n\n\
             --- turn t2\nasked: question 2\ntools: Bash, Read\nfailed (stalled): silent"
        );
    }

    #[test]
    fn a_page_is_bounded_and_has_at_least_one_turn() {
        let long = "x".repeat(PAGE_BYTES - 1000);
        let transcript = Transcript {
            entries: vec![entry(1, &long), entry(2, &long)],
            turns: 2,
        };
        let answer = shown(&SessionId::new("s").unwrap(), transcript, 0);
        assert!(
            answer
                .text
                .starts_with("s: 2 finished turns, 1 older ones with skip 1")
        );
        let data = answer.data.unwrap();
        assert_eq!(data["turns"].as_array().unwrap().len(), 1);
        assert_eq!(data["turns"][0]["turn"], "t2");
    }
}
