use std::fmt::Write as _;
use std::sync::Arc;

use ccpool::config::Config;
use ccpool::store::{Added, JobId, NewJob};
use ccpool::{Pool, PoolError, SessionId};
use ccpool_protocol::UnixMs;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::plan::{Plan, What, When, utc};
use super::post::Post;
use super::schedule::{timestamp, unix_ms};
use crate::sessions::own;
use crate::{Answer, Call, Caller, Effect, Policy, Refusal, Tool};

/// How many of the next times are told.
const SHOWN: usize = 3;
const LONGEST_NAME: usize = 80;
const LONGEST_TEXT: usize = 20_000;
/// An RFC 3339 time and some more.
const LONGEST_TIME: usize = 64;

/// `cron_create`.
#[derive(Debug)]
pub(crate) struct CronCreate {
    pool: Pool,
    policy: Policy,
    post: Arc<dyn Post>,
    most: usize,
}

impl CronCreate {
    pub(crate) fn new(pool: &Pool, config: &Config, post: Arc<dyn Post>) -> Self {
        Self {
            pool: pool.clone(),
            policy: Policy::of(config),
            post,
            most: config.tools.cron.max_jobs as usize,
        }
    }
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Wish {
    /// A short name to recognise the job by.
    #[schemars(length(max = 80))]
    name: Option<String>,
    /// When, again and again: a cron expression with five fields (minute, hour, day of the month,
    /// month, day of the week), such as `30 7 * * 1-5`. Give this or `at`.
    schedule: Option<String>,
    /// The IANA time zone whose clock `schedule` is about, such as `Europe/Berlin`; UTC when left out.
    time_zone: Option<String>,
    /// When, once: a time to come as RFC 3339 with its offset, such as `2030-01-31T09:00:00+01:00`.
    /// Give this or `schedule`.
    at: Option<String>,
    /// The prompt that the session is sent. Give this or `message`.
    #[schemars(length(max = 20_000))]
    prompt: Option<String>,
    /// The session of your agent that gets the prompt, as `sessions_list` shows it; your own when left
    /// out. If it has ended by then, it is begun anew under its name.
    session: Option<String>,
    /// The text that the channel is sent. Give this, with `channel`, or `prompt`.
    #[schemars(length(max = 20_000))]
    message: Option<String>,
    /// The channel that gets the message.
    channel: Option<String>,
}

impl Tool for CronCreate {
    type Arguments = Wish;
    const NAME: &'static str = "cron_create";
    const DESCRIPTION: &'static str = "Have a prompt sent to a session, or a message to a channel, at \
        a set time or again and again. Give exactly one of `schedule` and `at`, and exactly one of \
        `prompt` and `message`. Answers with the job's id and its next times; `cron_list` shows what \
        came of it, `cron_delete` removes it.";
    const EFFECT: Effect = Effect::Acts;

    async fn call(&self, wish: Wish, call: Call) -> Result<Answer, Refusal> {
        let plan = plan(wish, &call.caller)?;
        self.may(&call.caller, &plan.what).await?;
        let jobs = self.pool.jobs();
        let now = jobs.now().await.map_err(PoolError::from)?;
        let clock = plan.when.clock()?;
        let upcoming = clock.upcoming(now, SHOWN);
        let Some(due) = upcoming.first().copied() else {
            return Err(never(&plan.when, now));
        };
        let job = NewJob {
            id: JobId::from_random(rand::random()),
            agent: call.caller.agent.clone(),
            plan: serde_json::to_string(&plan)
                .expect("a plan is text and numbers, which JSON can hold"),
            due,
        };
        match jobs.add(&job, self.most).await.map_err(PoolError::from)? {
            Added::Added => {}
            Added::Full => {
                return Err(Refusal::new(format!(
                    "Your agent has {} jobs to come, and may not have more. Remove one with `cron_delete`; \
                     `cron_list` shows them.",
                    self.most
                )));
            }
        }
        let next: Vec<String> = upcoming.iter().map(|at| clock.shown(*at)).collect();
        let mut text = format!("Job {} is set. Next: {}", job.id, next.join(", "));
        if next.len() < SHOWN {
            text.push_str(" (once)");
        }
        let _ = write!(text, ".");
        let data = json!({"id": job.id.as_str(), "next": next});
        Ok(Answer::with_data(text, data))
    }
}

impl CronCreate {
    /// Whether the caller may do that itself.
    async fn may(&self, caller: &Caller, what: &What) -> Result<(), Refusal> {
        match what {
            What::Prompt { session, .. } if *session == caller.session => Ok(()),
            What::Prompt { session, .. } => {
                own(&self.pool, caller, session).await?;
                Ok(())
            }
            What::Message { .. } if !self.policy.allows(&caller.agent, "message") => {
                Err(Refusal::new(
                    "Your agent may not send messages: the gateway's configuration forbids it. Use \
                     `prompt`.",
                ))
            }
            What::Message { channel, .. } => {
                let names = self.post.names();
                if names.contains(channel) {
                    return Ok(());
                }
                let there_are = match names.as_slice() {
                    [] => "none is configured. Use `prompt`".to_owned(),
                    names => format!("there are {}", names.join(", ")),
                };
                Err(Refusal::new(format!(
                    "There is no channel `{}`: {there_are}.",
                    cut(channel)
                )))
            }
        }
    }
}

/// What is wished for, if it is one thing at one time.
fn plan(wish: Wish, caller: &Caller) -> Result<Plan, Refusal> {
    let Wish {
        name,
        schedule,
        time_zone,
        at,
        prompt,
        session,
        message,
        channel,
    } = wish;
    let name = name.map(|name| name.trim().to_owned());
    let name = name.filter(|name| !name.is_empty());
    if name
        .as_ref()
        .is_some_and(|name| name.chars().count() > LONGEST_NAME)
    {
        let text = format!("The name is too long: it may have {LONGEST_NAME} characters.");
        return Err(Refusal::new(text));
    }
    let when = match (schedule, at) {
        (Some(expression), None) => When::Schedule {
            expression: expression.trim().to_owned(),
            time_zone: time_zone.unwrap_or_else(|| "UTC".to_owned()),
        },
        (None, Some(_)) if time_zone.is_some() => {
            return Err(Refusal::new(
                "`timeZone` belongs to `schedule`. Leave it out: `at` has an offset of its own, as \
                 in `2030-01-31T09:00:00+01:00`.",
            ));
        }
        (None, Some(at)) => When::At(moment(&at)?),
        (Some(_), Some(_)) | (None, None) => {
            return Err(Refusal::new(
                "Give exactly one of `schedule` (again and again, such as `30 7 * * 1-5`) and `at` \
                 (once, such as `2030-01-31T09:00:00+01:00`).",
            ));
        }
    };
    let what = match (prompt, message, channel) {
        (Some(text), None, None) => What::Prompt {
            session: match session {
                None => caller.session.clone(),
                Some(session) => SessionId::new(session).map_err(|error| {
                    Refusal::new(format!("`session` is no session id: {error}."))
                })?,
            },
            text: sized("prompt", text)?,
        },
        (None, Some(text), Some(channel)) if session.is_none() => What::Message {
            channel,
            text: sized("message", text)?,
        },
        _ => {
            return Err(Refusal::new(
                "Give either `prompt`, with `session` if it is not for your own one, or `message` \
                 together with `channel`.",
            ));
        }
    };
    Ok(Plan {
        name,
        by: caller.session.clone(),
        when,
        what,
    })
}

fn sized(what: &str, text: String) -> Result<String, Refusal> {
    if text.trim().is_empty() {
        return Err(Refusal::new(format!("The {what} is empty.")));
    }
    if text.chars().count() > LONGEST_TEXT {
        return Err(Refusal::new(format!(
            "The {what} is too long: it may have {LONGEST_TEXT} characters. Put the rest into a file \
             and name that."
        )));
    }
    Ok(text)
}

fn moment(text: &str) -> Result<UnixMs, Refusal> {
    let text = text.trim();
    let parsed = (text.len() <= LONGEST_TIME).then(|| text.parse::<Timestamp>().ok());
    parsed.flatten().and_then(unix_ms).ok_or_else(|| {
        Refusal::new(format!(
            "`{}` is no time: write it as RFC 3339 with an offset, such as \
             `2030-01-31T09:00:00+01:00` or `2030-01-31T08:00:00Z`.",
            cut(text)
        ))
    })
}

/// Why nothing would ever happen.
fn never(when: &When, now: UnixMs) -> Refusal {
    let now = timestamp(now).map_or_else(|| "later".to_owned(), utc);
    Refusal::new(match when {
        When::At(_) => format!("That time has passed: it is {now} now."),
        When::Schedule { expression, .. } => format!(
            "The schedule `{expression}` never comes, by the calendar. Write one that does, such as \
             `0 9 L * *` for the last day of every month."
        ),
    })
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST_TIME).collect()
}

#[cfg(test)]
#[path = "create_tests.rs"]
mod tests;
