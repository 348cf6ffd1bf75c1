use std::fmt::Write as _;

use ccpool::store::{Job, JobState};
use ccpool::{Pool, PoolError};
use ccpool_protocol::UnixMs;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::plan::{Plan, What, When, utc};
use super::schedule::timestamp;
use crate::{Answer, Call, Effect, Refusal, Tool};

/// More jobs are no help to a model.
const MOST: usize = 200;
/// So much of a prompt or a message is shown.
const EXCERPT: usize = 160;

/// `cron_list`.
#[derive(Debug)]
pub(crate) struct CronList {
    pool: Pool,
}

impl CronList {
    pub(crate) fn new(pool: &Pool) -> Self {
        Self { pool: pool.clone() }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

impl Tool for CronList {
    type Arguments = Nothing;
    const NAME: &'static str = "cron_list";
    const DESCRIPTION: &'static str = "List the jobs of your agent, oldest first: what each does, when \
        it is due next, how often it ran and what came of the newest run.";
    const EFFECT: Effect = Effect::Reads;

    async fn call(&self, _: Nothing, call: Call) -> Result<Answer, Refusal> {
        let agent = &call.caller.agent;
        let jobs = self.pool.jobs();
        let now = jobs.now().await.map_err(PoolError::from)?;
        let all = jobs.of_agent(agent).await.map_err(PoolError::from)?;
        let shown: Vec<Shown> = all.iter().take(MOST).map(Shown::of).collect();
        let now = moment(now);
        let mut text = format!("{} jobs of agent {agent}; it is {now}", all.len());
        if shown.len() < all.len() {
            let _ = write!(text, "; the oldest {} are shown", shown.len());
        }
        for job in &shown {
            let _ = write!(text, "\n{}", job.line());
        }
        let data = json!({"agent": agent, "now": now, "total": all.len(), "jobs": shown});
        Ok(Answer::with_data(text, data))
    }
}

/// What the model may know of a job.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// The expression and its zone, or the moment.
    when: String,
    what: String,
    /// When it is due next; nothing for one that is over or under way.
    next: Option<String>,
    status: &'static str,
    runs: u64,
    last_run: Option<String>,
    last_outcome: Option<String>,
}

impl Shown {
    fn of(job: &Job) -> Self {
        let plan: Option<Plan> = serde_json::from_str(&job.plan).ok();
        let clock = plan.as_ref().and_then(|plan| plan.when.clock().ok());
        let on_clock = |at: UnixMs| clock.as_ref().map_or_else(|| moment(at), |c| c.shown(at));
        let (next, status) = match job.state {
            JobState::Waiting(due) => (Some(on_clock(due)), "waiting"),
            JobState::Firing(_) => (None, "running"),
            JobState::Done => (None, "done"),
        };
        let unreadable = || "unreadable for this gateway".to_owned();
        Self {
            id: job.id.to_string(),
            when: plan
                .as_ref()
                .map_or_else(unreadable, |plan| when(&plan.when)),
            what: plan
                .as_ref()
                .map_or_else(unreadable, |plan| what(&plan.what)),
            name: plan.and_then(|plan| plan.name),
            next,
            status,
            runs: job.runs,
            last_run: job.last.as_ref().map(|last| on_clock(last.due)),
            last_outcome: job.last.as_ref().map(|last| last.outcome.clone()),
        }
    }

    fn line(&self) -> String {
        let mut line = self.id.clone();
        if let Some(name) = &self.name {
            let _ = write!(line, " {name:?}");
        }
        let _ = write!(line, ": {}, {}; ", self.when, self.what);
        let _ = match &self.next {
            Some(next) => write!(line, "next {next}"),
            None => write!(line, "{}", self.status),
        };
        let _ = write!(line, "; {} runs", self.runs);
        if let (Some(run), Some(outcome)) = (&self.last_run, &self.last_outcome) {
            let _ = write!(line, ", last for {run}: {outcome}");
        }
        line
    }
}

fn when(when: &When) -> String {
    match when {
        When::Schedule {
            expression,
            time_zone,
        } => format!("{expression} ({time_zone})"),
        When::At(at) => format!("once at {}", moment(*at)),
    }
}

fn what(what: &What) -> String {
    match what {
        What::Prompt { session, text } => format!("prompt to session {session}: {}", excerpt(text)),
        What::Message { channel, text } => {
            format!("message to channel {channel}: {}", excerpt(text))
        }
    }
}

/// In quotes, on one line.
fn excerpt(text: &str) -> String {
    let head: String = text.chars().take(EXCERPT).collect();
    let more = if head.len() < text.len() { "…" } else { "" };
    format!("{head:?}{more}")
}

fn moment(at: UnixMs) -> String {
    timestamp(at).map_or_else(|| format!("{at} ms after 1970"), utc)
}

#[cfg(test)]
mod tests {
    use ccpool::AgentId;
    use ccpool::store::{JobId, LastRun};

    use super::*;

    fn job(plan: &str, state: JobState) -> Job {
        Job {
            id: JobId::from_random(7),
            agent: AgentId::new("main").unwrap(),
            plan: plan.to_owned(),
            created_at: 5,
            state,
            runs: 0,
            last: None,
        }
    }

    #[test]
    fn a_job_is_a_line() {
        let plan = r#"{"name":"Report","by":"s1","when":{"schedule":{"expression":"0 7 * * *","timeZone":"Asia/Kolkata"}},"what":{"prompt":{"session":"s1","text":"a\nb"}}}"#;
        let mut job = job(plan, JobState::Waiting(1_795_224_600_000));
        assert_eq!(
            Shown::of(&job).line(),
            r#"j-000000000007 "Report": 0 7 * * * (Asia/Kolkata), prompt to session s1: "a\nb"; next 2026-11-21T07:00:00+05:30; 0 runs"#
        );
        job.runs = 2;
        job.last = Some(LastRun {
            due: 1_795_138_200_000,
            outcome: "ok: sent".to_owned(),
        });
        let line = Shown::of(&job).line();
        let end = "2 runs, last for 2026-11-20T07:00:00+05:30: ok: sent";
        assert!(line.ends_with(end), "{line}");
    }

    #[test]
    fn a_job_that_is_over_says_so() {
        let long = "x".repeat(EXCERPT + 1);
        let plan = format!(
            r#"{{"by":"s1","when":{{"at":1795195419675}},"what":{{"message":{{"channel":"team","text":"{long}"}}}}}}"#
        );
        let line = Shown::of(&job(&plan, JobState::Done)).line();
        let expected = format!(
            r#"j-000000000007: once at 2026-11-20T17:23:39.675Z, message to channel team: "{}"…; done; 0 runs"#,
            "x".repeat(EXCERPT)
        );
        assert_eq!(line, expected);
    }

    #[test]
    fn a_job_of_another_version_is_shown_all_the_same() {
        let line = Shown::of(&job("{}", JobState::Waiting(5))).line();
        assert!(line.contains("unreadable"), "{line}");
        assert!(line.contains("1970-01-01T00:00:00.005Z"), "{line}");
    }
}
