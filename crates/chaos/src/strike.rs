//! Makes things break, and mends what has to be mended.

use std::sync::Arc;

use anyhow::Result;
use nix::sys::signal::Signal;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinSet;

use crate::docker;
use crate::gateway::Gateway;
use crate::history::{Notebook, Seen};
use crate::plan::{Fault, What};
use crate::processes::{Process, Processes};
use crate::proxy::Proxy;
use crate::redis::RedisServer;
use crate::steps::Due;

/// The parts that can break. Each has one fault at a time.
#[derive(Debug)]
pub(crate) struct Targets {
    pub(crate) gateways: Vec<Mutex<Gateway>>,
    pub(crate) redis: Mutex<RedisServer>,
    pub(crate) redis_proxy: Proxy,
    pub(crate) processes: Processes,
    /// What the names of containers begin with.
    pub(crate) prefix: String,
    pub(crate) notebook: Notebook,
}

/// Carries out what is due until nobody can say so any more, and everything is mended. Gives how
/// many there were.
pub(crate) async fn all(targets: Arc<Targets>, mut due: mpsc::UnboundedReceiver<Due>) -> usize {
    let mut strikes = JoinSet::new();
    let mut count = 0;
    while let Some((fault, struck)) = due.recv().await {
        count += 1;
        let targets = Arc::clone(&targets);
        targets.notebook.note(Seen::Happened(format!("{fault:?}")));
        strikes.spawn(async move {
            if let Err(error) = targets.strike(fault, struck).await {
                let broken = format!("the fault {fault:?} could not be mended: {error:#}");
                targets.notebook.note(Seen::Broken(broken));
            }
        });
    }
    strikes.join_all().await;
    count
}

impl Targets {
    async fn strike(&self, fault: Fault, struck: oneshot::Sender<()>) -> Result<()> {
        // Whoever is at the step may have stopped waiting.
        let told = || drop(struck);
        match fault.what {
            What::KillGateway { pick } => {
                let mut gateway = self.gateway(pick).lock().await;
                gateway.kill().await?;
                told();
                gateway.bring_up().await?;
            }
            What::StopGateway { pick } => {
                let mut gateway = self.gateway(pick).lock().await;
                // It may take long, and clients are part of what happens meanwhile.
                told();
                gateway.stop().await?;
                gateway.bring_up().await?;
            }
            What::FreezeGateway { pick, lasts } => {
                let gateway = self.gateway(pick).lock().await;
                gateway.signal(Signal::SIGSTOP)?;
                told();
                tokio::time::sleep(lasts).await;
                gateway.signal(Signal::SIGCONT)?;
            }
            What::CutGateway { pick } => self.gateway(pick).lock().await.proxy.cut(),
            What::KillWrapper { pick } => kill_one(&self.processes.wrappers(), pick),
            What::KillClaude { pick } => kill_one(&self.processes.claudes(), pick),
            What::KillContainer { pick } => {
                let there = docker::containers(&self.prefix).await?;
                if !there.is_empty() {
                    // One that has just ended is fine too.
                    let _ = docker::kill(&there[pick % there.len()]).await;
                }
            }
            What::KillRedis { away } => {
                let mut redis = self.redis.lock().await;
                redis.kill().await?;
                if !redis.is_durable() {
                    self.notebook.note(Seen::Emptied);
                }
                told();
                tokio::time::sleep(away).await;
                redis.restart().await?;
            }
            What::FreezeRedis { lasts } => {
                let redis = self.redis.lock().await;
                redis.signal(Signal::SIGSTOP)?;
                told();
                tokio::time::sleep(lasts).await;
                redis.signal(Signal::SIGCONT)?;
            }
            What::CutRedis => self.redis_proxy.cut(),
        }
        Ok(())
    }

    fn gateway(&self, pick: usize) -> &Mutex<Gateway> {
        &self.gateways[pick % self.gateways.len()]
    }
}

fn kill_one(there: &[Process], pick: usize) {
    if let Some(process) = there.get(pick.checked_rem(there.len()).unwrap_or_default()) {
        process.kill();
    }
}
