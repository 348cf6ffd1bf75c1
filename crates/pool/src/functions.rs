//! Calls of the caller's functions: which wait, and their results.

use std::collections::HashMap;
use std::time::Duration;

use ccpool_protocol::SessionId;
use ccpool_protocol::control::Control;
use ccpool_protocol::function::{FunctionResult, PendingFunction, TakenResults, check_results};
use ccpool_protocol::permission::listed;
use ccpool_protocol::state::{SessionStatus, field};
use tokio::time::Instant;

use crate::error::PoolError;
use crate::pool::Pool;

/// How long the wrapper may take to say what it took; it takes some milliseconds.
const TAKEN_WITHIN: Duration = Duration::from_secs(5);

/// Between two looks whether it did.
const LOOK: Duration = Duration::from_millis(5);
const LONGEST_LOOK: Duration = Duration::from_millis(100);

impl Pool {
    /// The calls of a session's running turn that wait for results, as they were made. A session
    /// that has ended has none.
    ///
    /// # Errors
    /// `UnknownSession`, `Unavailable`.
    pub async fn waiting_functions(
        &self,
        session: &SessionId,
    ) -> Result<Vec<PendingFunction>, PoolError> {
        match self.functions(session).await {
            Ok(state) => Ok(waiting(&state)),
            // One that has ended is known, and waits for nothing.
            Err(PoolError::UnknownSession(_)) => self.session(session).await.map(|_| Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Gives results of calls that a `function_calls` event has told, some or all of them. Returns
    /// once the session's wrapper has taken those that are waited for; each call takes one result, and
    /// those of other calls are ignored. The turn goes on when all are there, with further events.
    ///
    /// # Errors
    /// `UnknownSession`; `InvalidRequest` for results that no model can read, and when none of these
    /// calls waits (any more); `Unavailable` when the wrapper has not said in time what it took.
    pub async fn give_results(
        &self,
        session: &SessionId,
        results: Vec<FunctionResult>,
    ) -> Result<(), PoolError> {
        check_results(&results).map_err(|error| PoolError::InvalidRequest(error.to_string()))?;
        let state = self.functions(session).await?;
        let waiting = waiting(&state);
        let waits = |result: &FunctionResult| waiting.iter().any(|call| call.id == result.id);
        if !results.iter().any(waits) {
            return Err(nobody_waits(&results));
        }
        let ticket = hex::encode(rand::random::<[u8; 16]>());
        let message = Control::FunctionResults {
            ticket: ticket.clone(),
            results: results.clone(),
        };
        self.control(session, &message).await?;
        let taken = self.await_taken(session, &ticket).await?;
        if taken.ids.is_empty() {
            return Err(nobody_waits(&results));
        }
        tracing::info!(%session, results = taken.ids.len(), "function results");
        Ok(())
    }

    /// Waits until the wrapper has said what became of these results.
    async fn await_taken(
        &self,
        session: &SessionId,
        ticket: &str,
    ) -> Result<TakenResults, PoolError> {
        let until = Instant::now() + TAKEN_WITHIN;
        let mut pause = LOOK;
        loop {
            let state = self.functions(session).await?;
            let taken = state.get(field::FUNCTIONS_TAKEN);
            let mut taken = listed::<TakenResults>(taken.map_or("", String::as_str)).into_iter();
            if let Some(taken) = taken.find(|taken| taken.ticket == ticket) {
                return Ok(taken);
            }
            if Instant::now() >= until {
                return Err(PoolError::Unavailable {
                    what: format!("the container of `{session}` has not taken the results yet"),
                    mend: "give them again; each call takes only one".to_owned(),
                    source: None,
                });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_LOOK);
        }
    }

    /// The state of a live session.
    async fn functions(&self, session: &SessionId) -> Result<HashMap<String, String>, PoolError> {
        let state = self.inner.store.session_state(session).await?;
        let status = state.get(field::STATUS).and_then(|word| word.parse().ok());
        match status {
            Some(SessionStatus::Assigned | SessionStatus::Busy | SessionStatus::Draining) => {
                Ok(state)
            }
            Some(SessionStatus::Ended) | None => Err(PoolError::UnknownSession(session.clone())),
        }
    }
}

fn waiting(state: &HashMap<String, String>) -> Vec<PendingFunction> {
    listed(state.get(field::FUNCTIONS).map_or("", String::as_str))
}

fn nobody_waits(results: &[FunctionResult]) -> PoolError {
    let ids: Vec<String> = results
        .iter()
        .map(|result| format!("`{}`", result.id))
        .collect();
    let what = match ids.is_empty() {
        true => "no results were given".to_owned(),
        false => format!(
            "no call {} waits for a result: it has had one, or its turn has ended",
            ids.join(", ")
        ),
    };
    PoolError::InvalidRequest(what)
}
