//! A container as Redis knows it: the record that gateways write, and the wrapper's report.

use std::collections::HashMap;

use ccpool_protocol::record::{ContainerState, field, report};
use ccpool_protocol::{AgentId, ContainerId, SessionId, TurnId, UnixMs, state};

/// The record and the report of one container, read at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct Container {
    /// Who.
    pub id: ContainerId,
    /// Where it stands.
    pub state: ContainerState,
    /// The session that it serves or served.
    pub session: Option<SessionId>,
    /// On whose behalf.
    pub agent: Option<AgentId>,
    /// What it was made from.
    pub fingerprint: String,
    /// SHA-256 of its Redis user's password; none when it was made without a user.
    pub acl_hash: Option<String>,
    /// The runtime's own id, once it has one.
    pub runtime_id: Option<String>,
    /// When its place was reserved.
    pub created_at: UnixMs,
    /// When its token listed the gateway's tools.
    pub tools_listed_at: Option<UnixMs>,
    /// When it became claimable.
    pub warm_at: Option<UnixMs>,
    /// When it was claimed.
    pub assigned_at: Option<UnixMs>,
    /// Why it failed or drains.
    pub reason: Option<String>,
    /// When its wrapper reached Redis.
    pub registered_at: Option<UnixMs>,
    /// When `claude` had booted.
    pub ready_at: Option<UnixMs>,
    /// When its wrapper was last heard of.
    pub heartbeat: Option<UnixMs>,
    /// Why its wrapper gave up.
    pub failure: Option<String>,
    /// It was claimed, and its assignment does not lie in its inbox.
    pub undelivered: bool,
    /// What its session is doing, when it has one.
    pub activity: Option<Activity>,
}

/// What a session is doing.
#[derive(Debug, Clone, PartialEq)]
pub struct Activity {
    /// The running turn.
    pub turn: Option<TurnId>,
    /// When something last happened.
    pub last_activity: UnixMs,
}

impl Container {
    /// Reads the two hashes. None: the container was forgotten meanwhile.
    pub(crate) fn from_hashes(
        id: ContainerId,
        record: &HashMap<String, String>,
        said: &HashMap<String, String>,
    ) -> Option<Self> {
        let text = |name: &str| record.get(name).filter(|v| !v.is_empty());
        let time = |hash: &HashMap<String, String>, name: &str| hash.get(name)?.parse().ok();
        Some(Self {
            state: text(field::STATE)?.parse().ok()?,
            session: text(field::SESSION).and_then(|s| SessionId::new(s.as_str()).ok()),
            agent: text(field::AGENT).and_then(|a| AgentId::new(a.as_str()).ok()),
            fingerprint: text(field::FINGERPRINT).cloned().unwrap_or_default(),
            acl_hash: text(field::ACL_HASH).cloned(),
            runtime_id: text(field::RUNTIME_ID).cloned(),
            created_at: time(record, field::CREATED_AT).unwrap_or(0),
            tools_listed_at: time(record, field::TOOLS_LISTED_AT),
            warm_at: time(record, field::WARM_AT),
            assigned_at: time(record, field::ASSIGNED_AT),
            reason: text(field::REASON).cloned(),
            registered_at: time(said, report::REGISTERED_AT),
            ready_at: time(said, report::READY_AT),
            heartbeat: time(said, report::HEARTBEAT),
            failure: said.get(report::FAILURE).cloned(),
            undelivered: false,
            activity: None,
            id,
        })
    }

    /// The word a person is shown: `booting` and `busy` are told apart here.
    pub fn shown_state(&self) -> &'static str {
        match self.state {
            ContainerState::Creating if self.registered_at.is_some() => "booting",
            ContainerState::Assigned if self.is_busy() => "busy",
            state => state.as_str(),
        }
    }

    /// A turn is running.
    pub fn is_busy(&self) -> bool {
        self.activity
            .as_ref()
            .is_some_and(|activity| activity.turn.is_some())
    }
}

impl Activity {
    pub(crate) fn from_hash(hash: &HashMap<String, String>) -> Self {
        let turn = hash.get(state::field::TURN).filter(|turn| !turn.is_empty());
        let time = hash
            .get(state::field::LAST_ACTIVITY)
            .and_then(|at| at.parse().ok());
        Self {
            turn: turn.and_then(|turn| TurnId::new(turn.as_str()).ok()),
            last_activity: time.unwrap_or(0),
        }
    }
}
