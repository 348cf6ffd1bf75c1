//! A container as Redis knows it: the record that gateways write, and the wrapper's report.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use ccpool_protocol::record::{ContainerState, field, report};
use ccpool_protocol::{AgentId, ContainerId, SessionId, TurnId, UnixMs, scripts, state};
use redis::Script;

use crate::store::ClaimNumber;

/// What is remembered of a session's state. Its container writes there what it likes.
const REMEMBERED: [&str; 16] = [
    state::field::STATUS,
    state::field::CONTAINER_ID,
    state::field::AGENT_ID,
    state::field::MODEL,
    state::field::TURN,
    state::field::STARTED_AT,
    state::field::LAST_ACTIVITY,
    state::field::TURNS,
    state::field::SEQ,
    state::field::CLI_SESSION_ID,
    state::field::BATCH,
    state::field::ENDED_AT,
    state::field::VISIBLE_OUTPUT,
    state::field::TOOL_EFFECTS,
    state::field::RESPAWNS,
    state::field::COST_USD,
];
/// The longest value of it that is remembered, in bytes.
const LONGEST: usize = 1024;

/// Why a container cannot be used whose wrapper publishes in another way than the gateway expects.
const STRANGER: &str = "its wrapper is of another version than the gateway; build the image anew (`ccpool image build`)";

/// SHA-1 of the script that wrappers call.
fn publish() -> &'static str {
    static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(scripts::PUBLISH));
    SCRIPT.get_hash()
}

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
    /// On which host it runs.
    pub host: String,
    /// The gateway that holds its claim.
    pub owner: Option<String>,
    /// The number of its claim.
    pub claim: Option<ClaimNumber>,
    /// The whole record, as it is written again when Redis has lost it.
    pub record: BTreeMap<String, String>,
    /// The session that its wrapper says it serves.
    pub said_session: Option<SessionId>,
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
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Activity {
    /// Its state, as it is written again when Redis has lost it.
    pub state: BTreeMap<String, String>,
    /// The running turn.
    pub turn: Option<TurnId>,
    /// When something last happened.
    pub last_activity: UnixMs,
    /// A permission request waits for somebody's answer.
    pub asks: bool,
}

impl Container {
    /// One whose place has just been taken, and of which nothing was heard yet.
    pub fn reserved(id: ContainerId, host: &str, fingerprint: &str, at: UnixMs) -> Self {
        Self {
            id,
            state: ContainerState::Creating,
            session: None,
            agent: None,
            fingerprint: fingerprint.to_owned(),
            acl_hash: None,
            host: host.to_owned(),
            owner: None,
            claim: None,
            record: BTreeMap::new(),
            said_session: None,
            runtime_id: None,
            created_at: at,
            tools_listed_at: None,
            warm_at: None,
            assigned_at: None,
            reason: None,
            registered_at: None,
            ready_at: None,
            heartbeat: None,
            failure: None,
            undelivered: false,
            activity: None,
        }
    }

    /// Reads the two hashes. None: the container was forgotten meanwhile.
    pub(crate) fn from_hashes(
        id: ContainerId,
        record: &HashMap<String, String>,
        said: &HashMap<String, String>,
    ) -> Option<Self> {
        let text = |name: &str| record.get(name).filter(|v| !v.is_empty());
        let time = |hash: &HashMap<String, String>, name: &str| hash.get(name)?.parse().ok();
        let registered_at = time(said, report::REGISTERED_AT);
        // It may not load its own script, and ours is not the one that it will call.
        let stranger = || {
            let fits = text(field::ACL_HASH).is_none()
                || registered_at.is_none()
                || said.get(report::SCRIPT).is_some_and(|sha| sha == publish());
            (!fits).then(|| STRANGER.to_owned())
        };
        Some(Self {
            state: text(field::STATE)?.parse().ok()?,
            session: text(field::SESSION).and_then(|s| SessionId::new(s.as_str()).ok()),
            agent: text(field::AGENT).and_then(|a| AgentId::new(a.as_str()).ok()),
            fingerprint: text(field::FINGERPRINT).cloned().unwrap_or_default(),
            acl_hash: text(field::ACL_HASH).cloned(),
            host: text(field::HOST).cloned().unwrap_or_default(),
            owner: text(field::OWNER).cloned(),
            claim: text(field::CLAIM).and_then(|n| n.parse().ok().map(ClaimNumber)),
            record: record.clone().into_iter().collect(),
            said_session: said
                .get(report::SESSION)
                .and_then(|s| SessionId::new(s.as_str()).ok()),
            runtime_id: text(field::RUNTIME_ID).cloned(),
            created_at: time(record, field::CREATED_AT).unwrap_or(0),
            tools_listed_at: time(record, field::TOOLS_LISTED_AT),
            warm_at: time(record, field::WARM_AT),
            assigned_at: time(record, field::ASSIGNED_AT),
            reason: text(field::REASON).cloned(),
            registered_at,
            ready_at: time(said, report::READY_AT),
            heartbeat: time(said, report::HEARTBEAT),
            failure: said.get(report::FAILURE).cloned().or_else(stranger),
            undelivered: false,
            activity: None,
            id,
        })
    }

    /// Its wrapper is of another version than the gateway.
    pub(crate) fn is_stranger(&self) -> bool {
        self.failure.as_deref() == Some(STRANGER)
    }

    /// The word a person is shown: `booting` and `busy` are told apart here.
    pub fn shown_state(&self) -> &'static str {
        match self.state {
            ContainerState::Creating if self.registered_at.is_some() => "booting",
            ContainerState::Assigned if self.is_busy() => "busy",
            state => state.as_str(),
        }
    }

    /// Its wrapper serves a session that its record does not name.
    pub(crate) fn has_lost_its_claim(&self) -> bool {
        self.said_session.is_some() && self.said_session != self.session
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
            state: REMEMBERED
                .into_iter()
                .filter_map(|name| hash.get_key_value(name))
                .filter(|(_, value)| value.len() <= LONGEST)
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            turn: turn.and_then(|turn| TurnId::new(turn.as_str()).ok()),
            last_activity: time.unwrap_or(0),
            asks: hash
                .get(state::field::PERMISSIONS)
                .is_some_and(|open| !open.is_empty()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapper_that_calls_another_script_is_of_no_use_where_it_may_load_none() {
        let failure = |record: &[(&str, &str)], said: &[(&str, &str)]| {
            let owned = |pairs: &[(&str, &str)]| -> HashMap<String, String> {
                let pairs = pairs.iter();
                pairs
                    .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                    .collect()
            };
            let id = ContainerId::from_random(1);
            let found = Container::from_hashes(id, &owned(record), &owned(said));
            found.expect("it has a state").failure
        };
        let plain = [("state", "creating")];
        let with_user = [("state", "creating"), ("aclHash", "00")];
        let ours = [("registeredAt", "1"), ("script", publish())];
        let other = [("registeredAt", "1"), ("script", "0123")];
        let old = [("registeredAt", "1")];
        assert_eq!(failure(&with_user, &[]), None);
        assert_eq!(failure(&with_user, &ours), None);
        assert_eq!(failure(&plain, &other), None);
        for said in [&other[..], &old] {
            assert_eq!(failure(&with_user, said).as_deref(), Some(STRANGER));
        }
    }
}
