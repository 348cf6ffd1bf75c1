//! `tools.cron`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::MissedRuns;
use crate::config::given::Given;
use crate::config::key_path::KeyPath;
use crate::config::show::millis;
use crate::config::units::{Count, Millis};
use crate::config::validate::Check;

/// Prompts and messages at set times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    /// How many jobs one agent may have.
    pub max_jobs: u32,
    /// What becomes of runs that fell into a time when no gateway ran.
    pub missed: MissedRuns,
    /// What is later than this is not carried out any more.
    pub max_late: Duration,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How long a job that is never due again stays listed.
    pub keep_done: Duration,
}

/// Prompts and messages at set times.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawCron {
    /// How many jobs one agent may have; 0 lets nobody make any.
    max_jobs: Given<Count<0, 10_000>>,
    /// What becomes of runs that fell into a time when no gateway ran: skip, or once (carried out
    /// late, several as one).
    missed: Given<MissedRuns>,
    /// What is later than this is not carried out any more, in milliseconds.
    max_late_ms: Given<Millis<60_000>>,
    /// How long one attempt may take, in milliseconds.
    timeout_ms: Given<Millis<1>>,
    /// How long a job that is never due again stays listed, in milliseconds.
    keep_done_ms: Given<Millis<0>>,
}

impl Default for RawCron {
    fn default() -> Self {
        Self {
            max_jobs: Given::of(50),
            missed: Given::of("once"),
            max_late_ms: Given::of(3_600_000),
            timeout_ms: Given::of(60_000),
            keep_done_ms: Given::of(86_400_000),
        }
    }
}

impl Check<'_> {
    pub(super) fn cron(&mut self, at: &KeyPath, raw: &RawCron) -> Cron {
        let RawCron {
            max_jobs,
            missed,
            max_late_ms,
            timeout_ms,
            keep_done_ms,
        } = raw;
        let default = RawCron::default();
        Cron {
            max_jobs: self
                .value(&at.key("maxJobs"), max_jobs, &default.max_jobs)
                .0,
            missed: self.value(&at.key("missed"), missed, &default.missed),
            max_late: self
                .value(&at.key("maxLateMs"), max_late_ms, &default.max_late_ms)
                .into(),
            timeout: self
                .value(&at.key("timeoutMs"), timeout_ms, &default.timeout_ms)
                .into(),
            keep_done: self
                .value(&at.key("keepDoneMs"), keep_done_ms, &default.keep_done_ms)
                .into(),
        }
    }
}

impl Cron {
    pub(super) fn shown(&self) -> Value {
        json!({
            "maxJobs": self.max_jobs,
            "missed": self.missed.as_str(),
            "maxLateMs": millis(self.max_late),
            "timeoutMs": millis(self.timeout),
            "keepDoneMs": millis(self.keep_done),
        })
    }
}
