//! Every Redis key and channel that ccpool uses is built here, and nowhere else but in the scripts that
//! say so at their heads.

use crate::{AgentId, ContainerId, SessionId, TurnId};

/// The key space of one pool: everything begins with its prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    prefix: String,
}

/// The keys of one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionKeys {
    /// List: prompts, appended by the gateway or by hand, taken from the left.
    pub input: String,
    /// List: prompts taken and not yet answered.
    pub inflight: String,
    /// Channel: envelopes as they come.
    pub output: String,
    /// List: the newest envelopes; the truth for replay.
    pub output_buffer: String,
    /// Hash: see [`crate::state::field`].
    pub state: String,
    /// String: JSON of the newest turn's terminal event.
    pub result: String,
    /// List: what was asked and answered; see [`crate::transcript`].
    pub transcript: String,
    /// Channel: see [`crate::control::Control`].
    pub control: String,
}

/// The keys of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerKeys {
    /// Hash, written by gateways only: what the pool knows and decided.
    pub record: String,
    /// Hash, written by the container's wrapper only: what it says of itself.
    pub report: String,
    /// List: assignments for the wrapper; see [`crate::assignment::Assignment`].
    pub inbox: String,
    /// Channel: control messages for a container without a session.
    pub control: String,
}

impl Keys {
    /// `prefix` is taken as it is; the default one is `clawdbot:cc:`.
    pub fn new(prefix: impl Into<String>) -> Self {
        Self {
            prefix: prefix.into(),
        }
    }

    /// The prefix itself.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The keys of `session`.
    pub fn session(&self, session: &SessionId) -> SessionKeys {
        let key = |name: &str| format!("{}{session}:{name}", self.prefix);
        SessionKeys {
            input: key("input"),
            inflight: key("inflight"),
            output: key("output"),
            output_buffer: key("output_buffer"),
            state: key("state"),
            result: key("result"),
            transcript: key("transcript"),
            control: key("control"),
        }
    }

    /// The keys of `container`.
    pub fn container(&self, container: &ContainerId) -> ContainerKeys {
        let key = |name: &str| format!("{}{container}{name}", self.container_prefix());
        ContainerKeys {
            record: key(""),
            report: key(":report"),
            inbox: key(":inbox"),
            control: key(":control"),
        }
    }

    /// What every key of a container begins with, before its id.
    pub fn container_prefix(&self) -> String {
        format!("{}pool:container:", self.prefix)
    }

    /// String: by which this pool's containers are labelled.
    pub fn pool_id(&self) -> String {
        format!("{}pool:id", self.prefix)
    }

    /// Set: the ids of all containers that exist or are being created.
    pub fn containers(&self) -> String {
        format!("{}pool:containers", self.prefix)
    }

    /// Sorted set: claimable containers by the time they became warm (Unix ms).
    pub fn warm(&self) -> String {
        format!("{}pool:warm", self.prefix)
    }

    /// Hash: live session to the container that serves it.
    pub fn sessions(&self) -> String {
        format!("{}pool:sessions", self.prefix)
    }

    /// Set: the live sessions of one agent.
    pub fn agent(&self, agent: &AgentId) -> String {
        format!("{}{agent}", self.agents_prefix())
    }

    /// What every key of an agent begins with, before its id.
    pub fn agents_prefix(&self) -> String {
        format!("{}pool:agent:", self.prefix)
    }

    /// String with a deadline: which turn a repeated request means (`Idempotency-Key`).
    pub fn idempotency(&self, session: &SessionId, key: &str) -> String {
        format!("{}pool:idempotency:{session}:{key}", self.prefix)
    }

    /// String with a deadline: over how many sessions a prompt has come.
    pub fn hops(&self, session: &SessionId, turn: &TurnId) -> String {
        format!("{}pool:hops:{session}:{turn}", self.prefix)
    }

    /// Sorted set: the sessions whose answers `session` waits for, by the deadline (Unix ms).
    pub fn awaits(&self, session: &SessionId) -> String {
        format!("{}{session}", self.awaits_prefix())
    }

    /// What every key of such a set begins with, before the session.
    pub fn awaits_prefix(&self) -> String {
        format!("{}pool:awaits:", self.prefix)
    }

    /// Hash with a deadline: a token that a person was given; `hash` and `session`.
    pub fn pass(&self, id: &str) -> String {
        format!("{}pool:pass:{id}", self.prefix)
    }

    /// String with a deadline: where a conversation without a name rests, by its fingerprint.
    pub fn conversation(&self, fingerprint: &str) -> String {
        format!("{}pool:conversation:{fingerprint}", self.prefix)
    }

    /// String with a deadline: where a named conversation rests, by the hash of whose it is and what
    /// it is called.
    pub fn conversation_named(&self, hash: &str) -> String {
        format!("{}pool:conversation:name:{hash}", self.prefix)
    }

    /// Sorted set: conversations that give way where there is no room, by the time until which they
    /// are kept (Unix ms).
    pub fn conversations(&self) -> String {
        format!("{}pool:conversations", self.prefix)
    }

    /// Sorted set: live gateways, as `id@host`, by the time until which they are taken for live
    /// (Unix ms).
    pub fn gateways(&self) -> String {
        format!("{}pool:gateways", self.prefix)
    }

    /// Hash: which gateway leads, and whether it can start containers; `owner`, `fence`, `until`,
    /// `drawn`, `look`, `trouble`.
    pub fn leader(&self) -> String {
        format!("{}pool:leader", self.prefix)
    }

    /// Hash: what was changed while the pool ran: limits, `draining`.
    pub fn settings(&self) -> String {
        format!("{}pool:settings", self.prefix)
    }

    /// String: the number of the last claim.
    pub fn claims(&self) -> String {
        format!("{}pool:claims", self.prefix)
    }

    /// Sorted set: tickets of waiting claims, in the order in which they are served.
    pub fn waiting(&self) -> String {
        format!("{}pool:waiting", self.prefix)
    }

    /// Hash: each ticket's deadline, and of which agent it is.
    pub fn tickets(&self) -> String {
        format!("{}pool:tickets", self.prefix)
    }

    /// Hash: whose turn it is among the agents that wait.
    pub fn fairness(&self) -> String {
        format!("{}pool:fairness", self.prefix)
    }

    /// Sorted set: the jobs of agents, by the time at which something is to be done about each
    /// (Unix ms).
    pub fn cron_due(&self) -> String {
        format!("{}pool:cron:due", self.prefix)
    }

    /// Hash: one job of an agent's.
    pub fn cron_job(&self, id: &str) -> String {
        format!("{}{id}", self.cron_job_prefix())
    }

    /// What every key of a job begins with, before its id.
    pub fn cron_job_prefix(&self) -> String {
        format!("{}pool:cron:job:", self.prefix)
    }

    /// Set: the ids of one agent's jobs.
    pub fn cron_agent(&self, agent: &AgentId) -> String {
        format!("{}{agent}", self.cron_agent_prefix())
    }

    /// What every set of an agent's jobs begins with, before the agent.
    pub fn cron_agent_prefix(&self) -> String {
        format!("{}pool:cron:agent:", self.prefix)
    }

    /// Channel: what gateways tell each other; containers may not. See `docs/redis.md`.
    pub fn news(&self) -> String {
        format!("{}pool:news", self.prefix)
    }

    /// Channel: a nudge whenever a container's report changed in a way a gateway waits for.
    pub fn events(&self) -> String {
        format!("{}pool:events", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_the_documented_ones() {
        let keys = Keys::new("clawdbot:cc:");
        let session = keys.session(&SessionId::new("s1").unwrap());
        assert_eq!(session.input, "clawdbot:cc:s1:input");
        assert_eq!(session.output_buffer, "clawdbot:cc:s1:output_buffer");
        let container = keys.container(&ContainerId::from_random(7));
        assert_eq!(
            container.record,
            "clawdbot:cc:pool:container:c-000000000007"
        );
        assert_eq!(
            container.inbox,
            "clawdbot:cc:pool:container:c-000000000007:inbox"
        );
        assert_eq!(keys.warm(), "clawdbot:cc:pool:warm");
        let job = keys.cron_job("j-000000000007");
        assert_eq!(job, "clawdbot:cc:pool:cron:job:j-000000000007");
        let agent = keys.cron_agent(&AgentId::new("main").unwrap());
        assert_eq!(agent, "clawdbot:cc:pool:cron:agent:main");
        let conversation = keys.conversation("0a");
        assert_eq!(conversation, "clawdbot:cc:pool:conversation:0a");
        let named = keys.conversation_named("0a");
        assert_eq!(named, "clawdbot:cc:pool:conversation:name:0a");
    }
}
