//! Permission requests of a session: what waits, and answering it.

use std::collections::HashMap;
use std::time::Duration;

use ccpool_protocol::control::Control;
use ccpool_protocol::permission::{Answer, PendingPermission, SettledPermission, listed};
use ccpool_protocol::state::{SessionStatus, field};
use ccpool_protocol::{RequestId, SessionId};
use tokio::time::Instant;

use crate::config::{Config, RuntimeKind};
use crate::error::PoolError;
use crate::pool::Pool;

/// How long the wrapper may take to say that it took an answer; it takes some milliseconds.
const TAKEN_WITHIN: Duration = Duration::from_secs(5);

/// Between two looks whether it did.
const LOOK: Duration = Duration::from_millis(5);
const LONGEST_LOOK: Duration = Duration::from_millis(100);

/// How a session's requests stand.
struct Requests {
    pending: Vec<PendingPermission>,
    settled: Vec<SettledPermission>,
}

impl Requests {
    fn of(state: &HashMap<String, String>) -> Self {
        let text = |name: &str| state.get(name).map_or("", String::as_str);
        Self {
            pending: listed(text(field::PERMISSIONS)),
            settled: listed(text(field::PERMISSIONS_SETTLED)),
        }
    }

    fn pending(&self, request: &RequestId) -> Option<&PendingPermission> {
        let mut pending = self.pending.iter();
        pending.find(|pending| pending.request_id == *request)
    }

    /// The newest ending, should the name have come twice.
    fn settled(&self, request: &RequestId) -> Option<&SettledPermission> {
        let mut settled = self.settled.iter().rev();
        settled.find(|settled| settled.request_id == *request)
    }
}

/// What a person is told about a pool whose agents are not held back.
pub(crate) fn warning(config: &Config) -> Option<String> {
    let fence = match config.runtime {
        RuntimeKind::Docker => "only the container stands between them and the rest",
        RuntimeKind::Process => {
            "with the process runtime nothing stands between them and this machine"
        }
    };
    config.skip_permissions.then(|| {
        format!(
            "skipPermissions is on: agents run every tool and every shell command without asking \
             anybody, and {fence}; set it to false to be asked"
        )
    })
}

impl Pool {
    /// The permission requests of a session that wait for an answer, oldest first. A session that
    /// has ended has none.
    ///
    /// # Errors
    /// `UnknownSession`, `Unavailable`.
    pub async fn permissions(
        &self,
        session: &SessionId,
    ) -> Result<Vec<PendingPermission>, PoolError> {
        match self.requests(session).await {
            Ok(requests) => Ok(requests.pending),
            Err(PoolError::UnknownSession(_)) => {
                // One that has ended is known, and asks nothing.
                self.session(session).await.map(|_| Vec::new())
            }
            Err(error) => Err(error),
        }
    }

    /// Answers a permission request. Returns once the session's wrapper has taken the answer; the
    /// first one counts.
    ///
    /// # Errors
    /// `UnknownSession`; `UnknownPermission` for a request that this session has not; `Settled`
    /// when it has had its answer or is no longer asked; `InvalidRequest` for an answer that does
    /// not fit; `Unavailable` when the wrapper has not said in time that it took the answer.
    pub async fn answer(
        &self,
        session: &SessionId,
        request: &RequestId,
        answer: Answer,
    ) -> Result<SettledPermission, PoolError> {
        let requests = self.requests(session).await?;
        let Some(pending) = requests.pending(request) else {
            return Err(not_open(session, request, requests.settled(request)));
        };
        let fits = answer.check(pending);
        fits.map_err(|error| PoolError::InvalidRequest(error.to_string()))?;
        let ticket = hex::encode(rand::random::<[u8; 16]>());
        let message = Control::Answer {
            request_id: request.clone(),
            ticket: ticket.clone(),
            answer,
        };
        self.control(session, &message).await?;
        let settled = self.await_settled(session, request).await?;
        if settled.ticket.as_ref() == Some(&ticket) {
            tracing::info!(%session, %request, outcome = settled.outcome.as_str(), "answered");
            return Ok(settled);
        }
        Err(not_open(session, request, Some(&settled)))
    }

    /// Waits until the wrapper has said what became of the request.
    async fn await_settled(
        &self,
        session: &SessionId,
        request: &RequestId,
    ) -> Result<SettledPermission, PoolError> {
        let until = Instant::now() + TAKEN_WITHIN;
        let mut pause = LOOK;
        loop {
            let requests = self.requests(session).await?;
            if let Some(settled) = requests.settled(request) {
                return Ok(settled.clone());
            }
            if Instant::now() >= until {
                return Err(PoolError::Unavailable {
                    what: format!("the container of `{session}` has not taken the answer yet"),
                    mend: "see whether the request still waits, and answer again; only one answer \
                           counts"
                        .to_owned(),
                    source: None,
                });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_LOOK);
        }
    }

    /// How the requests of a live session stand.
    async fn requests(&self, session: &SessionId) -> Result<Requests, PoolError> {
        let state = self.inner.store.session_state(session).await?;
        let status = state.get(field::STATUS).and_then(|word| word.parse().ok());
        match status {
            Some(SessionStatus::Assigned | SessionStatus::Busy | SessionStatus::Draining) => {
                Ok(Requests::of(&state))
            }
            Some(SessionStatus::Ended) | None => Err(PoolError::UnknownSession(session.clone())),
        }
    }
}

fn not_open(
    session: &SessionId,
    request: &RequestId,
    settled: Option<&SettledPermission>,
) -> PoolError {
    match settled {
        Some(settled) => PoolError::Settled(Box::new(settled.clone())),
        None => PoolError::UnknownPermission {
            session: session.clone(),
            request: request.clone(),
        },
    }
}
