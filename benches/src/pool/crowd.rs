//! Thousands of sessions on one gateway: what each costs it in memory, and whether claims, events and
//! looks cost more the more sessions there are. One puppet speaks for all containers.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ccpool_protocol::TurnId;
use ccpool_protocol::envelope::Envelope;
use ccpool_protocol::keys::Keys;
use ccpool_protocol::state::field;
use redis::aio::MultiplexedConnection;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::hall::{Answer, Order, ROLE, Role, session};
use super::server::Server;
use super::shelf::Shelf;
use crate::samples::Samples;
use crate::stream::{now_us, resident};

const PREFIX: &str = "crowd:";
/// Claims that are timed at every step.
const TIMED: usize = 50;
/// Warm containers put there at a time: spares that nobody claims are let go.
const BATCH: usize = 500;
/// Between two events.
const PACE: Duration = Duration::from_millis(1);
const LIMIT: Duration = Duration::from_secs(120);

/// What was seen with so many live sessions, each with a reader. Times are ms.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) sessions: usize,
    pub(crate) claim: Samples,
    /// From being published until the reader has it.
    pub(crate) event: Samples,
    pub(crate) look: Samples,
    /// Of the gateway, in bytes.
    pub(crate) resident: u64,
}

/// All steps, and what the gateway occupies before the first session.
#[derive(Debug)]
pub(crate) struct Crowd {
    pub(crate) empty: u64,
    pub(crate) steps: Vec<Step>,
}

impl Crowd {
    /// Bytes of the gateway's memory for each session at a step.
    pub(crate) fn bytes_each(&self, step: &Step) -> f64 {
        step.resident.saturating_sub(self.empty) as f64 / step.sessions as f64
    }
}

/// Measures with each of these numbers of sessions, which rise; so many events at each.
///
/// # Errors
/// Something does not work, or an event does not arrive.
pub(crate) async fn measure(
    server: &Server,
    sizes: &[usize],
    events: usize,
    data: &Path,
) -> Result<Crowd> {
    let mut hall = Hall::open(server, data).await?;
    let print = hall.answer().await?.fingerprint;
    let mut shelf = Shelf::of_print(server, PREFIX, print).await?;
    let mut puppet = Puppet::new(server).await?;
    let mut crowd = Crowd {
        empty: resident(hall.pid)?,
        steps: Vec::new(),
    };
    let mut live = 0;
    for &size in sizes {
        eprintln!("    pool: {size} sessions on one gateway");
        while live < size {
            let more = BATCH.min(size - live);
            shelf.fill(more).await?;
            hall.order(&Order::Admit(live, live + more)).await?;
            live += more;
        }
        hall.order(&Order::Tell).await?;
        let event = puppet.play(&mut hall, size, events).await?;
        let resident = resident(hall.pid)?;
        shelf.fill(TIMED).await?;
        let admitted = hall.order(&Order::Admit(size, size + TIMED)).await?;
        hall.order(&Order::Dismiss(size, size + TIMED)).await?;
        let seen = hall.order(&Order::Tell).await?;
        puppet.forget(size);
        crowd.steps.push(Step {
            sessions: size,
            claim: Samples::of(admitted.claims),
            event,
            look: Samples::of(seen.looks),
            resident,
        });
    }
    Ok(crowd)
}

/// The gateway's process.
struct Hall {
    child: Child,
    pid: u32,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Hall {
    async fn open(server: &Server, data: &Path) -> Result<Self> {
        let role = Role {
            redis: server.url().to_owned(),
            prefix: PREFIX.to_owned(),
            data: data.to_owned(),
        };
        let mut child = Command::new(std::env::current_exe()?)
            .env_clear()
            .env(ROLE, serde_json::to_string(&role)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the gateway of the crowd")?;
        let pid = child
            .id()
            .context("a process that was just started has an id")?;
        let input = child.stdin.take().context("its input is a pipe")?;
        let output = child.stdout.take().context("its output is a pipe")?;
        Ok(Self {
            child,
            pid,
            input,
            output: BufReader::new(output).lines(),
        })
    }

    async fn answer(&mut self) -> Result<Answer> {
        let line = tokio::time::timeout(LIMIT, self.output.next_line()).await;
        let line = line.context("the gateway of the crowd does not answer")??;
        let Some(line) = line else {
            let status = self.child.wait().await?;
            anyhow::bail!("the gateway of the crowd has ended: {status}");
        };
        Ok(serde_json::from_str(&line)?)
    }

    async fn order(&mut self, order: &Order) -> Result<Answer> {
        let mut line = serde_json::to_string(order)?;
        line.push('\n');
        self.input.write_all(line.as_bytes()).await?;
        self.answer().await
    }
}

/// Speaks for all containers.
struct Puppet {
    keys: Keys,
    connection: MultiplexedConnection,
    /// The newest envelope of every session.
    seq: Vec<u64>,
}

impl Puppet {
    async fn new(server: &Server) -> Result<Self> {
        Ok(Self {
            keys: Keys::new(PREFIX),
            connection: server.connect().await?,
            seq: Vec::new(),
        })
    }

    /// One delta at a time, of one session out of `sessions` after the other; how long each took to its
    /// reader.
    async fn play(&mut self, hall: &mut Hall, sessions: usize, events: usize) -> Result<Samples> {
        self.seq.resize(self.seq.len().max(sessions), 0);
        // So that all parts of the crowd have their say, also when there are fewer events.
        let stride = (sessions / events).max(1);
        let mut pace = tokio::time::interval(PACE);
        for number in 0..events {
            pace.tick().await;
            self.say((number * stride) % sessions).await?;
        }
        let mut heard = Vec::new();
        let deadline = tokio::time::Instant::now() + LIMIT;
        while heard.len() < events {
            ensure!(
                tokio::time::Instant::now() < deadline,
                "{} of {events} events arrived",
                heard.len()
            );
            pace.tick().await;
            heard.extend(hall.order(&Order::Tell).await?.events);
        }
        Ok(Samples::of(heard))
    }

    /// As a wrapper does: into the buffer, into the state, to whoever listens.
    async fn say(&mut self, number: usize) -> Result<()> {
        self.seq[number] += 1;
        let seq = self.seq[number];
        let keys = self.keys.session(&session(number)?);
        let line = json!({
            "type": "stream_event",
            "event": {"type": "content_block_delta", "index": 0,
                      "delta": {"type": "text_delta", "text": now_us().to_string()}},
        });
        let envelope = Envelope {
            seq,
            turn: TurnId::new("t")?,
            at: u64::try_from(now_us() / 1000)?,
            line: RawValue::from_string(line.to_string())?,
        };
        let json = envelope.to_json();
        redis::pipe()
            .atomic()
            .rpush(&keys.output_buffer, &json)
            .hset(&keys.state, field::SEQ, seq)
            .publish(&keys.output, &json)
            .exec_async(&mut self.connection)
            .await?;
        Ok(())
    }

    /// The sessions from this number on are new the next time.
    fn forget(&mut self, from: usize) {
        self.seq.truncate(from);
    }
}
