//! A client as it should be: it sends a prompt with a key, reads the answer, and goes on where it
//! was when anything breaks, at whatever gateway there is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use rand::rngs::SmallRng;
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::history::{Ending, Mark, Notebook, Seen};
use crate::plan::{Departs, Prompt, Script, Step};
use crate::sse::{Message, SseReader};
use crate::steps::Steps;

/// From a prompt to its answer, with all that may happen meanwhile.
const ANSWERED: Duration = Duration::from_secs(25);
/// For a claim, when others have to end first, and for an end.
const CLAIMED: Duration = Duration::from_secs(40);
/// A response's head, and the next bytes of a stream; then it is tried anew.
const SILENCE: Duration = Duration::from_secs(6);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// One session's client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) script: Script,
    /// Where the gateways are reached.
    pub(crate) gateways: Vec<SocketAddr>,
    pub(crate) dice: SmallRng,
    pub(crate) http: reqwest::Client,
    pub(crate) notebook: Notebook,
    pub(crate) steps: Arc<Steps>,
    /// How many turns it was told the end of.
    pub(crate) told: usize,
}

/// What became of a prompt.
enum Sent {
    /// The client knows how it ended, or waits no more.
    Over,
    /// There is no such session at the moment.
    NoSession,
    Departed,
}

/// A turn that was taken, and what was read of it.
struct Open {
    turn: String,
    last: Option<String>,
}

/// How reading a stream ended.
enum Read {
    Told,
    Cut,
    Departed,
}

impl Client {
    /// Does what the script says. Gives how many turns were answered.
    pub(crate) async fn play(mut self) -> usize {
        let prompts: Vec<_> = self.script.prompts().collect();
        if self.script.departs == Some(Departs::InClaim) {
            self.depart_in_claim().await;
            return self.told;
        }
        let mut claimed = false;
        for (n, (mark, prompt)) in prompts.iter().enumerate() {
            let last = n + 1 == prompts.len();
            let departs = last && self.script.departs == Some(Departs::InTurn);
            loop {
                if !claimed && !self.claim().await {
                    return self.told;
                }
                claimed = true;
                match self.prompt(mark, *prompt, departs).await {
                    Sent::Over => break,
                    Sent::NoSession => claimed = false,
                    Sent::Departed => return self.told,
                }
            }
        }
        self.end().await;
        self.told
    }

    /// False: there is none to be had.
    async fn claim(&mut self) -> bool {
        let until = Instant::now() + CLAIMED;
        while Instant::now() < until {
            let request = self.claiming();
            // The fault comes while the claim is on the way.
            let (answer, ()) = tokio::join!(request.send(), self.steps.reach(Step::Claiming));
            match answer.map(|answer| answer.status()) {
                Ok(StatusCode::OK | StatusCode::CREATED) => {
                    self.steps.reach(Step::Claimed).await;
                    return true;
                }
                Ok(status) if status.is_server_error() => {}
                Ok(status) => {
                    self.broken(&format!("a claim was answered with {status}"));
                    return false;
                }
                Err(_) => {}
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.hung("no container for it");
        false
    }

    async fn depart_in_claim(&mut self) {
        let request = self.claiming();
        let gone = tokio::time::timeout(PAUSE, request.send());
        let _ = tokio::join!(gone, self.steps.reach(Step::Claiming));
        let session = self.script.session.clone();
        self.notebook.note(Seen::Departed { session });
    }

    fn claiming(&mut self) -> RequestBuilder {
        let body = json!({"session": self.script.session});
        let url = self.url("");
        self.http.post(url).timeout(SILENCE).json(&body)
    }

    async fn prompt(&mut self, mark: &str, prompt: Prompt, departs: bool) -> Sent {
        let mut open: Option<Open> = None;
        let until = Instant::now() + ANSWERED;
        loop {
            if Instant::now() > until {
                self.give_up(open.as_ref());
                return Sent::Over;
            }
            let asked = self.notebook.mark();
            let request = self.ask(mark, prompt, open.as_ref());
            let sent = tokio::time::timeout(SILENCE, request.send());
            let response = if open.is_none() {
                let (response, ()) = tokio::join!(sent, self.steps.reach(Step::Prompting));
                response
            } else {
                sent.await
            };
            let response = match response {
                Ok(Ok(response)) if response.status() == StatusCode::OK => response,
                Ok(Ok(response)) if response.status() == StatusCode::NOT_FOUND => {
                    if let Some(Open { turn, .. }) = open {
                        self.forgotten(turn);
                        return Sent::Over;
                    }
                    return Sent::NoSession;
                }
                Ok(Ok(response)) if !response.status().is_server_error() => {
                    let status = response.status();
                    self.broken(&format!("a prompt was answered with {status}"));
                    return Sent::Over;
                }
                Ok(_) | Err(_) => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            self.opened(&response, &mut open, asked).await;
            let Some(open) = open.as_mut() else { continue };
            match self.read(response, open, mark, departs).await {
                Read::Told => {
                    self.told += 1;
                    self.steps.reach(Step::Answered).await;
                    if self.dice.random_bool(0.4) {
                        self.look_again(mark, prompt, &open.turn).await;
                    }
                    return Sent::Over;
                }
                Read::Departed => {
                    let session = self.script.session.clone();
                    self.notebook.note(Seen::Departed { session });
                    return Sent::Departed;
                }
                Read::Cut => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// The prompt with its key; when it was taken already, either that again, or what is left of
    /// the answer.
    fn ask(&mut self, mark: &str, prompt: Prompt, open: Option<&Open>) -> RequestBuilder {
        if let Some(Open { turn, last }) = open
            && self.dice.random_bool(0.5)
        {
            let path = format!("/{}/events?turn={turn}", self.script.session);
            let url = self.url(&path);
            let request = self.http.get(url);
            return match last {
                Some(last) => request.header("last-event-id", last),
                None => request,
            };
        }
        let path = format!("/{}/turns", self.script.session);
        let url = self.url(&path);
        let body = json!({"prompt": prompt.text(mark)});
        self.http
            .post(url)
            .header("idempotency-key", mark)
            .json(&body)
    }

    /// The response's head names the turn, when it is that of a prompt.
    async fn opened(&mut self, response: &Response, open: &mut Option<Open>, asked: Mark) {
        let head = response.headers().get("x-ccpool-turn");
        let Some(turn) = head.and_then(|turn| turn.to_str().ok()) else {
            return;
        };
        match open {
            Some(known) if known.turn == turn => {
                // It begins at the beginning.
                known.last = None;
                return;
            }
            Some(other) => self.forgotten(other.turn.clone()),
            None => {}
        }
        *open = Some(Open {
            turn: turn.to_owned(),
            last: None,
        });
        self.notebook.note(Seen::Accepted {
            session: self.script.session.clone(),
            turn: turn.to_owned(),
            asked,
        });
        self.steps.reach(Step::Accepted).await;
    }

    async fn read(
        &mut self,
        response: Response,
        open: &mut Open,
        mark: &str,
        departs: bool,
    ) -> Read {
        let mut stream = SseReader::of(response);
        let mut words = 0;
        while let Some(message) = stream.next(SILENCE).await {
            self.in_order(&message, open);
            match message.event.as_str() {
                "text_delta" => {
                    words += 1;
                    if words == 1 {
                        self.steps.reach(Step::FirstWords).await;
                    }
                    self.steps.reach(Step::Words).await;
                    if departs {
                        return Read::Departed;
                    }
                }
                "tool_use" => self.steps.reach(Step::ToolUse).await,
                "completed" | "failed" => {
                    self.answered(&message, open, mark);
                    return Read::Told;
                }
                _ => {}
            }
        }
        Read::Cut
    }

    /// Within a stream, and over its resumptions, places rise.
    fn in_order(&self, message: &Message, open: &mut Open) {
        // A problem has no place, nor has a gap one of its own.
        if message.id.is_empty() || message.event == "gap" {
            return;
        }
        let synthesized = matches!(&*message.event, "failed");
        if let Some(last) = &open.last
            && !synthesized
            && place(&message.id) <= place(last)
        {
            let Open { turn, .. } = open;
            let (id, event) = (&message.id, &message.event);
            self.broken(&format!("turn {turn}: {event} {id} came after {last}"));
        }
        open.last = Some(message.id.clone());
    }

    fn answered(&self, message: &Message, open: &Open, mark: &str) {
        let Message { event, data, .. } = message;
        let text = data["text"].as_str().unwrap_or_default();
        if event == "completed" && !text.contains(mark) {
            let turn = &open.turn;
            self.broken(&format!("turn {turn} ({mark}) is answered with {text:?}"));
        }
        self.notebook.note(Seen::Answered {
            session: self.script.session.clone(),
            turn: open.turn.clone(),
            ending: ending(data),
        });
    }

    /// The same prompt once more, for which there must be the same answer. That it cannot be had
    /// is nothing: this client has it.
    async fn look_again(&mut self, mark: &str, prompt: Prompt, turn: &str) {
        let request = self.ask(mark, prompt, None);
        let answer = tokio::time::timeout(SILENCE, request.send()).await;
        let Ok(Ok(response)) = answer else { return };
        let head = response.headers().get("x-ccpool-turn");
        if head.and_then(|turn| turn.to_str().ok()) != Some(turn) {
            return;
        }
        let mut stream = SseReader::of(response);
        while let Some(message) = stream.next(SILENCE).await {
            if matches!(&*message.event, "completed" | "failed") {
                let open = Open {
                    turn: turn.to_owned(),
                    last: None,
                };
                self.answered(&message, &open, mark);
                return;
            }
        }
    }

    async fn end(&mut self) {
        let until = Instant::now() + CLAIMED;
        while Instant::now() < until {
            let path = format!("/{}", self.script.session);
            let url = self.url(&path);
            let request = self.http.delete(url).timeout(2 * SILENCE);
            let (answer, ()) = tokio::join!(request.send(), self.steps.reach(Step::Ending));
            match answer.map(|answer| answer.status()) {
                Ok(StatusCode::NO_CONTENT | StatusCode::NOT_FOUND) => {
                    let session = self.script.session.clone();
                    self.notebook.note(Seen::Ended { session });
                    return;
                }
                Ok(_) | Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
        self.hung("it cannot be ended");
    }

    /// At any of the gateways.
    fn url(&mut self, path: &str) -> String {
        let gateway = self.gateways[self.dice.random_range(0..self.gateways.len())];
        format!("http://{gateway}/api/docker-cc/sessions{path}")
    }

    fn give_up(&self, open: Option<&Open>) {
        let session = self.script.session.clone();
        match open {
            Some(Open { turn, last }) => self.notebook.note(Seen::GaveUp {
                session,
                turn: turn.clone(),
                why: format!("no ending within {ANSWERED:?}; the last event was {last:?}"),
            }),
            None => self.hung("its prompt is not taken"),
        }
    }

    fn forgotten(&self, turn: String) {
        let session = self.script.session.clone();
        self.notebook.note(Seen::Forgotten { session, turn });
    }

    fn hung(&self, what: &str) {
        let session = &self.script.session;
        self.notebook.note(Seen::Hung(format!("{session}: {what}")));
    }

    fn broken(&self, what: &str) {
        let session = &self.script.session;
        let broken = format!("{session}: {what}");
        self.notebook.note(Seen::Broken(broken));
    }
}

/// From a terminal event.
pub(crate) fn ending(event: &Value) -> Ending {
    let kind = match event["kind"].as_str() {
        Some(kind) if event["type"] == "failed" => kind,
        Some(_) | None => "completed",
    };
    Ending {
        kind: kind.to_owned(),
        seq: event["seq"].as_u64().unwrap_or_default(),
    }
}

fn place(id: &str) -> (u64, u64) {
    let (seq, part) = id.split_once('-').unwrap_or((id, "0"));
    let number = |text: &str| text.parse().unwrap_or_default();
    (number(seq), number(part))
}
