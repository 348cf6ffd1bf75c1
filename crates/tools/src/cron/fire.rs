//! Carrying out a run that was taken.

use std::sync::Arc;
use std::time::Duration;

use ccpool::config::Cron;
use ccpool::store::{Finished, JobId, Jobs, Run, Taken};
use ccpool::{ClaimRequest, Pool, PoolError, Prompt, SessionId, Turn};
use ccpool_protocol::UnixMs;
use ccpool_protocol::state::SessionStatus;
use futures::StreamExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::CronCreate;
use super::due::{Verdict, judge};
use super::plan::{Clock, Plan, What};
use super::post::Post;
use crate::{Caller, Policy, Refusal, Tool};

/// What a gateway still needs after an attempt, to write down what came of it.
const MARGIN: Duration = Duration::from_secs(5);
/// Between two attempts to write it down.
const AGAIN: Duration = Duration::from_millis(200);
/// A job that this gateway cannot read is looked at again then, perhaps by a newer one.
const UNREADABLE: Duration = Duration::from_secs(3600);
/// More of an outcome's words are not kept.
const WORDS: usize = 300;
/// The tool that a message of an agent's stands for.
const MESSAGE: &str = "message";

/// What runs are carried out with.
#[derive(Debug)]
pub(super) struct Firing {
    pub(super) pool: Pool,
    pub(super) jobs: Arc<dyn Jobs>,
    pub(super) policy: Policy,
    pub(super) post: Arc<dyn Post>,
    pub(super) config: Cron,
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
}

/// What came of an attempt.
enum Outcome {
    Done(String),
    Failed(String),
    /// The gateway stops; another one begins anew.
    Stopped,
}

impl Firing {
    /// How long a run is this gateway's.
    pub(super) fn lease(&self) -> Duration {
        self.config.timeout + MARGIN
    }

    /// Carries out a run and writes down what came of it.
    pub(super) async fn carry_out(&self, taken: Taken) {
        let until = Instant::now() + self.lease();
        let (job, run) = (&taken.job, taken.run);
        let (plan, clock) = match read(&job.plan) {
            Ok(read) => read,
            Err(error) => {
                tracing::warn!(job = %job.id, error, "a job cannot be read");
                let later = u64::try_from(UNREADABLE.as_millis()).unwrap_or(u64::MAX);
                let what = "not carried out: this gateway cannot read the job";
                let next = Some(taken.now.saturating_add(later));
                return self.finish(&job.id, run, false, what, next, until).await;
            }
        };
        let next = clock.next_run(run.due, taken.now);
        if let Verdict::Leave(why) = judge(run, taken.now, &self.config) {
            tracing::info!(job = %job.id, agent = %job.agent, why, "a run is left out");
            return self.finish(&job.id, run, false, &why, next, until).await;
        }
        let attempt = tokio::time::timeout(self.config.timeout, self.attempt(&taken, &plan));
        let outcome = attempt.await.unwrap_or_else(|_| {
            let seconds = self.config.timeout.as_secs_f64();
            Outcome::Failed(format!("it was not done within {seconds} s"))
        });
        let (word, what) = match outcome {
            Outcome::Done(what) => ("ok", format!("ok: {what}")),
            Outcome::Failed(why) => ("failed", format!("failed: {why}")),
            Outcome::Stopped => return self.give_back(&job.id, run).await,
        };
        let late = taken.now.saturating_sub(run.due);
        tracing::info!(job = %job.id, agent = %job.agent, outcome = word, late, "a job ran");
        self.finish(&job.id, run, true, &what, next, until).await;
    }

    async fn attempt(&self, taken: &Taken, plan: &Plan) -> Outcome {
        let agent = &taken.job.agent;
        let forbidden = |tool: &str| !self.policy.allows(agent, tool);
        if forbidden(CronCreate::NAME) {
            let why = "the gateway's configuration does not allow the agent jobs any more";
            return Outcome::Failed(why.to_owned());
        }
        let sent = match &plan.what {
            What::Prompt { session, text } => {
                // A prompt that is begun again is not doubled, so this may be cut off anywhere.
                tokio::select! {
                    sent = self.prompt(taken, session, text) => sent,
                    () = self.stop.cancelled() => return Outcome::Stopped,
                }
            }
            What::Message { .. } if forbidden(MESSAGE) => Err(Refusal::new(
                "the gateway's configuration does not allow the agent messages any more",
            )),
            What::Message { channel, text } => {
                let from = Caller {
                    session: plan.by.clone(),
                    agent: agent.clone(),
                    depth: 0,
                };
                // It may have been heard when it is cut off, so a gateway that stops waits for it.
                let never = CancellationToken::new();
                let sent = self.post.send(channel, &from, text, &never).await;
                sent.map(|()| format!("message sent to {channel}"))
            }
        };
        match sent {
            Ok(what) => Outcome::Done(what),
            Err(refusal) => Outcome::Failed(refusal.as_str().to_owned()),
        }
    }

    async fn prompt(
        &self,
        taken: &Taken,
        session: &SessionId,
        text: &str,
    ) -> Result<String, Refusal> {
        let prompt = Prompt {
            idempotency_key: Some(run_name(&taken.job.id, taken.run)),
            ..Prompt::text(text)
        };
        self.reach(taken, session).await?;
        let turn = match self.pool.send(session, prompt.clone()).await {
            // It has ended just now.
            Err(PoolError::UnknownSession(_)) => {
                self.reach(taken, session).await?;
                self.pool.send(session, prompt).await?
            }
            sent => sent?,
        };
        let what = format!("prompt sent to {session} as turn {}", turn.turn);
        self.watch(turn);
        Ok(what)
    }

    /// Sees to it that the session lives, and for the job's own agent.
    async fn reach(&self, taken: &Taken, session: &SessionId) -> Result<(), Refusal> {
        if self.is_own_and_live(taken, session).await? {
            return Ok(());
        }
        let claim = ClaimRequest {
            session: Some(session.clone()),
            agent: taken.job.agent.clone(),
            ..ClaimRequest::default()
        };
        self.pool.claim(claim).await?;
        // Somebody else may have come first.
        self.is_own_and_live(taken, session).await.map(|_| ())
    }

    async fn is_own_and_live(&self, taken: &Taken, session: &SessionId) -> Result<bool, Refusal> {
        let info = match self.pool.session(session).await {
            Ok(info) => info,
            Err(PoolError::UnknownSession(_)) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        if info.agent != taken.job.agent {
            return Err(Refusal::new(format!(
                "the session {session} is another agent's now"
            )));
        }
        match info.status {
            SessionStatus::Assigned | SessionStatus::Busy => Ok(true),
            SessionStatus::Draining | SessionStatus::Ended => Ok(false),
        }
    }

    /// Reads a turn to its end: how it went is told by metrics and the log, as of any other.
    fn watch(&self, mut turn: Turn) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            let read = async { while turn.events.next().await.is_some() {} };
            // What was not read nobody misses.
            tokio::select! {
                () = read => {}
                () = stop.cancelled() => {}
            }
        });
    }

    /// Tries for as long as the run is this gateway's.
    async fn finish(
        &self,
        job: &JobId,
        run: Run,
        fired: bool,
        outcome: &str,
        next: Option<UnixMs>,
        until: Instant,
    ) {
        let how = Finished {
            fired,
            outcome: outcome.chars().take(WORDS).collect(),
            next,
            keep: self.config.keep_done,
        };
        loop {
            match self.jobs.finish(job, run, &how).await {
                Ok(true) => return,
                Ok(false) => {
                    tracing::debug!(%job, "a job has gone, or another gateway carries it out");
                    return;
                }
                Err(error) if error.is_retryable() && Instant::now() + AGAIN < until => {
                    tokio::time::sleep(AGAIN).await;
                }
                Err(error) => {
                    tracing::warn!(%job, %error, "what came of a job could not be written down");
                    return;
                }
            }
        }
    }

    async fn give_back(&self, job: &JobId, run: Run) {
        // Without it the run is given out again once its time is over.
        if let Err(error) = self.jobs.give_back(job, run).await {
            tracing::debug!(%job, %error, "could not give a job back");
        }
    }
}

fn read(plan: &str) -> Result<(Plan, Clock), String> {
    let plan: Plan = serde_json::from_str(plan).map_err(|error| error.to_string())?;
    let clock = plan.when.clock();
    let clock = clock.map_err(|refusal| refusal.as_str().to_owned())?;
    Ok((plan, clock))
}

/// Names a run in all gateways: a prompt with this key is one prompt.
fn run_name(job: &JobId, run: Run) -> String {
    format!("cron:{job}:{}", run.due)
}
