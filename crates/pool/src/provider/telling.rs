//! An answer under way, until its conversation rests.

use std::sync::Arc;
use std::time::Duration;

use ccpool_protocol::event::Completed;
use ccpool_protocol::function::FunctionCall;
use ccpool_protocol::{Event, FailureKind, ReplyEvent, TurnId, UnixMs};
use futures::StreamExt;
use futures::stream::{BoxStream, unfold};

use super::asked::Asked;
use super::conversation::Message;
use super::hold::{self, Hold};
use super::lapse;
use super::resting::{Resting, Waiting};
use super::spoken::Spoken;
use crate::clock::unix_ms;
use crate::error::PoolError;
use crate::events::{EventStream, StreamedEvent};
use crate::pool::Pool;

/// Reads a turn, and writes down where the conversation rests when it is over.
pub(super) struct Telling {
    pub(super) pool: Pool,
    pub(super) asked: Asked,
    /// What is written down, but for what is said yet.
    pub(super) resting: Resting,
    pub(super) turn: TurnId,
    pub(super) events: BoxStream<'static, Result<StreamedEvent, PoolError>>,
    /// A prompt that was given into the turn. If the CLI runs it afterwards, its answer belongs to
    /// this one.
    pub(super) steered: Option<TurnId>,
    /// As which model it answers, once that is said.
    pub(super) answers_as: Option<String>,
    /// None: it is over.
    pub(super) hold: Option<Hold>,
}

/// What was heard so far.
struct Heard {
    telling: Telling,
    spoken: Spoken,
    tool_effects: bool,
    /// The ending of the turn, when the steered prompt has one of its own after it.
    first: Option<Box<Completed>>,
    seq: u64,
}

impl Telling {
    /// The events, which end with exactly one of `completed`, `failed` and `function_calls`.
    pub(super) fn into_stream(mut self) -> BoxStream<'static, ReplyEvent> {
        // What was said is in the fingerprints.
        self.asked.conversation.messages = Vec::new();
        let heard = Heard {
            spoken: Spoken::of(&self.asked.conversation),
            telling: self,
            tool_effects: false,
            first: None,
            seq: 0,
        };
        unfold(heard, async |mut heard| {
            let event = heard.next().await?;
            Some((event, heard))
        })
        .boxed()
    }
}

impl Heard {
    async fn next(&mut self) -> Option<ReplyEvent> {
        self.telling.hold.as_ref()?;
        let StreamedEvent { id, mut event } = match self.read().await {
            Ok(streamed) => streamed,
            Err(failed) => {
                // With the hold goes an interrupt, should the turn run on.
                self.telling.hold = None;
                return Some(failed);
            }
        };
        self.seq = event.seq;
        self.spoken.hear(&event.event);
        match &mut event.event {
            Event::ToolUse { .. } | Event::ToolResult { .. } => self.tool_effects = true,
            Event::Completed(completed) => {
                if let Some(first) = self.first.take() {
                    add(completed, &first);
                }
                self.rest(Vec::new(), None, self.telling.pool.config().timeouts.idle)
                    .await;
            }
            Event::Failed(_) => {
                if let Some(hold) = self.telling.hold.take() {
                    hold.failed();
                }
            }
            Event::FunctionCalls {
                calls,
                expires_at,
                usage,
            } => {
                let single = self.telling.asked.conversation.single_calls && calls.len() > 1;
                let held = if single {
                    calls.split_off(1)
                } else {
                    Vec::new()
                };
                let waiting = Waiting {
                    turn: self.telling.turn.clone(),
                    seq: id.seq,
                    part: id.part,
                    calls: calls.iter().map(|call| call.id.clone()).collect(),
                    held,
                    usage: *usage,
                    answers_as: self.telling.answers_as.clone(),
                    steered: self.telling.steered.clone(),
                    expires_at: *expires_at,
                };
                let keep = self.until(*expires_at);
                self.rest(calls.clone(), Some(waiting), keep).await;
            }
            Event::Started { model, .. } => self.telling.answers_as = Some(model.clone()),
            Event::TextDelta { .. }
            | Event::ThinkingDelta { .. }
            | Event::Text { .. }
            | Event::Retract { .. }
            | Event::PermissionRequest { .. }
            | Event::PermissionResolved { .. }
            | Event::Status { .. }
            | Event::Gap { .. }
            | Event::Other { .. } => {}
        }
        Some(event)
    }

    /// The next event; a failure when there is none.
    async fn read(&mut self) -> Result<StreamedEvent, ReplyEvent> {
        let streamed = match self.telling.events.next().await {
            Some(Ok(streamed)) => streamed,
            Some(Err(error)) => return Err(self.lost(error.kind(), &error.to_string())),
            None => return Err(self.lost(FailureKind::ContainerLost, "the turn has no ending")),
        };
        let Event::Completed(completed) = &streamed.event.event else {
            return Ok(streamed);
        };
        let Some(steered) = self.telling.steered.take() else {
            return Ok(streamed);
        };
        // A prompt that was taken into the turn is told the turn's ending, and no more.
        let events = self.steered(&steered).await;
        let mut events = events.map_err(|error| self.lost(error.kind(), &error.to_string()))?;
        match events.next().await {
            Some(Ok(other)) if matches!(other.event.event, Event::Completed(_)) => Ok(streamed),
            Some(Ok(first)) => {
                self.first = Some(completed.clone());
                self.telling.events = events.boxed();
                Ok(first)
            }
            Some(Err(error)) => Err(self.lost(error.kind(), &error.to_string())),
            None => Ok(streamed),
        }
    }

    async fn steered(&mut self, turn: &TurnId) -> Result<EventStream, PoolError> {
        let session = &self.telling.resting.session;
        self.telling.pool.turn_events(session, turn, None).await
    }

    fn lost(&self, kind: FailureKind, message: &str) -> ReplyEvent {
        let visible = !self.spoken.text().is_empty();
        ReplyEvent {
            event: Event::lost(kind, message, visible, self.tool_effects),
            turn: self.telling.turn.clone(),
            seq: self.seq,
            at: unix_ms(),
            origin: None,
        }
    }

    fn until(&self, expires_at: Option<UnixMs>) -> Duration {
        let left = expires_at.map(|at| Duration::from_millis(at.saturating_sub(unix_ms())));
        left.unwrap_or(self.telling.pool.config().timeouts.idle)
    }

    /// Writes down that the model has said this and these calls.
    async fn rest(&mut self, calls: Vec<FunctionCall>, waiting: Option<Waiting>, keep: Duration) {
        let Some(hold) = self.telling.hold.take() else {
            return;
        };
        let text = self.spoken.text().to_owned();
        let (history, at) = self.telling.asked.rests(Message::Assistant { text, calls });
        let resting = Resting {
            history: Some(history),
            waiting,
            ..self.telling.resting.clone()
        };
        let inner = &self.telling.pool.inner;
        let record = resting.to_json();
        // A turn that waits is not over.
        let yields = resting.waiting.is_none();
        let written = inner.conversations.rest(&at, &record, keep, yields);
        match inner.unless_lost(written).await {
            Ok(before) => {
                hold.let_go();
                lapse::watch(&self.telling.pool, &resting);
                let before = before.and_then(|json| Resting::parse(&json));
                let before = before.filter(|before| before.container != resting.container);
                // Word for word the same conversation; nobody finds that one any more.
                if let Some(Resting {
                    session, container, ..
                }) = before
                {
                    let own = Arc::clone(inner);
                    inner.tasks.spawn(async move {
                        hold::end(&own, &session, &container).await;
                    });
                }
            }
            // With the hold goes the session: what comes next finds none, and begins anew.
            Err(error) => tracing::warn!(%error, "could not write down where a conversation rests"),
        }
    }
}

/// Two turns of the CLI are one answer.
fn add(completed: &mut Completed, first: &Completed) {
    completed.cost_usd += first.cost_usd;
    completed.duration_ms = completed.duration_ms.saturating_add(first.duration_ms);
    completed.usage = completed.usage.plus(first.usage);
    if let Some(answer) = &mut completed.answer_usage {
        let before = first.answer_usage.unwrap_or(first.usage);
        answer.output_tokens = answer.output_tokens.saturating_add(before.output_tokens);
    }
}

#[cfg(test)]
mod tests {
    use ccpool_protocol::event::Usage;

    use super::*;

    #[test]
    fn of_two_turns_the_second_has_the_newest_prompt() {
        let usage = |read, said| Usage {
            input_tokens: read,
            output_tokens: said,
            ..Usage::default()
        };
        let turn = |all, answer| Completed {
            usage: all,
            answer_usage: answer,
            cost_usd: 0.5,
            ..Completed::default()
        };
        let first = turn(usage(30, 4), Some(usage(20, 3)));
        let mut both = turn(usage(100, 10), Some(usage(60, 7)));
        add(&mut both, &first);
        assert_eq!(
            both,
            Completed {
                cost_usd: 1.0,
                ..turn(usage(130, 14), Some(usage(60, 10)))
            }
        );
        let mut unknown = turn(usage(u64::MAX, 10), None);
        add(&mut unknown, &first);
        assert_eq!(unknown.answer_usage, None);
        assert_eq!(unknown.usage, usage(u64::MAX, 14));
    }
}
