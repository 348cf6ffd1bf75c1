//! The first words of an answer by the OpenAI API and by the gateway's own route, in turns.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use reqwest::Client;
use serde_json::{Value, json};

use super::{client, message};
use crate::Arguments;
use crate::quiet::quiet;
use crate::samples::Samples;
use crate::site::Site;
use crate::stream::{Running, serve as serve_processes};

/// Warm containers, so that no claim takes the last one.
const MIN_WARM: u64 = 2;
const SETTLE: Duration = Duration::from_secs(60);

/// From a request to the first words, in ms.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    pub(crate) native: Samples,
    pub(crate) openai: Samples,
}

/// Both routes, the beginning of conversations apart.
#[derive(Debug, Default)]
pub(crate) struct Overhead {
    /// The native claim, which is a request of its own.
    pub(crate) claim: Samples,
    /// First turns, from before the claim.
    pub(crate) first: Routes,
    /// Turns of a conversation that goes on.
    pub(crate) later: Routes,
}

impl Routes {
    /// What the OpenAI API adds, by the medians, in ms.
    pub(crate) fn added(&self) -> f64 {
        let middle = |samples: &Samples| samples.median().unwrap_or(f64::NAN);
        middle(&self.openai) - middle(&self.native)
    }
}

/// A gateway for it.
pub(super) async fn serve(
    arguments: &Arguments,
    name: &str,
    claude: &Path,
    model: Option<&str>,
    site: &mut Site,
) -> Result<Running> {
    let more = json!({"pool": {"minWarm": MIN_WARM, "maxTotal": 8, "maxPerAgent": 8}});
    serve_processes(arguments, name, claude, model, more, site).await
}

/// Measures so many conversations each way, one more that is not counted, with so many later turns.
///
/// # Errors
/// Something does not work, or a conversation does not go on in its session.
pub(super) async fn measure(
    gateway: &Running,
    prompt: &str,
    conversations: usize,
    turns: usize,
) -> Result<Overhead> {
    let mut measured = Overhead::default();
    let mut ignored = Overhead::default();
    for round in 0..=conversations {
        // The first one warms up.
        let into = if round == 0 {
            &mut ignored
        } else {
            &mut measured
        };
        pair(gateway, prompt, round, turns, into).await?;
    }
    Ok(measured)
}

/// One conversation each way, turn by turn.
async fn pair(
    gateway: &Running,
    prompt: &str,
    round: usize,
    turns: usize,
    into: &mut Overhead,
) -> Result<()> {
    let (client, base) = (&gateway.client, gateway.base.as_str());
    let name = format!("native-{round}");
    let mut messages = vec![message("user", prompt)];
    let mut session = String::new();
    for native in in_turn(round) {
        settled(client, base).await?;
        if native {
            let began = Instant::now();
            let claim = client.post(format!("{base}/sessions"));
            let claim = claim.json(&json!({"session": name, "model": "sonnet"}));
            claim.send().await?.error_for_status()?.bytes().await?;
            let claim = began.elapsed().as_secs_f64() * 1e3;
            let heard = client::native(client, base, &name, prompt).await?;
            into.claim.add(claim);
            into.first.native.add(claim + heard.first_ms);
        } else {
            let heard = client::openai(client, base, &messages).await?;
            messages.push(message("assistant", &heard.text()));
            session.clone_from(&heard.session);
            into.first.openai.add(heard.first_ms);
        }
    }
    settled(client, base).await?;
    for turn in 0..turns {
        for native in in_turn(turn) {
            if native {
                let heard = client::native(client, base, &name, prompt).await?;
                into.later.native.add(heard.first_ms);
            } else {
                messages.push(message("user", prompt));
                let heard = client::openai(client, base, &messages).await?;
                ensure!(
                    heard.session == session,
                    "a conversation of {session} went on in {}",
                    heard.session
                );
                messages.push(message("assistant", &heard.text()));
                into.later.openai.add(heard.first_ms);
            }
        }
    }
    for session in [&name, &session] {
        let path = format!("{base}/sessions/{session}");
        client.delete(path).send().await?.error_for_status()?;
    }
    Ok(())
}

/// Whether the native route comes first, and whether it comes second: neither is always the first.
fn in_turn(number: usize) -> [bool; 2] {
    let even = number.is_multiple_of(2);
    [even, !even]
}

/// Waits until all spares are warm, nothing starts or stops, and the machine is quiet, if it gets so.
async fn settled(client: &Client, base: &str) -> Result<()> {
    let mut poll = tokio::time::interval(Duration::from_millis(50));
    let settled = async {
        loop {
            poll.tick().await;
            let pool = client.get(format!("{base}/pool")).send().await?;
            let pool: Value = pool.error_for_status()?.json().await?;
            let count = |state: &str| pool["counts"][state].as_u64().unwrap_or(0);
            let moving = ["creating", "booting", "draining", "failed"].map(count);
            if count("warm") == MIN_WARM && moving == [0; 4] {
                return anyhow::Ok(());
            }
        }
    };
    let settled = tokio::time::timeout(SETTLE, settled).await;
    settled.context("the pool did not fill in time")??;
    quiet().await?;
    Ok(())
}
