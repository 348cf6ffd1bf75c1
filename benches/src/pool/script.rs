//! The claim's script beside a bare one that does one LPOP, in turns over one connection.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ccpool::store::{ClaimOutcome, ClaimTerms, Claims};
use ccpool::{GatewayId, SessionId};
use ccpool_protocol::AgentId;
use ccpool_protocol::assignment::Assignment;
use redis::{AsyncCommands, Script};

use super::paper::HOST;
use super::server::Server;
use super::shelf::Shelf;
use crate::samples::Samples;

/// Warm containers, before each claim.
const WARM: usize = 8;
const LIST: &str = "bare";
const HEARTBEAT: Duration = Duration::from_secs(35);
const KEEP: Duration = Duration::from_millis(1500);

/// The floor of all claims: a script with one LPOP, over the client that gateways use.
#[derive(Debug)]
pub(crate) struct Bare {
    script: Script,
    connection: redis::aio::ConnectionManager,
}

impl Bare {
    pub(crate) async fn new(server: &Server) -> Result<Self> {
        Ok(Self {
            script: Script::new("return redis.call('LPOP', KEYS[1])"),
            connection: server.connect_as_gateways_do().await?,
        })
    }

    /// How long one took, in ms.
    pub(crate) async fn pop(&mut self) -> Result<f64> {
        let _: u64 = self.connection.rpush(LIST, "c-0123456789ab").await?;
        let began = Instant::now();
        let popped: Option<String> = self
            .script
            .key(LIST)
            .invoke_async(&mut self.connection)
            .await?;
        let took = began.elapsed();
        ensure!(popped.is_some(), "the list was empty");
        Ok(took.as_secs_f64() * 1e3)
    }
}

/// How long each took, in ms.
#[derive(Debug, Default)]
pub(crate) struct Scripts {
    pub(crate) bare: Samples,
    pub(crate) claim: Samples,
}

/// Measures so many rounds.
///
/// # Errors
/// Something does not work.
pub(crate) async fn measure(server: &Server, prefix: &str, rounds: usize) -> Result<Scripts> {
    let mut shelf = Shelf::alone(server, prefix).await?;
    let mut bare = Bare::new(server).await?;
    shelf.fill(WARM - 1).await?;
    let mut scripts = Scripts::default();
    // The first tenth warms up.
    let warm_up = rounds / 10;
    for round in 0..rounds + warm_up {
        shelf.add().await?;
        let terms = terms(round)?;
        let floor = bare.pop().await?;
        let began = Instant::now();
        let outcome = shelf.store.claim(&terms).await?;
        let took = began.elapsed().as_secs_f64() * 1e3;
        let ClaimOutcome::Claimed { container, .. } = outcome else {
            anyhow::bail!("a claim got {outcome:?}");
        };
        shelf.remove(&container).await?;
        if round >= warm_up {
            scripts.bare.add(floor);
            scripts.claim.add(took);
        }
    }
    Ok(scripts)
}

fn terms(round: usize) -> Result<ClaimTerms> {
    Ok(ClaimTerms {
        assignment: Assignment {
            session: SessionId::new(format!("bench-{round}"))?,
            agent: AgentId::default(),
            model: None,
            system_prompt: None,
            append_system_prompt: None,
            output_schema: None,
            parent: None,
        },
        max_per_agent: 20,
        heartbeat: HEARTBEAT,
        gateway: GatewayId::from_random(1, HOST),
        ticket: None,
        keep: KEEP,
    })
}
