use ccpool::store::JobId;
use ccpool::{Pool, PoolError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::{Answer, Call, Effect, Refusal, Tool};

/// `cron_delete`.
#[derive(Debug)]
pub(crate) struct CronDelete {
    pool: Pool,
}

impl CronDelete {
    pub(crate) fn new(pool: &Pool) -> Self {
        Self { pool: pool.clone() }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    /// The job's id, as `cron_list` shows it.
    id: String,
}

impl Tool for CronDelete {
    type Arguments = Which;
    const NAME: &'static str = "cron_delete";
    const DESCRIPTION: &'static str = "Remove a job of your agent: it does not run any more.";
    const EFFECT: Effect = Effect::Destroys;

    async fn call(&self, which: Which, call: Call) -> Result<Answer, Refusal> {
        let removed = match JobId::parse(&which.id) {
            Some(id) => {
                let jobs = self.pool.jobs();
                let removed = jobs.remove(&call.caller.agent, &id).await;
                removed.map_err(PoolError::from)?.then_some(id)
            }
            None => None,
        };
        let Some(id) = removed else {
            let id: String = which.id.chars().take(40).collect();
            return Err(Refusal::new(format!(
                "Your agent has no job `{id}`; `cron_list` shows what there is."
            )));
        };
        let data = json!({"id": id.as_str(), "removed": true});
        Ok(Answer::with_data(format!("Job {id} is removed."), data))
    }
}
