//! The gateway of the thousands, in a process of its own: it is this program again, told by its
//! environment. It takes an order per line and answers each with a line of JSON.

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use ccpool::{ClaimRequest, Event, EventStream, Pool, SessionId};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tokio_util::task::TaskTracker;

use super::looks::Looks;
use super::{THREADS, paper, shelf};
use crate::stream::now_us;

/// Where the order to be such a gateway is found.
pub(crate) const ROLE: &str = "CCPOOL_BENCH_HALL";

/// What it needs to know.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Role {
    pub(crate) redis: String,
    pub(crate) prefix: String,
    pub(crate) data: PathBuf,
}

/// What it is told to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Claims the sessions with these numbers, one after the other, and attaches a reader to each.
    Admit(usize, usize),
    /// Ends these again.
    Dismiss(usize, usize),
    /// Tells what was seen since it was asked last.
    Tell,
}

/// What it answers. Times are ms.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// What this gateway makes its containers from; told once, at the start.
    pub(crate) fingerprint: String,
    /// How long each claim took.
    pub(crate) claims: Vec<f64>,
    /// How long each look took.
    pub(crate) looks: Vec<f64>,
    /// How old each event was when its reader had it.
    pub(crate) events: Vec<f64>,
}

struct Hall {
    pool: Pool,
    looks: Looks,
    delays: Arc<Mutex<Vec<f64>>>,
    readers: TaskTracker,
}

/// The session with this number.
pub(crate) fn session(number: usize) -> Result<SessionId> {
    Ok(SessionId::new(format!("crowd-{number}"))?)
}

/// Serves until its standard input ends.
///
/// # Errors
/// Something does not work.
pub(crate) fn serve(role: &str) -> Result<()> {
    let role: Role = serde_json::from_str(role).context("the role is not understood")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()?;
    // Everything runs as tasks, on the runtime's own threads.
    let (hall, first) = runtime.block_on(runtime.spawn(Hall::open(role)))??;
    let hall = Arc::new(hall);
    say(&first)?;
    for order in std::io::stdin().lock().lines() {
        let (hall, order) = (Arc::clone(&hall), serde_json::from_str(&order?)?);
        let answer = runtime.spawn(async move { hall.obey(order).await });
        say(&runtime.block_on(answer)??)?;
    }
    runtime.shutdown_background();
    Ok(())
}

fn say(answer: &Answer) -> Result<()> {
    let mut line = serde_json::to_string(answer)?;
    line.push('\n');
    let mut output = std::io::stdout().lock();
    output.write_all(line.as_bytes())?;
    Ok(output.flush()?)
}

impl Hall {
    async fn open(role: Role) -> Result<(Self, Answer)> {
        let looks = Looks::listen()?;
        let pool = paper::gateway(&role.redis, &role.prefix, &role.data).await?;
        let client = redis::Client::open(role.redis.as_str())?;
        let connection = client.get_multiplexed_async_connection().await?;
        let first = Answer {
            fingerprint: shelf::fingerprint(connection, &role.prefix, &pool).await?,
            ..Answer::default()
        };
        let hall = Self {
            pool,
            looks,
            delays: Arc::default(),
            readers: TaskTracker::new(),
        };
        Ok((hall, first))
    }

    async fn obey(&self, order: Order) -> Result<Answer> {
        let mut answer = Answer::default();
        match order {
            Order::Admit(from, to) => {
                for number in from..to {
                    let admitted = self.admit(session(number)?).await;
                    answer
                        .claims
                        .push(admitted.context("a claim or its reader")?);
                }
            }
            Order::Dismiss(from, to) => {
                let sessions: Vec<_> = (from..to).map(session).collect::<Result<_>>()?;
                let ended = sessions.iter().map(|session| self.pool.end(session));
                let ended = futures::future::try_join_all(ended).await;
                ended.context("ending a session")?;
            }
            Order::Tell => {
                answer.looks = self.looks.take();
                let mut delays = self.delays.lock().unwrap_or_else(PoisonError::into_inner);
                answer.events = std::mem::take(&mut delays);
            }
        }
        Ok(answer)
    }

    async fn admit(&self, session: SessionId) -> Result<f64> {
        let request = ClaimRequest {
            session: Some(session.clone()),
            ..ClaimRequest::default()
        };
        let began = Instant::now();
        let claimed = self.pool.claim(request).await?;
        let took = began.elapsed();
        ensure!(!claimed.waited, "a claim had to wait for a container");
        let events = self.pool.events(&session, None).await?;
        self.readers.spawn(read(events, Arc::clone(&self.delays)));
        Ok(took.as_secs_f64() * 1e3)
    }
}

async fn read(mut events: EventStream, delays: Arc<Mutex<Vec<f64>>>) {
    while let Some(Ok(event)) = events.next().await {
        if let Event::TextDelta { text, .. } = &event.event.event
            && let Ok(said) = text.parse::<u128>()
        {
            let age = now_us().saturating_sub(said) as f64 / 1e3;
            let mut delays = delays.lock().unwrap_or_else(PoisonError::into_inner);
            delays.push(age);
        }
    }
}
