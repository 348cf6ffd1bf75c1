//! `ccpool pool drain`.

use serde_json::{Value, json};

use super::command::{Global, Pool};
use super::error::{CliError, Exit};
use super::gateway_client::GatewayClient;
use super::output::print;

/// Runs the command against the running gateway.
pub(crate) async fn run(
    global: &Global,
    client: &GatewayClient,
    command: &Pool,
) -> Result<Exit, CliError> {
    match command {
        Pool::Drain { off } => {
            let body = json!({"drain": !off});
            let answer: Value = client.post("/api/docker-cc/pool/drain", &body).await?;
            if global.json {
                print(answer)?;
            } else if !global.quiet {
                print(if *off {
                    "the pool claims and refills"
                } else {
                    "the pool drains"
                })?;
            }
            Ok(Exit::Done)
        }
    }
}
