//! A provider that does as it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use ccpool::protocol::event::{Completed, Event, Failed};
use ccpool::provider::{Conversation, Provider, ProviderHealth, Refused, Reply};
use ccpool::{FailureKind, HealthStatus, ReplyEvent, TurnId};
use futures::StreamExt;
use futures::stream;

/// What it does when it is asked.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    Refuse(FailureKind, Option<Duration>),
    /// Tells this and ends, whatever it is.
    Tell(Vec<Event>),
    /// Tells this and goes silent.
    Stop(Vec<Event>),
    /// Does not even begin.
    Hang,
}

#[derive(Debug)]
pub(crate) struct Fake {
    name: &'static str,
    acts: Mutex<VecDeque<Act>>,
    asked: Mutex<Vec<Conversation>>,
    /// As many clones of it as there are attempts that somebody waits for.
    waiting: Arc<()>,
}

impl Fake {
    /// Says its name when there is nothing else to do.
    pub(crate) fn new(name: &'static str) -> Arc<Self> {
        Arc::new(Self {
            name,
            acts: Mutex::default(),
            asked: Mutex::default(),
            waiting: Arc::new(()),
        })
    }

    pub(crate) fn will(&self, acts: impl IntoIterator<Item = Act>) {
        self.acts.lock().unwrap().extend(acts);
    }

    /// What it was asked since the last time.
    pub(crate) fn asked(&self) -> Vec<Conversation> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    /// Attempts that nobody has given up yet.
    pub(crate) fn waited_for(&self) -> usize {
        Arc::strong_count(&self.waiting) - 1
    }
}

#[async_trait]
impl Provider for Fake {
    fn name(&self) -> &str {
        self.name
    }

    fn models(&self) -> Vec<String> {
        vec!["opus".into()]
    }

    async fn reply(&self, conversation: Conversation) -> Result<Reply, Refused> {
        self.asked.lock().unwrap().push(conversation.clone());
        let act = self.acts.lock().unwrap().pop_front();
        let waited_for = Arc::clone(&self.waiting);
        let (events, is_over) = match act {
            None => (answer(self.name), true),
            Some(Act::Tell(events)) => (events, true),
            Some(Act::Stop(events)) => (events, false),
            Some(Act::Hang) => std::future::pending().await,
            Some(Act::Refuse(kind, retry_after)) => {
                return Err(Refused {
                    retry_after,
                    ..Refused::new(kind, format!("{} will not", self.name))
                });
            }
        };
        let turn = TurnId::new(format!("t-{}", self.name)).unwrap();
        let of = turn.clone();
        let events = stream::iter(events)
            .enumerate()
            .map(move |(at, event)| ReplyEvent {
                event,
                turn: of.clone(),
                seq: at as u64 + 1,
                at: 0,
                origin: None,
            });
        let rest = match is_over {
            true => stream::empty().left_stream(),
            false => stream::pending().right_stream(),
        };
        let events = events.chain(rest).inspect(move |_| {
            let _ = &waited_for;
        });
        Ok(Reply {
            provider: self.name.into(),
            model: String::new(),
            session: None,
            turn,
            passed: Vec::new(),
            events: events.boxed(),
        })
    }

    async fn health(&self) -> ProviderHealth {
        ProviderHealth {
            status: HealthStatus::Ok,
            reasons: Vec::new(),
        }
    }
}

/// A whole answer.
fn answer(text: &str) -> Vec<Event> {
    vec![started(), delta(text), completed(text)]
}

pub(crate) fn started() -> Event {
    Event::Started {
        model: "claude-opus".into(),
        cli_session_id: "c".into(),
        claude_version: String::new(),
    }
}

pub(crate) fn delta(text: &str) -> Event {
    Event::TextDelta {
        message_id: "m".into(),
        block: 0,
        text: text.into(),
    }
}

pub(crate) fn completed(text: &str) -> Event {
    Event::Completed(Box::new(Completed {
        text: text.into(),
        ..Completed::default()
    }))
}

/// A failure after which nothing was seen, unless it is told.
pub(crate) fn failed(kind: FailureKind, change: impl FnOnce(&mut Failed)) -> Event {
    let Event::Failed(mut failed) = Event::failed(kind, "so it is") else {
        unreachable!("a failure is a failure");
    };
    change(&mut failed);
    Event::Failed(failed)
}
