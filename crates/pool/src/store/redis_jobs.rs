//! Jobs in Redis, over a connection of their own that is made when it is needed first.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use ccpool_protocol::keys::Keys;
use ccpool_protocol::{AgentId, UnixMs};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{AsyncCommands, ConnectionInfo, Script};

use super::answer::unexpected;
use super::jobs::{Added, Finished, Job, JobId, JobState, Jobs, LastRun, NewJob, Run, Take, Taken};
use super::measured::Measured;
use super::redis_store::{CONNECTION_TIMEOUT, RESPONSE_TIMEOUT};
use super::{StoreError, spoilt};
use crate::clock::millis;
use crate::gateway::GatewayId;

/// The real one.
pub struct RedisJobs {
    commands: Measured<ConnectionManager>,
    keys: Keys,
    /// Named in what it takes.
    me: GatewayId,
    add: Script,
    remove: Script,
    take: Script,
    finish: Script,
    give_back: Script,
}

impl RedisJobs {
    /// For the gateway `me`. Connects when something is asked.
    ///
    /// # Errors
    /// When the address is none.
    pub fn new(info: ConnectionInfo, keys: Keys, me: GatewayId) -> Result<Self, StoreError> {
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_min_delay(Duration::from_millis(10))
            .set_max_delay(Duration::from_millis(50))
            .set_connection_timeout(Some(CONNECTION_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        let client = redis::Client::open(info)?;
        Ok(Self {
            commands: Measured::new(ConnectionManager::new_lazy_with_config(client, config)?),
            keys,
            me,
            add: Script::new(include_str!("../../lua/job_add.lua")),
            remove: Script::new(include_str!("../../lua/job_remove.lua")),
            take: Script::new(include_str!("../../lua/job_take.lua")),
            finish: Script::new(include_str!("../../lua/job_finish.lua")),
            give_back: Script::new(include_str!("../../lua/job_give_back.lua")),
        })
    }

    fn commands(&self) -> Measured<ConnectionManager> {
        self.commands.clone()
    }
}

#[async_trait]
impl Jobs for RedisJobs {
    async fn now(&self) -> Result<UnixMs, StoreError> {
        let time = redis::cmd("TIME").query_async(&mut self.commands()).await;
        let (seconds, micros): (u64, u64) = time?;
        Ok(seconds * 1000 + micros / 1000)
    }

    async fn add(&self, job: &NewJob, most: usize) -> Result<Added, StoreError> {
        let code: String = self
            .add
            .key(self.keys.cron_due())
            .key(self.keys.cron_agent(&job.agent))
            .key(self.keys.cron_job(job.id.as_str()))
            .arg(job.id.as_str())
            .arg(job.agent.as_str())
            .arg(&job.plan)
            .arg(job.due)
            .arg(most)
            .arg(self.keys.cron_job_prefix())
            .invoke_async(&mut self.commands())
            .await?;
        match code.as_str() {
            "ok" => Ok(Added::Added),
            "full" => Ok(Added::Full),
            other => Err(unexpected("job_add", other)),
        }
    }

    async fn remove(&self, agent: &AgentId, job: &JobId) -> Result<bool, StoreError> {
        let code: String = self
            .remove
            .key(self.keys.cron_due())
            .key(self.keys.cron_agent(agent))
            .key(self.keys.cron_job(job.as_str()))
            .arg(job.as_str())
            .invoke_async(&mut self.commands())
            .await?;
        match code.as_str() {
            "ok" => Ok(true),
            "unknown" => Ok(false),
            other => Err(unexpected("job_remove", other)),
        }
    }

    async fn of_agent(&self, agent: &AgentId) -> Result<Vec<Job>, StoreError> {
        let ids: Vec<String> = self
            .commands()
            .smembers(self.keys.cron_agent(agent))
            .await?;
        let ids: Vec<JobId> = ids.iter().filter_map(|id| JobId::parse(id)).collect();
        let read = ids
            .iter()
            .map(|id| redis::Cmd::hgetall(self.keys.cron_job(id.as_str())));
        let hashes = spoilt::each(self.commands(), read.collect(), HashMap::new()).await?;
        let jobs = ids.into_iter().zip(hashes);
        let mut jobs: Vec<Job> = jobs.filter_map(|(id, hash)| job(id, &hash)).collect();
        jobs.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(jobs)
    }

    async fn take(&self, lease: Duration) -> Result<Take, StoreError> {
        let answer: Vec<redis::Value> = self
            .take
            .key(self.keys.cron_due())
            .arg(self.me.to_string())
            .arg(millis(lease))
            .arg(self.keys.cron_job_prefix())
            .arg(self.keys.cron_agent_prefix())
            .invoke_async(&mut self.commands())
            .await?;
        let broken = || unexpected("job_take", &format!("{answer:?}"));
        let text = |at: usize| {
            answer
                .get(at)
                .cloned()
                .map(redis::from_redis_value::<String>)
        };
        let word = |at: usize| text(at).and_then(Result::ok).ok_or_else(broken);
        let now: UnixMs = word(1)?.parse().map_err(|_| broken())?;
        match word(0)?.as_str() {
            "none" => Ok(Take::Nothing {
                wait: word(2)?
                    .parse::<UnixMs>()
                    .ok()
                    .map(|next| Duration::from_millis(next.saturating_sub(now))),
            }),
            "job" => {
                let hash = answer.get(3).cloned();
                let hash = hash.and_then(|hash| redis::from_redis_value(hash).ok());
                let hash: HashMap<String, String> = hash.ok_or_else(broken)?;
                let id = JobId::parse(&word(2)?).ok_or_else(broken)?;
                let job = job(id, &hash).ok_or_else(broken)?;
                let JobState::Firing(run) = job.state else {
                    return Err(broken());
                };
                Ok(Take::Taken(Box::new(Taken { job, run, now })))
            }
            _ => Err(broken()),
        }
    }

    async fn finish(&self, job: &JobId, run: Run, how: &Finished) -> Result<bool, StoreError> {
        let next = how.next.map_or(String::new(), |next| next.to_string());
        let mut script = self.finish.prepare_invoke();
        script
            .key(self.keys.cron_due())
            .key(self.keys.cron_job(job.as_str()))
            .arg(job.as_str())
            .arg(run.due)
            .arg(run.attempt)
            .arg(&how.outcome)
            .arg(u8::from(how.fired))
            .arg(next)
            .arg(millis(how.keep));
        let code: String = script.invoke_async(&mut self.commands()).await?;
        still_mine("job_finish", &code)
    }

    async fn give_back(&self, job: &JobId, run: Run) -> Result<bool, StoreError> {
        let mut script = self.give_back.prepare_invoke();
        script
            .key(self.keys.cron_due())
            .key(self.keys.cron_job(job.as_str()))
            .arg(job.as_str())
            .arg(run.due)
            .arg(run.attempt);
        let code: String = script.invoke_async(&mut self.commands()).await?;
        still_mine("job_give_back", &code)
    }
}

fn still_mine(script: &str, code: &str) -> Result<bool, StoreError> {
    match code {
        "ok" => Ok(true),
        "moved" => Ok(false),
        other => Err(unexpected(script, other)),
    }
}

/// None: it has gone meanwhile, or is no job.
fn job(id: JobId, hash: &HashMap<String, String>) -> Option<Job> {
    let text = |name: &str| hash.get(name).map(String::as_str);
    let number = |name: &str| text(name).and_then(|value| value.parse::<u64>().ok());
    let state = match text("state")? {
        "waiting" => JobState::Waiting(number("due")?),
        "firing" => JobState::Firing(Run {
            due: number("due")?,
            attempt: number("attempt").and_then(|attempt| u32::try_from(attempt).ok())?,
        }),
        "done" => JobState::Done,
        _ => return None,
    };
    let last = number("lastRun").map(|due| LastRun {
        due,
        outcome: text("lastOutcome").unwrap_or_default().to_owned(),
    });
    Some(Job {
        id,
        agent: AgentId::new(text("agent")?).ok()?,
        plan: text("plan")?.to_owned(),
        created_at: number("createdAt")?,
        state,
        runs: number("runs").unwrap_or(0),
        last,
    })
}

impl fmt::Debug for RedisJobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisJobs")
            .field("prefix", &self.keys.prefix())
            .finish_non_exhaustive()
    }
}
