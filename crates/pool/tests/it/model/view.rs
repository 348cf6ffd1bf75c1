//! What everybody can see of the shared state, without times and numbers that differ.

use ccpool::protocol::record::ContainerState;
use ccpool::store::StoreError;
use ccpool::{AgentId, ContainerId, SessionId};

use super::actors::Actors;
use super::step::{SESSIONS, session_number};
use crate::contract::subject::Subject;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    /// None: Redis has lost the pool.
    pub(super) containers: Option<Vec<Shown>>,
    pub(super) live: Vec<(SessionId, ContainerId)>,
    sessions: Vec<Option<Kept>>,
    /// Tickets by the order in which they were drawn.
    pub(super) queue: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) id: ContainerId,
    pub(super) state: ContainerState,
    pub(super) session: Option<SessionId>,
    pub(super) agent: Option<AgentId>,
    owner: Option<String>,
    pub(super) claim: Option<usize>,
    undelivered: bool,
    ready: bool,
    reason: Option<String>,
    busy: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Kept {
    said: [Option<String>; 4],
    ended: bool,
    prompts: usize,
}

impl View {
    pub(super) async fn of(subject: &impl Subject, actors: &mut Actors) -> Self {
        let store = subject.store();
        let containers = match store.containers().await {
            Ok(mut all) => {
                all.sort_by_key(|container| container.claim);
                for claim in all.iter().filter_map(|container| container.claim) {
                    actors.know_claim(claim);
                }
                all.sort_by_key(|container| container.id.clone());
                let shown = all.into_iter().map(|container| Shown {
                    busy: container.is_busy(),
                    id: container.id,
                    state: container.state,
                    session: container.session,
                    agent: container.agent,
                    owner: container.owner,
                    claim: container.claim.and_then(|claim| actors.claim_called(claim)),
                    undelivered: container.undelivered,
                    ready: container.ready_at.is_some(),
                    reason: container.reason,
                });
                Some(shown.collect())
            }
            Err(StoreError::Emptied) => None,
            Err(other) => panic!("{other}"),
        };
        // All at once, or most of the time of a history goes into this.
        let sessions = (0..SESSIONS).map(async |number| Kept::of(subject, number).await);
        let (sessions, live, queue) = futures::join!(
            futures::future::join_all(sessions),
            store.sessions(),
            subject.waiting()
        );
        let drawn = |ticket| actors.tickets.iter().position(|known| *known == ticket);
        Self {
            containers,
            live: live.unwrap(),
            sessions,
            queue: queue
                .into_iter()
                .map(|ticket| drawn(ticket).expect("it was told to who drew it"))
                .collect(),
        }
    }
}

impl Kept {
    /// None: Redis has lost it, or there is none.
    async fn of(subject: &impl Subject, number: usize) -> Option<Self> {
        let session = session_number(number);
        let store = subject.store();
        let (state, prompts) =
            futures::join!(store.session_state(&session), store.unanswered(&session));
        let state = match state {
            Ok(state) if state.is_empty() => return None,
            Ok(state) => state,
            Err(StoreError::Emptied) => return None,
            Err(other) => panic!("{other}"),
        };
        let fields = ["status", "containerId", "agentId", "turn"];
        Some(Self {
            said: fields.map(|field| state.get(field).cloned()),
            ended: state.contains_key("endedAt"),
            prompts: prompts.unwrap().len(),
        })
    }
}
