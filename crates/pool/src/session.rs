//! What can be done with a claimed session.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ccpool_protocol::control::Control;
use ccpool_protocol::record::ContainerState;
use ccpool_protocol::state::{SessionStatus, field};
use ccpool_protocol::transcript::Entry;
use ccpool_protocol::{AgentId, ContainerId, ReplyEvent, SessionId, TurnId};
use tracing::Instrument;

use crate::courtesy::FirstWords;
use crate::error::PoolError;
use crate::events::{EventId, EventStream, From, Reader};
use crate::info::SessionInfo;
use crate::pool::Pool;
use crate::prompt::Prompt;
use crate::store::{Condition, PushOutcome, Retired};
use crate::turn_trace::TurnTrace;

/// A prompt that was taken, and what answers it.
#[derive(Debug)]
pub struct Turn {
    /// Its name.
    pub turn: TurnId,
    /// The idempotency key was seen before: this is the turn that it brought then.
    pub repeated: bool,
    /// Everything that answers it; ends with the terminal event.
    pub events: EventStream,
}

/// A part of what was asked and answered in a session.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Transcript {
    /// Turns that have ended, the oldest first.
    pub entries: Vec<Entry>,
    /// How many turns are kept in all.
    pub turns: usize,
}

impl Pool {
    /// Sends a prompt.
    ///
    /// # Errors
    /// `InvalidRequest` for an empty prompt, `UnknownSession`, `Unavailable`.
    pub async fn send(&self, session: &SessionId, prompt: Prompt) -> Result<Turn, PoolError> {
        let (key, on) = (prompt.idempotency_key.clone(), prompt.on.clone());
        let (turn, item) = prompt.into_item()?;
        let item = serde_json::to_string(&item).map_err(|e| PoolError::Internal(e.to_string()))?;
        let inner = &*self.inner;
        let kept = inner.config.timeouts.retain.max(Duration::from_secs(1));
        // Listening begins before the push: nothing that answers it can be missed.
        let signals = inner
            .hub
            .subscribe(&inner.keys.session(session).output)
            .await?;
        let idempotency = key.as_deref().map(|key| (key, kept));
        let pushed = inner
            .store
            .push(session, &turn, &item, idempotency, on.as_ref());
        let (turn, repeated, from) = match pushed
            .instrument(tracing::debug_span!("push", %session, %turn))
            .await?
        {
            PushOutcome::Pushed { seq } => (turn, false, From::Seq(seq)),
            PushOutcome::Repeated(turn) => (turn, true, From::Buffer),
            PushOutcome::Unknown => return Err(PoolError::UnknownSession(session.clone())),
        };
        tracing::info!(%session, %turn, repeated, "prompt");
        let store = Arc::clone(&inner.store);
        let reader = Reader::new(store, session.clone(), signals, Some(turn.clone()), from)
            .with_first_words(FirstWords::awaited(&self.inner));
        // A turn that was sent before is told of where it was sent.
        let reader = if repeated {
            reader
        } else {
            reader.with_trace(TurnTrace::begin(session.clone(), turn.clone()))
        };
        Ok(Turn {
            turn,
            repeated,
            events: reader.into_stream(),
        })
    }

    /// Everything that happens in a session after `after`, or from now on; ends with the session.
    ///
    /// # Errors
    /// `UnknownSession`, `Unavailable`.
    pub async fn events(
        &self,
        session: &SessionId,
        after: Option<EventId>,
    ) -> Result<EventStream, PoolError> {
        self.read(session, None, after).await
    }

    /// One turn, from its beginning as far as the buffer has it, after `after`; ends with its
    /// terminal event.
    ///
    /// # Errors
    /// `UnknownSession`, `Unavailable`.
    pub async fn turn_events(
        &self,
        session: &SessionId,
        turn: &TurnId,
        after: Option<EventId>,
    ) -> Result<EventStream, PoolError> {
        self.read(session, Some(turn.clone()), after).await
    }

    async fn read(
        &self,
        session: &SessionId,
        only: Option<TurnId>,
        after: Option<EventId>,
    ) -> Result<EventStream, PoolError> {
        let inner = &*self.inner;
        let signals = inner
            .hub
            .subscribe(&inner.keys.session(session).output)
            .await?;
        let state = inner.store.session_state(session).await?;
        if !state.contains_key(field::STATUS) {
            return Err(PoolError::UnknownSession(session.clone()));
        }
        let from = match (after, &only) {
            (Some(id), _) => From::Event(id),
            (None, Some(_)) => From::Buffer,
            (None, None) => From::Seq(
                state
                    .get(field::SEQ)
                    .and_then(|seq| seq.parse().ok())
                    .unwrap_or(0),
            ),
        };
        let store = Arc::clone(&inner.store);
        Ok(Reader::new(store, session.clone(), signals, only, from).into_stream())
    }

    /// Ends the running turn; the session takes the next prompt. Without a running turn nothing
    /// happens.
    ///
    /// # Errors
    /// `UnknownSession`, `Unavailable`.
    pub async fn interrupt(&self, session: &SessionId) -> Result<(), PoolError> {
        self.control(session, &Control::Interrupt).await
    }

    /// Tells a live session something.
    ///
    /// # Errors
    /// `UnknownSession`, `Unavailable`.
    pub async fn control(&self, session: &SessionId, control: &Control) -> Result<(), PoolError> {
        self.live(session).await?;
        let heard = self
            .inner
            .store
            .control(session, &control.to_json())
            .await?;
        if heard == 0 {
            return Err(PoolError::Unavailable {
                what: format!("the container of `{session}` does not listen at the moment"),
                mend: "try again; its wrapper is connecting to Redis".to_owned(),
                source: None,
            });
        }
        Ok(())
    }

    /// Ends a session: a running turn is interrupted, the container destroyed. Returns once it is
    /// gone.
    ///
    /// # Errors
    /// `UnknownSession`, `Unavailable`.
    pub async fn end(&self, session: &SessionId) -> Result<(), PoolError> {
        let inner = &*self.inner;
        let Some(container) = inner.store.serving(session).await? else {
            return Err(PoolError::UnknownSession(session.clone()));
        };
        let (to, reason) = (ContainerState::Draining, "the session was ended");
        let retired = inner
            .store
            .retire(&container, to, reason, Condition::Serves(session), None)
            .await?;
        match retired {
            Retired::Out(_) => {}
            // Somebody else has ended it meanwhile.
            Retired::Gone | Retired::Moved => {
                return Err(PoolError::UnknownSession(session.clone()));
            }
        }
        let mut seen = inner.seen.subscribe();
        let looked = seen.borrow().looks;
        self.inner.changed();
        // The reconciler has removed it, and whatever happens to the runtime, says so. What it saw
        // last may be older than the container.
        let patience = inner.config.timeouts.stop * 2 + Duration::from_secs(30);
        let gone =
            seen.wait_for(|seen| seen.looks > looked && !seen.names.contains_key(&container));
        match tokio::time::timeout(patience, gone).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(PoolError::Unavailable {
                what: format!("the container of `{session}` is not gone yet"),
                mend: "it is on its way out; see `ccpool status`".to_owned(),
                source: None,
            }),
        }
    }

    /// One session, live or ended.
    ///
    /// # Errors
    /// `UnknownSession`, `Unavailable`.
    pub async fn session(&self, session: &SessionId) -> Result<SessionInfo, PoolError> {
        let store = &self.inner.store;
        let state = store.session_state(session).await?;
        let info = SessionInfo::from_state(session.clone(), &state);
        let mut info = info.ok_or_else(|| PoolError::UnknownSession(session.clone()))?;
        // Its container may write anything into its state; whose it is, the record says.
        if info.status != SessionStatus::Ended
            && let Some(container) = store.serving(session).await?
            && let Some(found) = store.container(&container).await?
            && found.session.as_ref() == Some(session)
        {
            info.agent = found.agent.unwrap_or_default();
        }
        Ok(info)
    }

    /// All live sessions.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn sessions(&self) -> Result<Vec<SessionInfo>, PoolError> {
        let store = &self.inner.store;
        let containers = store.containers().await?;
        let agents: HashMap<ContainerId, AgentId> = containers
            .into_iter()
            .filter_map(|container| Some((container.id, container.agent?)))
            .collect();
        let mut sessions = Vec::new();
        for (session, container) in store.sessions().await? {
            let state = store.session_state(&session).await?;
            let info = SessionInfo::from_state(session, &state);
            sessions.extend(info.map(|mut info| {
                if let Some(agent) = agents.get(&container) {
                    info.agent = agent.clone();
                }
                info
            }));
        }
        Ok(sessions)
    }

    /// How the newest turn of a session ended; none where none has, or where what its container has
    /// written is no ending.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn newest_ending(
        &self,
        session: &SessionId,
    ) -> Result<Option<ReplyEvent>, PoolError> {
        let written = self.inner.store.result(session).await?;
        Ok(written.and_then(|json| serde_json::from_str(&json).ok()))
    }

    /// What was asked and answered in a session, live or ended: of the newest turns but `skip`, as
    /// many as `limit`, the oldest first. What a container has written that is no entry is left out.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn transcript(
        &self,
        session: &SessionId,
        skip: usize,
        limit: usize,
    ) -> Result<Transcript, PoolError> {
        let read = self.inner.store.transcript(session, skip, limit).await?;
        let (entries, turns) = read;
        let entries = entries
            .iter()
            .filter_map(|entry| serde_json::from_str(entry).ok())
            .collect();
        Ok(Transcript { entries, turns })
    }

    async fn live(&self, session: &SessionId) -> Result<(), PoolError> {
        let info = self.session(session).await?;
        match info.status {
            SessionStatus::Ended => Err(PoolError::UnknownSession(session.clone())),
            SessionStatus::Assigned | SessionStatus::Busy | SessionStatus::Draining => Ok(()),
        }
    }
}
