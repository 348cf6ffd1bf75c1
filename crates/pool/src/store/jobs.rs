//! The edge to what agents want done at set times.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use ccpool_protocol::{AgentId, UnixMs};

use super::StoreError;

/// Names a job: `j-` and twelve hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(String);

impl JobId {
    /// `bits`: random.
    pub fn from_random(bits: u64) -> Self {
        Self(format!("j-{:012x}", bits & 0xffff_ffff_ffff))
    }

    /// None: no job is called that.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("j-")?;
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (digits.len() == 12 && digits.bytes().all(is_hex)).then(|| Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A job to be written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// Its name.
    pub id: JobId,
    /// Whose it is.
    pub agent: AgentId,
    /// What is to be done and when, in words of whoever carries it out.
    pub plan: String,
    /// When it is due first.
    pub due: UnixMs,
}

/// A job as it is written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its name.
    pub id: JobId,
    /// Whose it is.
    pub agent: AgentId,
    /// What is to be done and when, as it was given.
    pub plan: String,
    /// When it was written down.
    pub created_at: UnixMs,
    /// Where it stands.
    pub state: JobState,
    /// How often it was carried out.
    pub runs: u64,
    /// What came of the newest run.
    pub last: Option<LastRun>,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// It is due then.
    Waiting(UnixMs),
    /// A gateway carries it out.
    Firing(Run),
    /// It is never due again.
    Done,
}

/// One run of a job, as it was given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// When it was due. With the job's name this names the run.
    pub due: UnixMs,
    /// How often it was given out: once, unless gateways did not finish it.
    pub attempt: u32,
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastRun {
    /// When it was due.
    pub due: UnixMs,
    /// In words.
    pub outcome: String,
}

/// The answer to a new job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// It is written down.
    Added,
    /// The agent has as many as it may, and none of them is over.
    Full,
}

/// A job that this gateway is to carry out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Which.
    pub job: Job,
    /// Which run of it.
    pub run: Run,
    /// Redis' time.
    pub now: UnixMs,
}

/// The answer to asking for a job that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Take {
    /// This one is.
    Taken(Box<Taken>),
    /// None is.
    Nothing {
        /// Until then, as far as is known now; None: there are no jobs.
        wait: Option<Duration>,
    },
}

/// How a run has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// It was carried out, well or not; false: it was left out.
    pub fired: bool,
    /// What came of it, in words.
    pub outcome: String,
    /// When the job is due next, if ever.
    pub next: Option<UnixMs>,
    /// How long a job that is never due again is kept, for its outcome to be seen.
    pub keep: Duration,
}

/// Jobs and their runs. Every method is one atomic step, and the clock is Redis' own.
#[async_trait]
pub trait Jobs: Send + Sync + fmt::Debug {
    /// Redis' time.
    async fn now(&self) -> Result<UnixMs, StoreError>;

    /// Writes down a job, if its agent has fewer than `most`. Where it has as many, the one that has
    /// been over for longest makes room.
    async fn add(&self, job: &NewJob, most: usize) -> Result<Added, StoreError>;

    /// Forgets a job. False: the agent has none of that name.
    async fn remove(&self, agent: &AgentId, job: &JobId) -> Result<bool, StoreError>;

    /// All jobs of an agent, those written down first before the others.
    async fn of_agent(&self, agent: &AgentId) -> Result<Vec<Job>, StoreError>;

    /// Takes the job that has been due for longest: nobody else is given it within `lease`.
    async fn take(&self, lease: Duration) -> Result<Take, StoreError>;

    /// Writes down how a run has ended. False: it was given to somebody else, or the job is gone.
    async fn finish(&self, job: &JobId, run: Run, how: &Finished) -> Result<bool, StoreError>;

    /// Gives up a run that was not carried out, for another gateway. False: as above.
    async fn give_back(&self, job: &JobId, run: Run) -> Result<bool, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_jobs_are_names_of_jobs() {
        let id = JobId::from_random(0xabc);
        assert_eq!(id.as_str(), "j-000000000abc");
        assert_eq!(JobId::parse(id.as_str()), Some(id));
        for bad in [
            "",
            "j-",
            "j-000000000ABC",
            "j-00000000000",
            "x-000000000abc",
            "j-00000000é0a",
        ] {
            assert_eq!(JobId::parse(bad), None, "{bad}");
        }
    }
}
