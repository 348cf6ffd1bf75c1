//! Reading an answer while it comes.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ccpool::protocol::event::{Completed, Event, Failed, Timings};
use ccpool::provider::Refused;
use ccpool::{FailureKind, ReplyEvent, TurnId};
use ccpool_outbound::Incoming;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::time::{Instant, timeout_at};

use super::answer::{Answer, Broken};
use super::sse::Events;

/// Longer answers are broken off, in bytes as they arrive.
const LONGEST: usize = 64 << 20;

/// How long an answer may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) began: Instant,
    pub(super) stall: Duration,
    pub(super) longest: Option<Duration>,
}

/// An answer under way. Dropped, it hangs up.
#[derive(Debug)]
pub(super) struct Listening {
    incoming: Incoming,
    bytes: usize,
    events: Events,
    answer: Answer,
    ready: VecDeque<Event>,
    turn: TurnId,
    seq: u64,
    limits: Limits,
    /// When an event came last.
    heard_at: Instant,
    first_delta: Option<Duration>,
    is_over: bool,
}

impl Limits {
    /// When it is too late for an event, if one came last at `heard_at`.
    pub(super) fn until(&self, heard_at: Instant) -> Instant {
        let silent = heard_at + self.stall;
        match self.longest {
            Some(longest) => silent.min(self.began + longest),
            None => silent,
        }
    }

    /// What it is then.
    pub(super) fn too_long(&self, heard_at: Instant) -> Broken {
        match self.longest {
            Some(longest) if self.began + longest <= heard_at + self.stall => Broken {
                kind: FailureKind::Timeout,
                message: format!("the answer took longer than {} ms", longest.as_millis()),
            },
            Some(_) | None => Broken {
                kind: FailureKind::Stalled,
                message: format!(
                    "the Messages API was silent for {} ms",
                    self.stall.as_millis()
                ),
            },
        }
    }
}

impl Broken {
    pub(super) fn into_refused(self) -> Refused {
        Refused::new(self.kind, self.message)
    }
}

impl Listening {
    pub(super) fn new(incoming: Incoming, answer: Answer, turn: TurnId, limits: Limits) -> Self {
        Self {
            incoming,
            bytes: 0,
            events: Events::default(),
            answer,
            ready: VecDeque::new(),
            turn,
            seq: 0,
            limits,
            heard_at: Instant::now(),
            first_delta: None,
            is_over: false,
        }
    }

    /// What it tells, up to its end.
    pub(super) fn into_events(self) -> BoxStream<'static, ReplyEvent> {
        stream::unfold(self, async |mut listening| {
            let event = listening.next().await?;
            Some((event, listening))
        })
        .boxed()
    }

    async fn next(&mut self) -> Option<ReplyEvent> {
        while self.ready.is_empty() {
            if self.is_over {
                return None;
            }
            if let Err(broken) = self.hear().await {
                self.ready.push_back(self.failed(broken));
            }
        }
        let mut event = self.ready.pop_front()?;
        let so_far = self.limits.began.elapsed();
        match &mut event {
            Event::TextDelta { .. } | Event::ThinkingDelta { .. } => {
                self.first_delta.get_or_insert(so_far);
            }
            Event::Completed(completed) => self.time(completed, so_far),
            _ => {}
        }
        if event.is_terminal() || matches!(event, Event::FunctionCalls { .. }) {
            self.is_over = true;
            self.ready.clear();
        }
        self.seq += 1;
        Some(ReplyEvent {
            event,
            turn: self.turn.clone(),
            seq: self.seq,
            at: millis(
                SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default(),
            ),
            origin: None,
        })
    }

    /// Waits for the next piece. Dropped while it waits, it loses nothing.
    async fn hear(&mut self) -> Result<(), Broken> {
        let until = self.limits.until(self.heard_at);
        let piece = timeout_at(until, self.incoming.next()).await;
        let piece = piece.map_err(|_| self.limits.too_long(self.heard_at))?;
        let piece = piece.map_err(|error| {
            Broken::lost(&format!(
                "the connection to the Messages API broke: {error}"
            ))
        })?;
        let Some(piece) = piece else {
            return Err(Broken::lost(
                "the Messages API hung up before the end of its answer",
            ));
        };
        self.bytes += piece.len();
        if self.bytes > LONGEST {
            let much = format!("its answer is longer than {LONGEST} bytes");
            return Err(Broken::nonsense(&much));
        }
        let whole = self.events.take(&piece);
        for data in whole.map_err(|error| Broken::nonsense(&error.to_string()))? {
            self.heard_at = Instant::now();
            self.ready.extend(self.answer.hear(&data)?);
        }
        Ok(())
    }

    fn failed(&self, broken: Broken) -> Event {
        Event::Failed(Box::new(Failed {
            kind: broken.kind,
            message: broken.message,
            visible_output: self.answer.is_visible,
            tool_effects: false,
            retry_after_ms: None,
            usage: Some(self.answer.usage()),
            answer_usage: self.answer.usage().known(),
            cost_usd: None,
            timings: self.timings(self.limits.began.elapsed()),
        }))
    }

    fn time(&self, completed: &mut Completed, so_far: Duration) {
        completed.duration_ms = millis(so_far);
        completed.timings = self.timings(so_far);
    }

    fn timings(&self, so_far: Duration) -> Timings {
        Timings {
            first_delta_ms: self.first_delta.map(millis),
            result_ms: Some(millis(so_far)),
            ..Timings::default()
        }
    }
}

impl Broken {
    fn lost(message: &str) -> Self {
        Self {
            kind: FailureKind::Unavailable,
            message: message.to_owned(),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
