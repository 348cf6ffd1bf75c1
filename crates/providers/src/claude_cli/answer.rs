//! The way of an answer from its process to whoever asked.

use std::collections::VecDeque;

use ccpool_protocol::event::{Event, ReplyEvent};
use ccpool_protocol::{FailureKind, TurnId};
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::mpsc;

use super::clock::unix_ms;

/// Batches that may wait for the reader; beyond them the process waits too.
const BATCHES: usize = 64;

/// Where events are put.
#[derive(Debug)]
pub(super) struct Mouth {
    pub(super) events: mpsc::Sender<Vec<ReplyEvent>>,
    /// Room for the end, whatever the reader has not read.
    end: mpsc::OwnedPermit<Vec<ReplyEvent>>,
    /// What there was no room for yet.
    pub(super) pending: Vec<ReplyEvent>,
}

impl Mouth {
    /// Says the last of it, the terminal event included.
    pub(super) fn end(mut self, last: Vec<ReplyEvent>) {
        self.pending.extend(last);
        self.end.send(self.pending);
    }
}

/// Both ends of an answer. The stream ends with exactly one terminal event, whatever becomes of the
/// other end.
pub(super) fn answer(turn: &TurnId) -> (Mouth, BoxStream<'static, ReplyEvent>) {
    let (events, batches) = mpsc::channel(BATCHES);
    let end = events.clone().try_reserve_owned();
    let mouth = Mouth {
        end: end.expect("a new channel has room"),
        events,
        pending: Vec::new(),
    };
    let reader = Reader {
        batches,
        batch: VecDeque::new(),
        turn: turn.clone(),
        seq: 0,
        ended: false,
    };
    let events = stream::unfold(reader, async |mut reader| {
        let event = reader.next().await?;
        Some((event, reader))
    });
    (mouth, events.boxed())
}

struct Reader {
    batches: mpsc::Receiver<Vec<ReplyEvent>>,
    batch: VecDeque<ReplyEvent>,
    turn: TurnId,
    seq: u64,
    ended: bool,
}

impl Reader {
    async fn next(&mut self) -> Option<ReplyEvent> {
        if self.ended {
            return None;
        }
        while self.batch.is_empty() {
            match self.batches.recv().await {
                Some(batch) => self.batch.extend(batch),
                None => return Some(self.deserted()),
            }
        }
        let event = self.batch.pop_front()?;
        self.seq = event.seq;
        self.ended = event.event.is_terminal();
        Some(event)
    }

    /// The task that should have told the end is gone.
    fn deserted(&mut self) -> ReplyEvent {
        self.ended = true;
        let message = "the provider claude-cli lost this turn; see the gateway's log";
        ReplyEvent {
            event: Event::lost(FailureKind::Internal, message, true, true),
            turn: self.turn.clone(),
            seq: self.seq + 1,
            at: unix_ms(),
            origin: None,
        }
    }
}
