use std::time::Instant;

use anyhow::{Context, Result, ensure};
use rmcp::model::CallToolRequestParams;
use rmcp::service::RunningService;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{RoleClient, ServiceExt};
use serde_json::{Value, json};

const TOOL: &str = "agents_list";

/// Which client calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One POST and its answer, over a connection that is kept.
    Plain,
    /// rmcp's own client as it makes itself: a connection for each call.
    Rmcp,
    /// rmcp's own client over a connection that is kept.
    RmcpKept,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Plain, Self::Rmcp, Self::RmcpKept];
}

/// A client of one server.
#[derive(Debug)]
pub(super) enum Client {
    Plain {
        client: reqwest::Client,
        url: String,
        token: String,
    },
    Rmcp(RunningService<RoleClient, ()>),
}

impl Client {
    /// # Errors
    /// The server does not answer, or not as MCP has it.
    pub(super) async fn connect(kind: Kind, url: &str, token: &str) -> Result<Self> {
        let client = reqwest::Client::builder().tcp_nodelay(true).no_proxy();
        let client = match kind {
            Kind::Plain => {
                return Ok(Self::Plain {
                    client: client.build()?,
                    url: url.to_owned(),
                    token: token.to_owned(),
                });
            }
            Kind::RmcpKept => client,
            // As `StreamableHttpClientTransport::from_config` does, but without a proxy.
            Kind::Rmcp => client.pool_max_idle_per_host(0),
        };
        let config = StreamableHttpClientTransportConfig::with_uri(url).auth_header(token);
        let transport = StreamableHttpClientTransport::with_client(client.build()?, config);
        Ok(Self::Rmcp(().serve(transport).await?))
    }

    /// One call, in ms.
    pub(super) async fn call(&self) -> Result<f64> {
        let began = Instant::now();
        let (text, took) = match self {
            Self::Plain { client, url, token } => {
                let answer = post(client, url, token).await?;
                let took = began.elapsed();
                let text = answer["result"]["content"][0]["text"].as_str();
                (text.map(str::to_owned), took)
            }
            Self::Rmcp(client) => {
                let answer = client.call_tool(CallToolRequestParams::new(TOOL)).await?;
                let took = began.elapsed();
                let text = answer.content.first().and_then(|block| block.as_text());
                (text.map(|block| block.text.clone()), took)
            }
        };
        let text = text.context("an answer without text")?;
        ensure!(
            text.starts_with("1 agents"),
            "not the tool's answer: {text}"
        );
        Ok(took.as_secs_f64() * 1e3)
    }

    pub(super) async fn close(self) -> Result<()> {
        if let Self::Rmcp(client) = self {
            client.cancel().await?;
        }
        Ok(())
    }
}

async fn post(client: &reqwest::Client, url: &str, token: &str) -> Result<Value> {
    let request = json!({
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": TOOL, "arguments": {}},
    });
    let answer = client
        .post(url)
        .header("accept", "application/json, text/event-stream")
        .bearer_auth(token)
        .json(&request)
        .send()
        .await?;
    Ok(answer.error_for_status()?.json().await?)
}
