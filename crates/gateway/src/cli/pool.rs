//! `ccpool pool drain` and `ccpool pool resize`.

use ccpool::{Limits, LimitsChange};
use serde_json::{Value, json};

use super::command::{Global, Pool, Resize};
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
        Pool::Resize(resize) => {
            let body = serde_json::to_value(change(resize))
                .map_err(|error| CliError::internal(error.to_string()))?;
            let limits: Limits = client.patch("/api/docker-cc/pool", &body).await?;
            if global.json {
                print(json!(limits))?;
            } else if !global.quiet {
                let Limits {
                    min_warm,
                    max_total,
                    max_per_agent,
                } = limits;
                print(format_args!(
                    "minWarm {min_warm}, maxTotal {max_total}, maxPerAgent {max_per_agent}"
                ))?;
            }
            Ok(Exit::Done)
        }
    }
}

fn change(resize: &Resize) -> LimitsChange {
    let one = |value: Option<u32>| match value {
        Some(value) => Some(Some(value)),
        None => resize.reset.then_some(None),
    };
    LimitsChange {
        min_warm: one(resize.min_warm),
        max_total: one(resize.max_total),
        max_per_agent: one(resize.max_per_agent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_stays_or_is_reset() {
        let mut resize = Resize {
            min_warm: Some(3),
            max_total: None,
            max_per_agent: None,
            reset: false,
        };
        let json = |resize: &Resize| serde_json::to_string(&change(resize)).unwrap();
        assert_eq!(json(&resize), r#"{"minWarm":3}"#);
        resize.reset = true;
        let all = r#"{"minWarm":3,"maxTotal":null,"maxPerAgent":null}"#;
        assert_eq!(json(&resize), all);
    }
}
