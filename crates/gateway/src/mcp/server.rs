//! `/mcp`: streamable HTTP, stateless, JSON answers.
//!
//! Every request carries its container's token and is answered by itself, so a container may talk
//! to any gateway of the pool, and a gateway that restarts has lost nothing.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use ccpool::Pool;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio_util::sync::CancellationToken;

use super::auth::identify;
use super::tools::Tools;

/// The router that answers `/mcp`. `hosts` are the names, beside loopback's, by which containers
/// call this gateway.
pub(crate) fn router(
    pool: &Pool,
    hosts: impl IntoIterator<Item = String>,
    stop: CancellationToken,
) -> Router {
    let loopback = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_sse_keep_alive(None)
        .with_allowed_hosts(loopback.into_iter().chain(hosts))
        .with_cancellation_token(stop);
    let tools = Tools::new(pool.clone());
    let service = StreamableHttpService::new(
        move || Ok(tools.clone()),
        Arc::new(NeverSessionManager::default()),
        config,
    );
    Router::new()
        .route_service("/mcp", service)
        .route_layer(from_fn_with_state(pool.clone(), identify))
}
