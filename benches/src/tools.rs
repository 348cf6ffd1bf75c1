//! What the gateway's bridge adds to a call of a tool: the same client calls the cheapest tool over
//! `/mcp`, and a bare rmcp server with a tool that does nothing, one after the other.

use std::fmt;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use reqwest::Client;
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::model::{ServerCapabilities, ServerConfig};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ServerHandler, tool, tool_handler, tool_router};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::Arguments;
use crate::samples::Samples;
use crate::site::Site;
use crate::stream::StreamPool;

/// Calls that are not counted.
const WARM_UP: usize = 20;

/// Times of calls, in ms.
#[derive(Debug, Default)]
pub(crate) struct Called {
    bare: Samples,
    bridge: Samples,
}

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

/// Serves [`Bare`] on a thread of its own until it is cancelled; gives its address.
fn serve_bare(stop: CancellationToken) -> Result<String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let url = format!("http://{}/mcp", listener.local_addr()?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
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

/// Calls both, in turns.
pub(crate) async fn measure(
    arguments: &Arguments,
    calls: usize,
    site: &mut Site,
) -> Result<Called> {
    let pool = StreamPool::start(arguments, site).await?;
    let token = pool.mcp_token().await?;
    let stop = CancellationToken::new();
    let _stopped = stop.clone().drop_guard();
    let bare = serve_bare(stop)?;
    let client = Client::builder().tcp_nodelay(true).no_proxy().build()?;
    let mut called = Called::default();
    for round in 0..WARM_UP + calls {
        let floor = call(&client, &bare, &token).await?;
        let took = call(&client, &pool.mcp_url(), &token).await?;
        if round >= WARM_UP {
            called.bare.add(floor);
            called.bridge.add(took);
        }
    }
    Ok(called)
}

/// One call, in ms.
async fn call(client: &Client, url: &str, token: &str) -> Result<f64> {
    let request = json!({
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "agents_list", "arguments": {}},
    });
    let began = Instant::now();
    let answer = client
        .post(url)
        .header("accept", "application/json, text/event-stream")
        .bearer_auth(token)
        .json(&request)
        .send()
        .await?
        .error_for_status()?;
    let answer: Value = answer.json().await?;
    let took = began.elapsed().as_secs_f64() * 1e3;
    let text = answer["result"]["content"][0]["text"].as_str();
    ensure!(
        text.is_some_and(|text| text.starts_with("1 agents")),
        "not an answer of the tool: {answer}"
    );
    Ok(took)
}

impl Called {
    fn ratio(&self) -> Result<f64> {
        let bare = self.bare.median().context("no call was measured")?;
        let bridge = self.bridge.median().context("no call was measured")?;
        Ok(bridge / bare)
    }

    /// Under the keys of the JSON report.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "calls": self.bridge.count(),
            "bareMs": {"p50": self.bare.median(), "p99": self.bare.quantile(0.99)},
            "bridgeMs": {"p50": self.bridge.median(), "p99": self.bridge.quantile(0.99)},
            "ratio": self.ratio().ok(),
        })
    }
}

impl fmt::Display for Called {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |samples: &Samples, part| samples.quantile(part).unwrap_or(f64::NAN);
        writeln!(f, "\nCalls of a tool, ms ({} each)", self.bridge.count())?;
        for (name, samples) in [("bare rmcp", &self.bare), ("bridge", &self.bridge)] {
            let (half, most) = (of(samples, 0.5), of(samples, 0.99));
            writeln!(f, "  {name:<12} p50 {half:.3}  p99 {most:.3}")?;
        }
        writeln!(
            f,
            "  ratio        {:.2} x",
            self.ratio().unwrap_or(f64::NAN)
        )
    }
}
