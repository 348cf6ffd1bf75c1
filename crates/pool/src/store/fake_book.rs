//! What the store in memory knows: the pool's state as plain data.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ccpool_protocol::record::{ContainerState, field, report};
use ccpool_protocol::{AgentId, ContainerId, SessionId, TurnId, UnixMs};

use super::{LookNumber, Ticket};
use crate::container::{Activity, Container};
use crate::gateway::GatewayId;

/// Everything, by the clock that the test sets.
#[derive(Debug, Clone, Default)]
pub(super) struct Book {
    pub(super) now: UnixMs,
    pub(super) failing: Option<&'static str>,
    /// The last fence, and the last number of a claim, of a ticket and of a look. None of them ever
    /// comes back, whatever is lost.
    pub(super) numbers: Numbers,
    pub(super) known: Known,
    /// Wrappers that listen to their session's control channel.
    pub(super) listening: BTreeSet<SessionId>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Numbers {
    pub(super) fence: u64,
    pub(super) claim: u64,
    pub(super) ticket: u64,
    pub(super) look: u64,
}

/// What is lost when Redis is emptied.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    pub(super) pool: Option<String>,
    /// Until when each is taken for live.
    pub(super) gateways: BTreeMap<GatewayId, UnixMs>,
    pub(super) lead: Lead,
    pub(super) settings: HashMap<String, String>,
    pub(super) containers: BTreeMap<ContainerId, Entry>,
    pub(super) live: BTreeMap<SessionId, Live>,
    pub(super) queue: Vec<Waiting>,
    /// The turn of the ticket that was served last.
    pub(super) served: u64,
    pub(super) sessions: BTreeMap<SessionId, Kept>,
    /// Which turn a key has brought, and until when that is remembered.
    pub(super) repeats: BTreeMap<(SessionId, String), (TurnId, UnixMs)>,
    /// Over how many sessions a turn's prompt has come.
    pub(super) hops: BTreeMap<(SessionId, TurnId), u32>,
    /// Who waits for whom, and until when.
    pub(super) waits: BTreeMap<(SessionId, SessionId), UnixMs>,
    /// The hashes of people's tokens, their containers, and until when they count.
    pub(super) passes: BTreeMap<String, (String, ContainerId, UnixMs)>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Lead {
    pub(super) owner: Option<(GatewayId, UnixMs)>,
    /// Of who leads, or led last.
    pub(super) fence: Option<u64>,
    /// Why it can start no container, and the look that has shown it.
    pub(super) trouble: Option<(String, LookNumber)>,
    /// The number that was drawn last.
    pub(super) drawn: LookNumber,
}

/// One container.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) stage: Stage,
    pub(super) fingerprint: String,
    pub(super) token_hash: String,
    pub(super) acl_hash: Option<String>,
    pub(super) host: String,
    pub(super) created_at: UnixMs,
    pub(super) warm_at: Option<UnixMs>,
    pub(super) noted: BTreeMap<String, String>,
    /// The wrapper's own words.
    pub(super) report: HashMap<String, String>,
    pub(super) inbox: Vec<String>,
}

/// Where a container stands, and whom it serves or served.
#[derive(Debug, Clone)]
pub(super) enum Stage {
    Creating,
    Warm,
    Assigned(Service),
    Out {
        failed: bool,
        reason: String,
        served: Option<Service>,
    },
}

#[derive(Debug, Clone)]
pub(super) struct Service {
    pub(super) session: SessionId,
    pub(super) agent: AgentId,
    pub(super) assignment: String,
    pub(super) owner: String,
    pub(super) claim: u64,
    pub(super) at: UnixMs,
}

/// A session that a container serves.
#[derive(Debug, Clone)]
pub(super) struct Live {
    pub(super) container: ContainerId,
    pub(super) agent: AgentId,
}

/// A claim that waits. They are served by turn, those of one turn by ticket.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub(super) turn: u64,
    pub(super) ticket: Ticket,
    pub(super) agent: AgentId,
    /// How many sessions the agent may have.
    pub(super) most: usize,
    pub(super) until: UnixMs,
}

/// What is kept of a session, also after its end.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept {
    pub(super) state: HashMap<String, String>,
    pub(super) input: Vec<String>,
    pub(super) inflight: Vec<String>,
    pub(super) buffer: Vec<String>,
    pub(super) result: Option<String>,
    pub(super) transcript: Vec<String>,
    pub(super) until: Option<UnixMs>,
}

impl Known {
    pub(super) fn sessions_of(&self, agent: &AgentId) -> usize {
        self.live.values().filter(|l| l.agent == *agent).count()
    }

    /// What is kept of a session, made if there is nothing.
    pub(super) fn session(&mut self, session: &SessionId) -> &mut Kept {
        self.sessions.entry(session.clone()).or_default()
    }

    /// The container, its session's activity included.
    pub(super) fn seen(&self, id: &ContainerId) -> Option<Container> {
        let entry = self.containers.get(id)?;
        let mut seen = entry.seen(id)?;
        if let Some(session) = &seen.session {
            let state = self.sessions.get(session).map(|kept| &kept.state);
            seen.activity = Some(Activity::from_hash(state.unwrap_or(&HashMap::new())));
            seen.undelivered = entry.inbox.is_empty();
        }
        Some(seen)
    }
}

impl Stage {
    pub(super) fn service(&self) -> Option<&Service> {
        match self {
            Self::Creating | Self::Warm => None,
            Self::Assigned(service) => Some(service),
            Self::Out { served, .. } => served.as_ref(),
        }
    }

    fn state(&self) -> ContainerState {
        match self {
            Self::Creating => ContainerState::Creating,
            Self::Warm => ContainerState::Warm,
            Self::Assigned(_) => ContainerState::Assigned,
            Self::Out { failed: true, .. } => ContainerState::Failed,
            Self::Out { failed: false, .. } => ContainerState::Draining,
        }
    }
}

impl Entry {
    /// When its wrapper was last heard of.
    pub(super) fn heartbeat(&self) -> UnixMs {
        let said = self.report.get(report::HEARTBEAT);
        said.and_then(|at| at.parse().ok()).unwrap_or(0)
    }

    /// Without its session's activity.
    pub(super) fn seen(&self, id: &ContainerId) -> Option<Container> {
        Container::from_hashes(id.clone(), &self.record(), &self.report)
    }

    /// The record as gateways read it.
    pub(super) fn record(&self) -> HashMap<String, String> {
        let mut record: HashMap<String, String> = self.noted.clone().into_iter().collect();
        let mut put = |name: &str, value: String| record.insert(name.to_owned(), value);
        put(field::STATE, self.stage.state().to_string());
        put(field::FINGERPRINT, self.fingerprint.clone());
        put(field::TOKEN_HASH, self.token_hash.clone());
        put(field::HOST, self.host.clone());
        put(field::CREATED_AT, self.created_at.to_string());
        if let Some(hash) = &self.acl_hash {
            put(field::ACL_HASH, hash.clone());
        }
        if let Some(at) = self.warm_at {
            put(field::WARM_AT, at.to_string());
        }
        if let Some(service) = self.stage.service() {
            put(field::SESSION, service.session.to_string());
            put(field::AGENT, service.agent.to_string());
            put(field::ASSIGNMENT, service.assignment.clone());
            put(field::OWNER, service.owner.clone());
            put(field::CLAIM, service.claim.to_string());
            put(field::ASSIGNED_AT, service.at.to_string());
        }
        if let Stage::Out { reason, .. } = &self.stage {
            put(field::REASON, reason.clone());
        }
        record
    }

    /// As a gateway remembers it. What was claimable has to become ready anew.
    pub(super) fn remembered(container: &Container, now: UnixMs) -> Self {
        let text = |name: &str| container.record.get(name).cloned().unwrap_or_default();
        let service = container.session.as_ref().map(|session| Service {
            session: session.clone(),
            agent: container.agent.clone().unwrap_or_default(),
            assignment: text(field::ASSIGNMENT),
            owner: container.owner.clone().unwrap_or_default(),
            claim: container.claim.map_or(0, |claim| claim.0),
            at: container.assigned_at.unwrap_or(0),
        });
        let reason = container.reason.clone().unwrap_or_default();
        let (stage, created_at) = match (container.state, service) {
            (ContainerState::Warm, _) | (ContainerState::Assigned, None) => (Stage::Creating, now),
            (ContainerState::Creating, _) => (Stage::Creating, container.created_at),
            (ContainerState::Assigned, Some(service)) => {
                (Stage::Assigned(service), container.created_at)
            }
            (state @ (ContainerState::Draining | ContainerState::Failed), served) => {
                let failed = state == ContainerState::Failed;
                let out = Stage::Out {
                    failed,
                    reason,
                    served,
                };
                (out, container.created_at)
            }
        };
        let noted = [field::RUNTIME_ID, field::TOOLS_LISTED_AT];
        let noted = noted.map(|name| (name.to_owned(), text(name)));
        Self {
            stage,
            fingerprint: container.fingerprint.clone(),
            token_hash: text(field::TOKEN_HASH),
            acl_hash: container.acl_hash.clone(),
            host: container.host.clone(),
            created_at,
            warm_at: container.warm_at,
            noted: noted.into_iter().filter(|(_, v)| !v.is_empty()).collect(),
            report: HashMap::new(),
            inbox: Vec::new(),
        }
    }
}
