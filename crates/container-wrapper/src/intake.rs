//! Takes the assignment, then prompts, over a connection of its own that may block.
//!
//! The assignment is looked at, not taken: `BLMOVE inbox inbox LEFT LEFT` waits for the list's
//! first entry and leaves it where it is, so no broken connection can lose it. A prompt is moved to
//! `inflight`; one that was moved while its answer got lost is found there after reconnecting.

use std::sync::Arc;
use std::time::Duration;

use ccpool_protocol::assignment::Assignment;
use ccpool_protocol::keys::SessionKeys;
use ccpool_protocol::state::field;
use redis::aio::MultiplexedConnection;
use redis::{RedisResult, Value};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::board::Board;
use crate::chronicle::Resume;
use crate::feed::Join;
use crate::inflight::Inflight;
use crate::link::{Backoff, Link};
use crate::news::News;

/// How many prompts are taken ahead of their turn, the running one included.
pub(crate) const TAKEN_AHEAD: usize = 32;
/// How long Redis blocks.
const BLOCK_SECONDS: u32 = 10;
/// Longer than that: the client must never give up first, or the server hands an item to nobody.
const RESPONSE: Duration = Duration::from_secs(15);

/// Takes items until it is dropped.
#[derive(Debug)]
pub(crate) struct Intake {
    pub(crate) link: Link,
    pub(crate) board: Board,
    pub(crate) inflight: Inflight,
    /// One permit for each prompt that may be held.
    pub(crate) room: Arc<Semaphore>,
    pub(crate) joins: mpsc::Sender<Join>,
    pub(crate) news: mpsc::Sender<News>,
}

/// The connection that blocks, while there is one.
type Line = Option<MultiplexedConnection>;

/// The supervisor is gone: there is nobody to take items for.
struct Gone;

impl Intake {
    /// Runs until the supervisor is gone.
    pub(crate) async fn run(self) {
        let mut backoff = Backoff::new("intake");
        let inbox = self.board.container().inbox.clone();
        // One connection for all of it: between the claim and the first prompt no time is lost
        // with making another.
        let mut line = None;
        let assignment = loop {
            match self.look(&mut line, &inbox).await {
                Ok(json) => break json,
                Err(error) => backoff.after(&error).await,
            }
            line = None;
            self.board.reregister();
        };
        backoff.over();
        let assignment: Assignment = match serde_json::from_slice(&assignment) {
            Ok(assignment) => assignment,
            Err(error) => {
                let _ = self.news.send(News::BadAssignment(error.to_string())).await;
                return;
            }
        };
        let keys = self.board.keys().session(&assignment.session);
        let (done, joined) = oneshot::channel();
        let channel = keys.control.clone();
        if self.joins.send(Join { channel, done }).await.is_err() {
            return;
        }
        let resume = loop {
            match self.resume(&mut line, &keys).await {
                Ok(resume) => break resume,
                Err(error) => backoff.after(&error).await,
            }
            line = None;
        };
        let assigned = News::Assigned(Box::new(assignment), resume);
        if self.news.send(assigned).await.is_err() {
            return;
        }
        // No prompt may run that nobody could interrupt.
        if joined.await.is_err() {
            return;
        }
        let mut held = None;
        loop {
            match self.take(&mut line, &keys, &mut backoff, &mut held).await {
                Ok(Gone) => return,
                Err(error) => {
                    line = None;
                    self.board.reregister();
                    backoff.after(&error).await;
                }
            }
        }
    }

    /// The connection, made anew after an error.
    async fn line<'a>(&self, line: &'a mut Line) -> RedisResult<&'a mut MultiplexedConnection> {
        match line {
            Some(connection) => Ok(connection),
            None => Ok(line.insert(self.link.connect(RESPONSE).await?)),
        }
    }

    async fn look(&self, line: &mut Line, inbox: &str) -> RedisResult<Vec<u8>> {
        let connection = self.line(line).await?;
        loop {
            if let Some(json) = move_item(connection, inbox, inbox, "LEFT").await? {
                return Ok(json);
            }
        }
    }

    /// Where an earlier wrapper of this session left off. What it left in `inflight` is not run
    /// again: whether it acted cannot be known.
    async fn resume(&self, line: &mut Line, keys: &SessionKeys) -> RedisResult<Resume> {
        let connection = self.line(line).await?;
        let (numbers, left): (Vec<Option<String>>, Vec<Vec<u8>>) = redis::pipe()
            .cmd("HMGET")
            .arg(&keys.state)
            .arg(&[field::SEQ, field::BATCH, field::TURNS, field::COST_USD])
            .cmd("LRANGE")
            .arg(&keys.inflight)
            .arg(0)
            .arg(-1)
            .query_async(connection)
            .await?;
        for raw in left {
            self.inflight.took(&raw);
        }
        let text = |at: usize| numbers.get(at).cloned().flatten().unwrap_or_default();
        Ok(Resume {
            seq: text(0).parse().unwrap_or(0),
            batch: text(1).parse().unwrap_or(0),
            turns: text(2).parse().unwrap_or(0),
            cost_usd: text(3).parse().unwrap_or(0.0),
        })
    }

    async fn take(
        &self,
        line: &mut Line,
        keys: &SessionKeys,
        backoff: &mut Backoff,
        held: &mut Option<OwnedSemaphorePermit>,
    ) -> RedisResult<Gone> {
        let connection = self.line(line).await?;
        // An item whose removal is still under way would hide an equal one that was just moved.
        self.board.removals_done().await;
        let list: Vec<Vec<u8>> = redis::cmd("LRANGE")
            .arg(&keys.inflight)
            .arg(0)
            .arg(-1)
            .query_async(&mut *connection)
            .await?;
        for raw in self.inflight.unseen(list) {
            if self.hand_over(raw, held).await.is_err() {
                return Ok(Gone);
            }
        }
        backoff.over();
        loop {
            if self.hold(held).await.is_err() {
                return Ok(Gone);
            }
            let item = move_item(connection, &keys.input, &keys.inflight, "RIGHT").await?;
            if let Some(raw) = item
                && self.hand_over(raw, held).await.is_err()
            {
                return Ok(Gone);
            }
        }
    }

    /// Waits for room for one more prompt.
    async fn hold(&self, held: &mut Option<OwnedSemaphorePermit>) -> Result<(), Gone> {
        if held.is_none() {
            let permit = Arc::clone(&self.room).acquire_owned().await;
            *held = Some(permit.map_err(|_| Gone)?);
        }
        Ok(())
    }

    async fn hand_over(
        &self,
        raw: Vec<u8>,
        held: &mut Option<OwnedSemaphorePermit>,
    ) -> Result<(), Gone> {
        self.hold(held).await?;
        self.inflight.took(&raw);
        // The supervisor gives the permit back when the item's turn is over.
        if let Some(permit) = held.take() {
            permit.forget();
        }
        self.news.send(News::Item(raw)).await.map_err(|_| Gone)
    }
}

async fn move_item(
    connection: &mut MultiplexedConnection,
    from: &str,
    to: &str,
    side: &str,
) -> RedisResult<Option<Vec<u8>>> {
    let value: Value = redis::cmd("BLMOVE")
        .arg(from)
        .arg(to)
        .arg("LEFT")
        .arg(side)
        .arg(BLOCK_SECONDS)
        .query_async(connection)
        .await?;
    match value {
        Value::Nil => Ok(None),
        value => Ok(Some(redis::from_redis_value(value)?)),
    }
}
