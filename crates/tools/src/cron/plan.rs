//! What a job does and when, as it is written down.

use ccpool::SessionId;
use ccpool_protocol::UnixMs;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::schedule::{Schedule, timestamp, unix_ms};
use crate::Refusal;

/// What an agent wants done, in JSON with its job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Plan {
    /// For people and models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    /// The session that asked for it.
    pub(super) by: SessionId,
    pub(super) when: When,
    pub(super) what: What,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum When {
    /// Again and again.
    #[serde(rename_all = "camelCase")]
    Schedule {
        expression: String,
        time_zone: String,
    },
    /// Once (Unix ms).
    At(UnixMs),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum What {
    /// A prompt to a session of the agent's.
    Prompt { session: SessionId, text: String },
    /// A message to a channel.
    Message { channel: String, text: String },
}

/// Tells when a job is due.
#[derive(Debug, Clone)]
pub(super) enum Clock {
    Schedule(Box<Schedule>),
    At(UnixMs),
}

impl When {
    /// # Errors
    /// What is wrong with a schedule, for a model.
    pub(super) fn clock(&self) -> Result<Clock, Refusal> {
        Ok(match self {
            Self::Schedule {
                expression,
                time_zone,
            } => Clock::Schedule(Box::new(Schedule::parse(expression, time_zone)?)),
            Self::At(at) => Clock::At(*at),
        })
    }
}

impl Clock {
    /// When it is due first after this moment (Unix ms), if ever.
    pub(super) fn next(&self, after: UnixMs) -> Option<UnixMs> {
        match self {
            Self::Schedule(schedule) => unix_ms(schedule.next(timestamp(after)?)?),
            Self::At(at) => Some(*at).filter(|at| *at > after),
        }
    }

    /// When the next run is, of a job that ran for `due` at `now`. Several that were missed are one, and
    /// what is to be done once is done.
    pub(super) fn next_run(&self, due: UnixMs, now: UnixMs) -> Option<UnixMs> {
        match self {
            Self::Schedule(_) => self.next(due.max(now)),
            Self::At(_) => None,
        }
    }

    /// The next moments after this one, at most `count`.
    pub(super) fn upcoming(&self, after: UnixMs, count: usize) -> Vec<UnixMs> {
        let first = self.next(after);
        let all = std::iter::successors(first, |last| self.next(*last));
        all.take(count).collect()
    }

    /// A moment as RFC 3339 has it, on the clock of the schedule's zone.
    pub(super) fn shown(&self, at: UnixMs) -> String {
        match (self, timestamp(at)) {
            (Self::Schedule(schedule), Some(at)) => schedule.shown(at),
            (Self::At(_), Some(at)) => utc(at),
            (_, None) => format!("{at} ms after 1970"),
        }
    }
}

/// A moment as RFC 3339 has it, in UTC.
pub(super) fn utc(at: Timestamp) -> String {
    at.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_down_for_people_to_read() {
        let session = SessionId::new("s1").unwrap();
        let mut plan = Plan {
            name: None,
            by: session.clone(),
            when: When::Schedule {
                expression: "0 7 * * *".to_owned(),
                time_zone: "UTC".to_owned(),
            },
            what: What::Prompt {
                session,
                text: "hello".to_owned(),
            },
        };
        let text = serde_json::to_string(&plan).unwrap();
        assert_eq!(
            text,
            r#"{"by":"s1","when":{"schedule":{"expression":"0 7 * * *","timeZone":"UTC"}},"what":{"prompt":{"session":"s1","text":"hello"}}}"#
        );
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
        plan.when = When::At(5);
        plan.name = Some("n".to_owned());
        let text = serde_json::to_string(&plan).unwrap();
        assert!(text.contains(r#""when":{"at":5}"#), "{text}");
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
    }

    #[test]
    fn one_moment_comes_once() {
        let clock = When::At(1_795_195_419_675).clock().unwrap();
        assert_eq!(clock.upcoming(5, 3), [1_795_195_419_675]);
        assert_eq!(clock.next(1_795_195_419_675), None);
        assert_eq!(clock.next_run(5, 6), None, "whenever somebody let it run");
        assert_eq!(clock.shown(1_795_195_419_675), "2026-11-20T17:23:39.675Z");
    }

    #[test]
    fn a_schedule_comes_again() {
        let when = When::Schedule {
            expression: "0 * * * *".to_owned(),
            time_zone: "Asia/Kolkata".to_owned(),
        };
        let clock = when.clock().unwrap();
        let upcoming = clock.upcoming(1_795_195_419_675, 3);
        let shown: Vec<String> = upcoming.iter().map(|at| clock.shown(*at)).collect();
        assert_eq!(
            shown,
            [
                "2026-11-20T23:00:00+05:30",
                "2026-11-21T00:00:00+05:30",
                "2026-11-21T01:00:00+05:30"
            ]
        );
        let hour = 3_600_000;
        assert_eq!(clock.next_run(upcoming[0], upcoming[0]), Some(upcoming[1]));
        let late = clock.next_run(upcoming[0], upcoming[1] + hour / 2);
        assert_eq!(late, Some(upcoming[2]));
        let early = clock.next_run(upcoming[0], upcoming[0] - hour);
        assert_eq!(early, Some(upcoming[1]), "a clock that was set back");
    }

    #[test]
    fn no_moment_is_too_far_to_be_answered() {
        for clock in [
            When::At(u64::MAX),
            When::Schedule {
                expression: "* * * * *".to_owned(),
                time_zone: "UTC".to_owned(),
            },
        ] {
            let clock = clock.clock().unwrap();
            for at in [0, 253_402_207_200_000, 253_402_300_799_999, u64::MAX] {
                assert!(clock.next(at).is_none_or(|next| next > at));
                assert!(!clock.shown(at).is_empty());
            }
        }
    }
}
