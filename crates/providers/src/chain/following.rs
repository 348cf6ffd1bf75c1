//! An answer that has begun, up to its end.

use ccpool::protocol::event::Event;
use ccpool::{FailureKind, ReplyEvent, TurnId};
use futures::StreamExt;
use futures::stream::{self, BoxStream};

use super::member::Trial;
use super::opening::is_end;

/// An answer under way. Dropped, it drops the provider's, which interrupts it.
pub(super) struct Following {
    events: BoxStream<'static, ReplyEvent>,
    /// None: it is over.
    trial: Option<Trial>,
    turn: TurnId,
    seq: u64,
    at: u64,
    was_visible: bool,
    has_acted: bool,
}

impl Following {
    /// `begun` is what the provider has told already, `events` the rest.
    pub(super) fn new(
        begun: Vec<ReplyEvent>,
        events: BoxStream<'static, ReplyEvent>,
        turn: TurnId,
        trial: Trial,
    ) -> Self {
        Self {
            events: stream::iter(begun).chain(events).boxed(),
            trial: Some(trial),
            turn,
            seq: 0,
            at: 0,
            was_visible: false,
            has_acted: false,
        }
    }

    /// What it tells: exactly one end, and nothing after it.
    pub(super) fn into_events(self) -> BoxStream<'static, ReplyEvent> {
        stream::unfold(self, async |mut following| {
            let event = following.next().await?;
            Some((event, following))
        })
        .boxed()
    }

    async fn next(&mut self) -> Option<ReplyEvent> {
        self.trial.as_ref()?;
        let event = match self.events.next().await {
            Some(event) => self.noted(event),
            None => self.broken_off(),
        };
        if is_end(&event.event)
            && let Some(trial) = self.trial.take()
        {
            trial.ended(&event.event);
        }
        Some(event)
    }

    fn noted(&mut self, mut event: ReplyEvent) -> ReplyEvent {
        (self.seq, self.at) = (event.seq, event.at);
        match &mut event.event {
            Event::TextDelta { .. } | Event::Text { .. } => self.was_visible = true,
            Event::ToolUse { .. } | Event::ToolResult { .. } => self.has_acted = true,
            // Whatever the provider knows, this was passed on.
            Event::Failed(failed) => failed.visible_output |= self.was_visible,
            _ => {}
        }
        event
    }

    /// A provider that ends without an end.
    fn broken_off(&self) -> ReplyEvent {
        let message = "the answer broke off without a word";
        let event = Event::lost(
            FailureKind::Unavailable,
            message,
            self.was_visible,
            self.has_acted,
        );
        ReplyEvent {
            event,
            turn: self.turn.clone(),
            seq: self.seq + 1,
            at: self.at,
            origin: None,
        }
    }
}
