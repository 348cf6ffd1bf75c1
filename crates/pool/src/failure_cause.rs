//! By what a container was lost: a word for the metrics, beside the reason for a person.

use std::collections::BTreeMap;

use ccpool_protocol::ContainerId;
use ccpool_protocol::record::ContainerState;

use crate::container::Container;
use crate::runtime::{Exit, Presence};

/// Why a container failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureCause {
    /// The runtime could not start it.
    NotStarted,
    /// It used too much memory.
    Oom,
    /// Its wrapper is of another version than the gateway.
    Version,
    /// Its wrapper said that it could not go on.
    GaveUp,
    /// It ended without a word.
    Exited,
    /// The runtime no longer has it.
    Vanished,
    /// It was not warm in time.
    Startup,
    /// It serves a session that nobody knows of: Redis has lost its claim.
    LostClaim,
    /// Its wrapper was not heard of for too long.
    Heartbeat,
}

impl FailureCause {
    /// The cause of a failure that the plan has found. `present` is what the runtime has; none: it
    /// did not answer. `host`: the runtime's own.
    ///
    /// What kills comes before what was killed by it: an exit for want of memory is no giving up.
    pub(crate) fn of(
        container: &Container,
        present: Option<&BTreeMap<ContainerId, Presence>>,
        host: &str,
    ) -> Self {
        match present.map(|present| present.get(&container.id)) {
            Some(Some(Presence::Exited(Exit { oom: true, .. }))) => Self::Oom,
            Some(None) if container.runtime_id.is_some() && container.host == host => {
                Self::Vanished
            }
            _ if container.is_stranger() => Self::Version,
            _ if container.failure.is_some() => Self::GaveUp,
            Some(Some(Presence::Exited(Exit { oom: false, .. }))) => Self::Exited,
            _ if container.has_lost_its_claim() => Self::LostClaim,
            Some(Some(Presence::Running) | None) | None => match container.state {
                ContainerState::Creating => Self::Startup,
                ContainerState::Warm
                | ContainerState::Assigned
                | ContainerState::Draining
                | ContainerState::Failed => Self::Heartbeat,
            },
        }
    }

    /// The label.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::NotStarted => "not_started",
            Self::Oom => "oom",
            Self::Version => "version",
            Self::GaveUp => "gave_up",
            Self::Exited => "exited",
            Self::Vanished => "vanished",
            Self::Startup => "startup",
            Self::LostClaim => "lost_claim",
            Self::Heartbeat => "heartbeat",
        }
    }

    /// Counts a container that was lost by this.
    pub(crate) fn count(self) {
        metrics::counter!("ccpool_container_failures_total", "cause" => self.as_str()).increment(1);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const HOST: &str = "here";

    fn container(record: &[(&str, &str)], said: &[(&str, &str)]) -> Container {
        let owned = |pairs: &[(&str, &str)]| -> HashMap<String, String> {
            let pairs = pairs.iter();
            pairs
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect()
        };
        let found =
            Container::from_hashes(ContainerId::from_random(1), &owned(record), &owned(said));
        found.expect("it has a state")
    }

    fn cause(container: &Container, presence: Option<Presence>) -> FailureCause {
        let present = presence.map(|presence| (container.id.clone(), presence));
        FailureCause::of(container, Some(&present.into_iter().collect()), HOST)
    }

    #[test]
    fn by_what_is_known() {
        let exited = |oom| {
            Some(Presence::Exited(Exit {
                code: Some(137),
                oom,
            }))
        };
        let running = Some(Presence::Running);
        let record = [("state", "warm"), ("runtimeId", "r"), ("host", HOST)];
        let warm = container(&record, &[]);
        assert_eq!(cause(&warm, exited(true)), FailureCause::Oom);
        assert_eq!(cause(&warm, exited(false)), FailureCause::Exited);
        assert_eq!(cause(&warm, None), FailureCause::Vanished);
        assert_eq!(cause(&warm, running), FailureCause::Heartbeat);
        assert_eq!(FailureCause::of(&warm, None, HOST), FailureCause::Heartbeat);
        let elsewhere = [("state", "warm"), ("runtimeId", "r"), ("host", "there")];
        let elsewhere = container(&elsewhere, &[]);
        assert_eq!(cause(&elsewhere, None), FailureCause::Heartbeat);
        let claimed = container(&record, &[("session", "s")]);
        assert_eq!(cause(&claimed, running), FailureCause::LostClaim);
        let creating = container(&[("state", "creating")], &[]);
        assert_eq!(cause(&creating, None), FailureCause::Startup);
        assert_eq!(cause(&creating, running), FailureCause::Startup);
    }

    #[test]
    fn what_its_wrapper_said_explains_its_exit_but_not_a_want_of_memory() {
        let exited = |oom| Some(Presence::Exited(Exit { code: Some(1), oom }));
        let said = [("failure", "claude is not there")];
        let gave_up = container(&[("state", "creating"), ("runtimeId", "r")], &said);
        assert_eq!(cause(&gave_up, exited(false)), FailureCause::GaveUp);
        assert_eq!(cause(&gave_up, exited(true)), FailureCause::Oom);
        let record = [("state", "creating"), ("aclHash", "00")];
        let stranger = container(&record, &[("registeredAt", "1"), ("script", "0123")]);
        assert_eq!(
            cause(&stranger, Some(Presence::Running)),
            FailureCause::Version
        );
    }
}
