use ccpool_protocol::assignment::Parent;
use ccpool_protocol::record::{ContainerState, field};
use ccpool_protocol::{AgentId, SessionId};
use serde::Deserialize;

/// Whom a bearer token stands for, if it has this hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    /// SHA-256 of the token, in hex.
    pub hash: String,
    /// Where its container stands.
    pub state: ContainerState,
    /// The session that the container serves or served.
    pub session: Option<SessionId>,
    /// On whose behalf.
    pub agent: Option<AgentId>,
    /// How many generations of sessions there are before that one.
    pub depth: u32,
}

/// Of an assignment, which may hold a long prompt, only this.
#[derive(Deserialize)]
struct Descent {
    parent: Option<Parent>,
}

impl Bearer {
    /// What is read of a container's record.
    pub(super) const FIELDS: [&str; 5] = [
        field::TOKEN_HASH,
        field::STATE,
        field::SESSION,
        field::AGENT,
        field::ASSIGNMENT,
    ];

    /// From the values of [`Self::FIELDS`], in their order. None: there is no such container.
    pub(super) fn from_record(values: [Option<String>; 5]) -> Option<Self> {
        let [hash, state, session, agent, assignment] = values;
        let descent = assignment.and_then(|json| serde_json::from_str::<Descent>(&json).ok());
        Some(Self {
            hash: hash.unwrap_or_default(),
            state: state?.parse().ok()?,
            session: session.and_then(|id| SessionId::new(id).ok()),
            agent: agent.and_then(|id| AgentId::new(id).ok()),
            depth: descent
                .and_then(|descent| descent.parent)
                .map_or(0, |parent| parent.depth),
        })
    }
}
