use std::thread;

use anyhow::Result;
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::model::{ServerCapabilities, ServerConfig};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ServerHandler, tool, tool_handler, tool_router};
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;

/// A server with a tool that does nothing, in the same mode as the gateway's.
#[derive(Debug, Clone)]
struct Bare {
    tool_router: ToolRouter<Self>,
}

#[tool_router]
impl Bare {
    fn new() -> Self {
        Self {
            tool_router: Self::tool_router(),
        }
    }

    #[tool(description = "Answer at once.")]
    async fn agents_list(&self) -> String {
        "1 agents\nmain (docker-claude-code/opus, at most 3 sessions) <- you".to_owned()
    }
}

#[tool_handler(router = self.tool_router)]
impl ServerHandler for Bare {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }
}

/// Serves [`Bare`] on a runtime of its own until it is cancelled; gives its address.
pub(super) fn serve(mut runtime: Builder, stop: CancellationToken) -> Result<String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let url = format!("http://{}/mcp", listener.local_addr()?);
    let runtime = runtime.enable_all().build()?;
    thread::Builder::new()
        .name("bare-mcp".to_owned())
        .spawn(move || {
            runtime.block_on(async move {
                let config = StreamableHttpServerConfig::default()
                    .with_legacy_session_mode(false)
                    .with_json_response(true)
                    .with_sse_keep_alive(None);
                let service = StreamableHttpService::new(
                    || Ok(Bare::new()),
                    NeverSessionManager::default().into(),
                    config,
                );
                let app = axum::Router::new().route_service("/mcp", service);
                let listener = tokio::net::TcpListener::from_std(listener)?;
                axum::serve(listener, app)
                    .with_graceful_shutdown(stop.cancelled_owned())
                    .await
            })
        })?;
    Ok(url)
}
