//! Looks at Redis and at the processes all the time, and writes down what is there.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ccpool_protocol::envelope::Envelope;
use ccpool_protocol::input::InputItem;
use ccpool_protocol::keys::Keys;
use ccpool_protocol::line::{Line, WrapperLine};
use ccpool_protocol::{Event, SessionId};
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, Script};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::docker;
use crate::history::{Ending, Mark, Notebook, Owner, Seen};
use crate::processes::{Process, Processes};
use crate::redis::connect;

/// Which containers are assigned, and to whom, at one moment.
const OWNERS: &str = "
local found = {}
for _, id in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  local record = redis.call('HMGET', ARGV[1] .. id, 'state', 'session')
  if record[1] == 'assigned' then
    found[#found + 1] = {id, record[2] or ''}
  end
end
return found";

/// The default prefix.
pub(crate) const PREFIX: &str = "clawdbot:cc:";

const LOOK_EVERY: Duration = Duration::from_millis(25);
/// Docker's command takes a while, and there are two cores.
const ASK_DOCKER_EVERY: Duration = Duration::from_millis(400);

/// Reads the keys of a run's sessions.
#[derive(Debug)]
pub(crate) struct RedisWitness {
    pub(crate) socket: PathBuf,
    pub(crate) sessions: Vec<SessionId>,
    pub(crate) notebook: Notebook,
    /// What was written down, by the life of Redis.
    pub(crate) noted: HashSet<(usize, String, Option<Ending>)>,
}

impl RedisWitness {
    /// Until `stop`, and once more then. While Redis is away there is nothing to see.
    pub(crate) async fn watch(mut self, stop: CancellationToken) {
        let mut connection = None;
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let last = stop.is_cancelled();
            if connection.is_none() {
                connection = connect(&self.socket).await.ok();
            }
            if let Some(open) = &mut connection
                && self.look(open).await.is_err()
            {
                connection = None;
            } else if last {
                return;
            }
        }
    }

    async fn look(&mut self, redis: &mut MultiplexedConnection) -> redis::RedisResult<()> {
        let keys = Keys::new(PREFIX);
        let owners = owners(&keys, redis).await?;
        self.notebook.note_once(Seen::Owners(owners));
        for session in &self.sessions.clone() {
            self.look_at(session, &keys, redis).await?;
        }
        Ok(())
    }

    async fn look_at(
        &mut self,
        session: &SessionId,
        keys: &Keys,
        redis: &mut MultiplexedConnection,
    ) -> redis::RedisResult<()> {
        let asked = self.notebook.mark();
        let of = keys.session(session);
        let (input, inflight, buffer): (Vec<Vec<u8>>, Vec<Vec<u8>>, Vec<String>) = redis::pipe()
            .atomic()
            .lrange(&of.input, 0, -1)
            .lrange(&of.inflight, 0, -1)
            .lrange(&of.output_buffer, 0, -1)
            .query_async(redis)
            .await?;
        let waiting = input.iter().chain(&inflight);
        for turn in waiting.filter_map(|item| InputItem::turn_named(item)) {
            self.note(session, turn.as_str(), None, asked);
        }
        for text in buffer {
            let Ok(envelope) = Envelope::parse(&text) else {
                let broken = format!("{session}: not an envelope: {text}");
                self.notebook.note_once(Seen::Broken(broken));
                continue;
            };
            let turn = envelope.turn.as_str();
            self.note(session, turn, None, asked);
            if let Ok(Line::Wrapper(WrapperLine::Terminal { event })) =
                Line::parse(envelope.line.get())
            {
                let ending = Ending {
                    kind: kind(&event),
                    seq: envelope.seq,
                };
                self.note(session, turn, Some(ending), asked);
            }
        }
        Ok(())
    }

    /// Once in each life of Redis.
    fn note(&mut self, session: &SessionId, turn: &str, ending: Option<Ending>, asked: Mark) {
        let life = self.notebook.lives(asked);
        let turn = turn.to_owned();
        if !self.noted.insert((life, turn.clone(), ending.clone())) {
            return;
        }
        let session = session.to_string();
        self.notebook.note(match ending {
            None => Seen::Held {
                session,
                turn,
                asked,
            },
            Some(ending) => Seen::Terminal {
                session,
                turn,
                ending,
                asked,
            },
        });
    }
}

fn kind(event: &Event) -> String {
    match event {
        Event::Failed(failed) => failed.kind.as_str().to_owned(),
        other => other.type_name().to_owned(),
    }
}

/// Counts the containers that exist.
#[derive(Debug, Clone)]
pub(crate) struct ContainerWitness {
    pub(crate) processes: Processes,
    /// What the names of containers begin with; none on the process runtime.
    pub(crate) prefix: Option<String>,
    pub(crate) notebook: Notebook,
}

impl ContainerWitness {
    /// Until `stop`.
    pub(crate) async fn watch(&self, stop: &CancellationToken) {
        // Both are given up at any point: what they have seen is written down.
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.watch_processes() => {}
            () = self.watch_docker() => {}
        }
    }

    async fn watch_processes(&self) {
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let processes = self.processes.clone();
            let wrappers = tokio::task::spawn_blocking(move || {
                // A look takes a moment. Only those that outlive it were there together.
                let mut there = processes.wrappers();
                there.retain(Process::lives);
                there
            });
            let Ok(wrappers) = wrappers.await else {
                continue;
            };
            let names = wrappers
                .iter()
                .map(|wrapper| format!("pid {}", wrapper.pid));
            self.notebook.note_once(Seen::Containers(names.collect()));
        }
    }

    async fn watch_docker(&self) {
        let Some(prefix) = &self.prefix else {
            return std::future::pending().await;
        };
        let mut tick = tokio::time::interval(ASK_DOCKER_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if let Ok(names) = docker::containers(prefix).await {
                self.notebook.note_once(Seen::Containers(names));
            }
        }
    }
}

/// Which containers are assigned, and to whom, at this moment.
async fn owners(keys: &Keys, redis: &mut MultiplexedConnection) -> redis::RedisResult<Vec<Owner>> {
    let script = Script::new(OWNERS);
    let mut call = script.key(keys.containers());
    let owners: Vec<(String, String)> = call
        .arg(keys.container_prefix())
        .invoke_async(redis)
        .await?;
    let owner = |(container, session)| Owner { container, session };
    let mut owners: Vec<Owner> = owners.into_iter().map(owner).collect();
    owners.sort();
    Ok(owners)
}

/// The sessions that are served; none while a gateway has to write them down again.
pub(crate) async fn still(socket: &Path) -> Option<Vec<Owner>> {
    let mut redis = connect(socket).await.ok()?;
    let keys = Keys::new(PREFIX);
    let known: redis::RedisResult<bool> = redis.exists(keys.pool_id()).await;
    if !known.ok()? {
        return None;
    }
    owners(&keys, &mut redis).await.ok()
}

/// What is still there after the end of everything.
pub(crate) async fn left(witness: &ContainerWitness, redis: &Path) -> Vec<String> {
    let all = witness.processes.all().into_iter();
    let mut left: Vec<String> = all
        .map(|process| format!("process {} ({})", process.pid, process.name))
        .collect();
    if let Some(prefix) = &witness.prefix {
        match docker::containers(prefix).await {
            Ok(names) => left.extend(names.iter().map(|name| format!("container {name}"))),
            Err(error) => left.push(format!("containers cannot be listed: {error:#}")),
        }
    }
    match left_in_redis(redis).await {
        Ok(keys) => left.extend(keys),
        Err(error) => left.push(format!("Redis cannot be asked: {error}")),
    }
    left
}

async fn left_in_redis(socket: &Path) -> redis::RedisResult<Vec<String>> {
    let mut redis = connect(socket).await?;
    let keys = Keys::new(PREFIX);
    let (users, sessions, containers): (Vec<String>, HashMap<String, String>, Vec<String>) =
        redis::pipe()
            .cmd("ACL")
            .arg("USERS")
            .hgetall(keys.sessions())
            .smembers(keys.containers())
            .query_async(&mut redis)
            .await?;
    let users = users.into_iter().filter(|user| user != "default");
    let users = users.map(|user| format!("the Redis user {user}"));
    let sessions = sessions
        .into_iter()
        .map(|(session, container)| format!("the live session {session} of {container}"));
    let containers = containers
        .into_iter()
        .map(|container| format!("the place of {container}"));
    Ok(users.chain(sessions).chain(containers).collect())
}
