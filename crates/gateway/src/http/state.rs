//! What every handler shares.

use std::sync::Arc;

use ccpool::Pool;
use ccpool::config::OpenAi;
use ccpool::provider::Provider;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio_util::sync::CancellationToken;

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct AppState {
    /// The pool that serves.
    pub(crate) pool: Pool,
    /// Who answers conversations.
    pub(crate) provider: Arc<dyn Provider>,
    /// How clients of the OpenAI API are spoken with.
    pub(crate) openai: Arc<OpenAi>,
    /// What the library and the gateway have counted.
    pub(crate) metrics: PrometheusHandle,
    /// Cancelled when the gateway stops: streams end then.
    pub(crate) stop: CancellationToken,
    /// The API description, rendered once.
    pub(crate) openapi: Arc<str>,
}
