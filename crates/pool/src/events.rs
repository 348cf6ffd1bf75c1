//! Reading a session: envelopes from the channel and the buffer, as reply events, each once and in
//! order.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ccpool_protocol::envelope::Envelope;
use ccpool_protocol::fold::{Ending, Fold, Stamp};
use ccpool_protocol::input::InputItem;
use ccpool_protocol::line::Line;
use ccpool_protocol::state::{SessionStatus, field};
use ccpool_protocol::{Event, ReplyEvent, SessionId, TurnId};
use futures::Stream;
use futures::stream::BoxStream;

use crate::courtesy::FirstWords;
use crate::error::PoolError;
use crate::listener::{Listener, Signal};
use crate::store::{Store, StoreError};
use crate::turn_trace::TurnTrace;

/// A silent session is looked at this often, for the case that it has ended unheard.
const LOOK_AFTER: Duration = Duration::from_secs(5);

/// The place of an event: its envelope, and which of that envelope's events it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventId {
    /// The envelope.
    pub seq: u64,
    /// The event within it.
    pub part: u32,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.seq, self.part)
    }
}

/// Not `17-0` and not `17`.
#[derive(Debug, thiserror::Error)]
#[error("an event id looks like `17-0`, or `17` for a whole envelope")]
pub struct EventIdError;

impl FromStr for EventId {
    type Err = EventIdError;
    fn from_str(text: &str) -> Result<Self, EventIdError> {
        let number = |text: &str| text.parse().map_err(|_| EventIdError);
        match text.split_once('-') {
            Some((seq, part)) => Ok(Self {
                seq: number(seq)?,
                part: part.parse().map_err(|_| EventIdError)?,
            }),
            None => Ok(Self {
                seq: number(text)?,
                part: u32::MAX,
            }),
        }
    }
}

/// An event with its place, from which a reader can go on later.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamedEvent {
    /// Its place.
    pub id: EventId,
    /// The event.
    pub event: ReplyEvent,
}

/// Reply events as they come.
pub struct EventStream(BoxStream<'static, Result<StreamedEvent, PoolError>>);

impl Stream for EventStream {
    type Item = Result<StreamedEvent, PoolError>;
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream").finish_non_exhaustive()
    }
}

/// Where a reader begins.
#[derive(Debug, Clone, Copy)]
pub(crate) enum From {
    /// After this envelope; nothing before it is of interest.
    Seq(u64),
    /// After this event, which the reader has seen.
    Event(EventId),
    /// With the oldest envelope that the buffer has.
    Buffer,
}

/// Reads one session, or one turn of it.
pub(crate) struct Reader {
    store: Arc<dyn Store>,
    session: SessionId,
    signals: Listener,
    only: Option<TurnId>,
    fold: Fold,
    /// The newest envelope that was looked at.
    seen: Option<u64>,
    /// Events up to here are known to the reader.
    known: Option<EventId>,
    /// The buffer must be read before the channel is trusted.
    behind: bool,
    ready: VecDeque<StreamedEvent>,
    ended: bool,
    first_words: Option<FirstWords>,
    trace: Option<TurnTrace>,
}

impl Reader {
    /// `signals` must have been subscribed before `from` was determined.
    pub(crate) fn new(
        store: Arc<dyn Store>,
        session: SessionId,
        signals: Listener,
        only: Option<TurnId>,
        from: From,
    ) -> Self {
        let (seen, known, behind) = match from {
            From::Seq(seq) => (Some(seq), None, false),
            From::Event(id) => (None, Some(id), true),
            From::Buffer => (None, None, true),
        };
        let fold = Fold::new(Ending::ByWrapper);
        let ready = VecDeque::new();
        Self {
            store,
            session,
            signals,
            only,
            fold,
            seen,
            known,
            behind,
            ready,
            ended: false,
            first_words: None,
            trace: None,
        }
    }

    /// Tells `trace` how the turn ended, or that nobody read it to its end.
    pub(crate) fn with_trace(mut self, trace: TurnTrace) -> Self {
        self.trace = Some(trace);
        self
    }

    /// Lets go of `first_words` when the turn has one, or has ended.
    pub(crate) fn with_first_words(mut self, first_words: FirstWords) -> Self {
        self.first_words = Some(first_words);
        self
    }

    /// As a stream. It ends with the turn, or with the session.
    pub(crate) fn into_stream(self) -> EventStream {
        EventStream(Box::pin(futures::stream::unfold(
            self,
            |mut reader| async move {
                let event = reader.next().await?;
                if event.is_err() {
                    reader.ended = true;
                }
                Some((event, reader))
            },
        )))
    }

    /// The next event. Cancelling it loses nothing: what was taken from the channel is in `ready`.
    async fn next(&mut self) -> Option<Result<StreamedEvent, PoolError>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            if self.ended {
                return None;
            }
            if self.behind {
                match self.catch_up().await {
                    Ok(up_to_date) => self.behind = !up_to_date,
                    // Redis is away: the hub says when it is back.
                    Err(error) if error.is_retryable() => {
                        let heard = tokio::time::timeout(LOOK_AFTER, self.signals.next()).await;
                        if let Ok(None) = heard {
                            return None;
                        }
                    }
                    Err(error) => return Some(Err(error.into())),
                }
                continue;
            }
            match tokio::time::timeout(LOOK_AFTER, self.signals.next()).await {
                Ok(Some(Signal::Message(text))) => self.take(&text),
                Ok(Some(Signal::Missed)) => self.behind = true,
                Ok(None) => return None,
                Err(_) => self.behind = self.overtaken().await,
            }
        }
    }

    /// After a silence: has something happened that was not heard?
    async fn overtaken(&self) -> bool {
        let Ok(state) = self.store.session_state(&self.session).await else {
            return true;
        };
        let seq: u64 = state
            .get(field::SEQ)
            .and_then(|seq| seq.parse().ok())
            .unwrap_or(0);
        let live = state
            .get(field::STATUS)
            .is_some_and(|s| s != SessionStatus::Ended.as_str());
        !live || self.seen.is_none_or(|seen| seq > seen)
    }

    /// An envelope from the channel: the next one, an old one, or a sign that some were missed.
    fn take(&mut self, text: &str) {
        let Ok(envelope) = Envelope::parse(text) else {
            // The word that the session has ended.
            self.behind = true;
            return;
        };
        match self.seen {
            Some(seen) if envelope.seq == seen + 1 => self.fold(&envelope),
            Some(seen) if envelope.seq <= seen => {}
            Some(_) | None => self.behind = true,
        }
    }

    /// Brings this reader a page nearer to where the session is. False: there is more to read, once
    /// the reader has taken this.
    async fn catch_up(&mut self) -> Result<bool, StoreError> {
        // First whether it has ended, then the buffer: what ended it is in there by then.
        let status = self.status().await?;
        let more = self.read_page().await?;
        if self.ended || more {
            return Ok(!more);
        }
        if status.is_none_or(|status| status == SessionStatus::Ended) {
            self.conclude().await?;
            return Ok(true);
        }
        let Some(turn) = self.only.clone() else {
            return Ok(true);
        };
        if !self.is_open(&turn).await? {
            // Its ending was written before it was closed, so it is there now, if it is kept.
            if self.read_page().await? {
                return Ok(false);
            }
            if !self.ended {
                self.conclude().await?;
            }
        }
        Ok(true)
    }

    /// Whether a turn runs or waits.
    async fn is_open(&self, turn: &TurnId) -> Result<bool, StoreError> {
        // First what waits: from there it moves on to running, never back.
        let items = self.store.unanswered(&self.session).await?;
        let named = |item: &Vec<u8>| InputItem::turn_named(item);
        if items
            .iter()
            .filter_map(named)
            .any(|waiting| waiting == *turn)
        {
            return Ok(true);
        }
        let state = self.store.session_state(&self.session).await?;
        let is = |name: &str, value: &str| state.get(name).is_some_and(|found| found == value);
        Ok(is(field::TURN, turn.as_str()) || is(field::UNSURE, "1"))
    }

    /// Takes what the buffer has from where this reader is: a page of it, so that a reader who is
    /// slow or far behind costs no more memory than that. True: there is more.
    async fn read_page(&mut self) -> Result<bool, StoreError> {
        let page = self.store.page(&self.session, self.seen).await?;
        let start = self.seen.or(self.known.map(|id| id.seq));
        let mut first = true;
        for envelope in page
            .envelopes
            .iter()
            .filter_map(|text| Envelope::parse(text).ok())
        {
            if self.seen.is_some_and(|seen| envelope.seq <= seen) {
                continue;
            }
            if std::mem::take(&mut first)
                && let Some(start) = start
                && envelope.seq > start + 1
            {
                self.gap(&envelope, start + 1);
            }
            self.fold(&envelope);
        }
        Ok(page.more && !self.ended)
    }

    async fn status(&self) -> Result<Option<SessionStatus>, StoreError> {
        let state = self.store.session_state(&self.session).await?;
        Ok(state
            .get(field::STATUS)
            .and_then(|status| status.parse().ok()))
    }

    fn gap(&mut self, before: &Envelope, from: u64) {
        let to = before.seq - 1;
        self.ready.push_back(StreamedEvent {
            id: EventId { seq: to, part: 0 },
            event: ReplyEvent {
                event: Event::Gap { from, to },
                turn: self.only.clone().unwrap_or_else(|| before.turn.clone()),
                seq: to,
                at: before.at,
                origin: None,
            },
        });
    }

    fn fold(&mut self, envelope: &Envelope) {
        self.seen = Some(envelope.seq);
        if self
            .only
            .as_ref()
            .is_some_and(|only| *only != envelope.turn)
            || self.ended
        {
            return;
        }
        // A line that this version cannot read is shown as it is, not dropped.
        let line = Line::parse(envelope.line.get())
            .unwrap_or_else(|_| Line::Other(serde_json::Value::from(envelope.line.get())));
        let stamp = Stamp {
            turn: &envelope.turn,
            seq: envelope.seq,
            at: envelope.at,
        };
        for (part, event) in self.fold.push(stamp, line).into_iter().enumerate() {
            let part = u32::try_from(part).unwrap_or(u32::MAX);
            let id = EventId {
                seq: envelope.seq,
                part,
            };
            if let Some(trace) = &self.trace {
                trace.heard(&event.event);
            }
            if self.only.is_some() && event.event.is_terminal() {
                self.ended = true;
                self.over(&event);
            }
            if matches!(
                event.event,
                Event::TextDelta { .. } | Event::ThinkingDelta { .. }
            ) {
                self.first_words = None;
            }
            if self.known.is_none_or(|known| id > known) {
                self.ready.push_back(StreamedEvent { id, event });
            }
        }
    }

    /// The turn has had its terminal event.
    fn over(&mut self, ending: &ReplyEvent) {
        if let Some(trace) = self.trace.take() {
            trace.ended(&ending.event, ending.at, self.fold.timings());
        }
    }

    /// The session or the turn is over. Whoever waits for a turn whose envelopes are gone gets its
    /// ending from `result`, or learns that it is not kept.
    async fn conclude(&mut self) -> Result<(), StoreError> {
        let Some(turn) = self.only.clone() else {
            self.ended = true;
            return Ok(());
        };
        let result = self.store.result(&self.session).await?;
        self.ended = true;
        let ending: Option<ReplyEvent> = result.and_then(|json| serde_json::from_str(&json).ok());
        let ending = ending
            .filter(|event| event.turn == turn)
            .unwrap_or_else(|| ReplyEvent {
                event: Event::failed(
                    ccpool_protocol::FailureKind::ContainerLost,
                    "the turn is over, or never was, and how it ended is no longer kept",
                ),
                turn,
                seq: self.seen.unwrap_or(0),
                at: crate::clock::unix_ms(),
                origin: None,
            });
        self.over(&ending);
        self.ready.push_back(StreamedEvent {
            id: EventId {
                seq: ending.seq,
                part: 0,
            },
            event: ending,
        });
        Ok(())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(trace) = self.trace.take() {
            trace.left(self.fold.timings());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_ordered_and_readable() {
        let id: EventId = "17-2".parse().unwrap();
        assert_eq!(
            (id.to_string().as_str(), id),
            ("17-2", EventId { seq: 17, part: 2 })
        );
        let whole: EventId = "17".parse().unwrap();
        assert!(id < whole && whole < "18-0".parse().unwrap());
        assert!("".parse::<EventId>().is_err() && "a-1".parse::<EventId>().is_err());
    }
}
