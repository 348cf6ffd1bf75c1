//! Where a conversation stands between two of its turns, as it is written down.

use ccpool_protocol::event::Usage;
use ccpool_protocol::function::FunctionCall;
use ccpool_protocol::{AgentId, ContainerId, SessionId, TurnId, UnixMs};
use serde::{Deserialize, Serialize};

use super::fingerprint::Fingerprint;

/// A session in which a conversation can go on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Resting {
    /// The session.
    pub(super) session: SessionId,
    /// The container that serves it. Another one has another conversation in it.
    pub(super) container: ContainerId,
    /// On whose behalf it works.
    pub(super) agent: AgentId,
    /// The how manieth session this is of the conversation's name.
    pub(super) number: u32,
    /// What it knows. None: not what its client knows, so nobody goes on here.
    pub(super) history: Option<Fingerprint>,
    /// Its model.
    pub(super) model: String,
    /// The newest system prompt that it was given.
    pub(super) system: Fingerprint,
    /// The form of its answers. None: they are words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) output: Option<Fingerprint>,
    /// The client's functions that it has. None: it was given none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) functions: Option<Fingerprint>,
    /// The turn that waits for results of the client's. None: the last one is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) waiting: Option<Waiting>,
}

/// A turn that waits for results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Waiting {
    /// The turn.
    pub(super) turn: TurnId,
    /// The last event that the client was told.
    pub(super) seq: u64,
    /// Which one of that envelope's.
    pub(super) part: u32,
    /// The calls that the client was given.
    pub(super) calls: Vec<String>,
    /// Calls that it is to be given one by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) held: Vec<FunctionCall>,
    /// As which model the turn answers, if that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) answers_as: Option<String>,
    /// A prompt that goes with the turn: what it brings after the turn is part of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) steered: Option<TurnId>,
    /// What the answer with the calls has used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) usage: Option<Usage>,
    /// When the turn is given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) expires_at: Option<UnixMs>,
}

impl Resting {
    /// Of another version, or broken: nobody can go on with it.
    pub(super) fn parse(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("it has string keys")
    }
}
