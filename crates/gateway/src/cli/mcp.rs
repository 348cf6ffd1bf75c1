//! `ccpool mcp token`.

use serde_json::{Value, json};

use super::command::{Global, Mcp};
use super::error::{CliError, Exit};
use super::gateway_client::GatewayClient;
use super::output::print;

/// Runs the command against the running gateway.
pub(crate) async fn run(
    global: &Global,
    client: &GatewayClient,
    command: &Mcp,
) -> Result<Exit, CliError> {
    let Mcp::Token { session, minutes } = command;
    let path = format!("/api/docker-cc/sessions/{session}/mcp-token");
    let body = json!({"lastsSeconds": u64::from(*minutes) * 60});
    let issued: Value = client.post(&path, &body).await?;
    if global.json {
        print(format_args!("{issued:#}"))?;
    } else {
        print(issued["token"].as_str().unwrap_or_default())?;
    }
    Ok(Exit::Done)
}
