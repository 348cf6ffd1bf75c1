//! The one task that writes to Redis: registration, heartbeat, and the session's output in order.

use std::time::Duration;

use ccpool_protocol::record::report;
use ccpool_protocol::scripts;
use ccpool_protocol::state::field;
use ccpool_protocol::transcript;
use redis::aio::MultiplexedConnection;
use redis::{RedisResult, Script};
use tokio::time::{MissedTickBehavior, interval};

use crate::board::Board;
use crate::clock;
use crate::inflight::Inflight;
use crate::link::{Backoff, Link};
use crate::outbox::{Outbox, Settled};

/// How long Redis may take over a batch.
const RESPONSE: Duration = Duration::from_secs(5);

const HAD_BEEN_APPLIED: &str = "a batch whose answer was lost had been applied";

/// Publishes until it is dropped.
#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) link: Link,
    pub(crate) board: Board,
    pub(crate) inflight: Inflight,
    pub(crate) heartbeat: Duration,
}

impl Publisher {
    /// Runs for ever. Redis' absence is waited out; what is posted meanwhile stays in the outbox.
    pub(crate) async fn run(self) {
        let script = Script::new(scripts::PUBLISH);
        let mut backoff = Backoff::new("publisher");
        loop {
            if let Err(error) = self.serve(&script, &mut backoff).await {
                self.board.link(false);
                // A new connection may be to an emptied Redis: say everything again.
                self.board.reregister();
                backoff.after(&error).await;
            }
        }
    }

    async fn serve(&self, script: &Script, backoff: &mut Backoff) -> RedisResult<()> {
        let mut connection = self.link.connect(RESPONSE).await?;
        self.board.link(true);
        let mut beat = interval(self.heartbeat.max(Duration::from_millis(10)));
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // Both are cancel-safe: a wake-up that is not taken stays with the board.
            tokio::select! {
                biased;
                () = self.board.posted() => {}
                _ = beat.tick() => self.beat(&mut connection).await?,
            }
            if self.board.must_announce() {
                self.beat(&mut connection).await?;
            }
            self.flush(script, &mut connection).await?;
            backoff.over();
        }
    }

    async fn flush(
        &self,
        script: &Script,
        connection: &mut MultiplexedConnection,
    ) -> RedisResult<()> {
        while let Some((invocation, dropped)) = self.next(script) {
            if dropped > 0 {
                crate::log::error(format_args!(
                    "Redis was away for too long: {dropped} envelopes were dropped"
                ));
            }
            let applied: i64 = invocation.invoke_async(connection).await?;
            self.board.link(true);
            if applied == 0 {
                crate::log::info(HAD_BEEN_APPLIED);
                // It may have been applied before what was said anew, which is older.
                self.board.reregister();
            }
            let removed = self.board.with_outbox(|_, outbox| outbox.acknowledge());
            self.inflight.removed(&removed.unwrap_or_default());
            self.board.advance();
        }
        Ok(())
    }

    fn next<'a>(&self, script: &'a Script) -> Option<(redis::ScriptInvocation<'a>, u64)> {
        self.board.with_outbox(|keys, outbox| {
            let dropped = outbox.take_dropped();
            let batch = outbox.batch()?;
            let mut call = script.prepare_invoke();
            call.key(&keys.output_buffer)
                .key(&keys.output)
                .key(&keys.state)
                .key(&keys.result)
                .key(&keys.inflight)
                .key(&keys.transcript);
            call.arg(batch.number)
                .arg(batch.keep)
                .arg(batch.result.as_deref().unwrap_or(""))
                .arg(batch.envelopes.len())
                .arg(batch.fields.len())
                .arg(batch.removals.len())
                .arg(batch.entries.len())
                .arg(transcript::TURNS);
            for envelope in &batch.envelopes {
                call.arg(envelope);
            }
            for (name, value) in &batch.fields {
                call.arg(*name).arg(value);
            }
            for raw in &batch.removals {
                call.arg(raw.as_slice());
            }
            for entry in &batch.entries {
                call.arg(entry);
            }
            Some((call, dropped))
        })?
    }

    /// Finds out whether the batch that is on its way was applied and its answer was lost: what would be
    /// told of the session without it is older than what Redis has. False: there is no session, or
    /// somebody else has concluded it, and nothing of it is to be told any more.
    async fn settle(&self, connection: &mut MultiplexedConnection) -> RedisResult<bool> {
        let Some(keys) = self.board.session_keys() else {
            return Ok(false);
        };
        let applied: Option<String> = redis::cmd("HGET")
            .arg(&keys.state)
            .arg(field::BATCH)
            .query_async(connection)
            .await?;
        let applied = applied.and_then(|number| number.parse().ok());
        let settle = |_: &_, outbox: &mut Outbox| outbox.settle(applied.unwrap_or(0));
        match self.board.with_outbox(settle) {
            Some(Settled::Applied(removed)) => {
                crate::log::info(HAD_BEEN_APPLIED);
                self.inflight.removed(&removed);
                self.board.advance();
                Ok(true)
            }
            Some(Settled::Unchanged) => Ok(true),
            Some(Settled::Concluded) | None => Ok(false),
        }
    }

    /// Writes the whole report, so that an emptied Redis is filled again, and keeps the session's
    /// keys alive: they expire once no wrapper writes any more.
    async fn beat(&self, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        let now = clock::now();
        let (fields, announce) = self.board.take_report(now);
        let tells = announce && self.settle(connection).await?;
        let container = self.board.container();
        let mut pipe = redis::pipe();
        let hash = pipe.cmd("HSET").arg(&container.report);
        for (name, value) in &fields {
            hash.arg(*name).arg(value);
        }
        hash.arg(report::HEARTBEAT).arg(now).ignore();
        pipe.cmd("PEXPIRE")
            .arg(&container.report)
            .arg(self.board.report_expiry_ms())
            .ignore();
        if let Some(keys) = self.board.session_keys() {
            let state = pipe.cmd("HSET").arg(&keys.state);
            state.arg(field::LAST_HEARTBEAT).arg(now);
            if tells {
                // What a gateway has written down again of an emptied Redis is older than this.
                state.arg(field::UNSURE).arg("");
                self.board.with_outbox(|_, outbox| {
                    for (name, value) in outbox.told().0 {
                        state.arg(*name).arg(value);
                    }
                });
            }
            state.ignore();
            let result = self
                .board
                .with_outbox(|_, outbox| outbox.told().1.map(str::to_owned));
            if let Some(result) = result.flatten().filter(|_| tells) {
                pipe.cmd("SET").arg(&keys.result).arg(result).ignore();
            }
            let lists = [&keys.input, &keys.inflight, &keys.output_buffer];
            let rest = [&keys.state, &keys.result, &keys.transcript];
            for key in lists.into_iter().chain(rest) {
                pipe.cmd("PEXPIRE")
                    .arg(key)
                    .arg(self.board.session_expiry_ms())
                    .ignore();
            }
        }
        if announce {
            pipe.cmd("PUBLISH")
                .arg(self.board.keys().events())
                .arg(self.board.id().as_str())
                .ignore();
        }
        if let Err(error) = pipe.query_async::<()>(connection).await {
            if announce {
                self.board.reregister();
            }
            return Err(error);
        }
        self.board.announced();
        Ok(())
    }
}
