//! What the routes of this interface need of the gateway.

use std::sync::Arc;

use axum::extract::FromRef;
use ccpool::config::OpenAi;
use ccpool::provider::Provider;
use tokio_util::sync::CancellationToken;

use crate::http::state::AppState;

/// Who answers, and how. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Answerer {
    pub(super) provider: Arc<dyn Provider>,
    pub(super) settings: Arc<OpenAi>,
    /// Cancelled when the gateway stops: answers break off then.
    pub(super) stop: CancellationToken,
}

impl FromRef<AppState> for Answerer {
    fn from_ref(state: &AppState) -> Self {
        Self {
            provider: Arc::clone(&state.provider),
            settings: Arc::clone(&state.openai),
            stop: state.stop.clone(),
        }
    }
}
