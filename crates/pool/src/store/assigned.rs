//! What the claim's script is given of the terms.

use ccpool_protocol::{AgentId, SessionId};

use super::ClaimTerms;

/// The parts of a claim that the script is given.
pub(super) struct Assigned<'a> {
    pub(super) session: &'a SessionId,
    pub(super) agent: &'a AgentId,
    pub(super) json: String,
    pub(super) model: &'a str,
}

impl<'a> From<&'a ClaimTerms> for Assigned<'a> {
    fn from(terms: &'a ClaimTerms) -> Self {
        let assignment = &terms.assignment;
        Self {
            session: &assignment.session,
            agent: &assignment.agent,
            json: serde_json::to_string(assignment).expect("an assignment has string keys"),
            model: assignment.model.as_deref().unwrap_or(""),
        }
    }
}
