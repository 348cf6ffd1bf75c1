//! A claim as somebody has it who asks a gateway: until it is answered, and until the container's
//! wrapper has its assignment, beside the same floor as the script.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use ccpool::{ClaimRequest, SessionId};
use redis::Value;
use tokio::runtime::{self, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::paper;
use super::script::Bare;
use super::server::Server;
use super::shelf::{PASSWORD, Shelf};
use crate::samples::Samples;

/// How long each took, in ms.
#[derive(Debug, Default)]
pub(crate) struct Whole {
    pub(crate) bare: Samples,
    /// Until the claim was answered.
    pub(crate) answered: Samples,
    /// Until it was answered and the wrapper had its assignment.
    pub(crate) handed_over: Samples,
}

/// Measures so many rounds, each with one warm container and a wrapper that waits in Redis, as the
/// container's own user.
///
/// # Errors
/// Something does not work.
pub(crate) async fn measure(server: &Server, rounds: usize, data: &Path) -> Result<Whole> {
    // Wrappers are other programs: to wake one takes nothing from a gateway's own threads.
    let wrappers = runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let whole = claims(server, rounds, data, wrappers.handle()).await;
    wrappers.shutdown_background();
    whole
}

async fn claims(server: &Server, rounds: usize, data: &Path, wrappers: &Handle) -> Result<Whole> {
    let prefix = "whole:";
    let pool = paper::gateway(server.url(), prefix, data).await?;
    let mut shelf = Shelf::beside(server, prefix, &pool).await?;
    let mut bare = Bare::new(server).await?;
    let mut whole = Whole::default();
    let warm_up = rounds / 10;
    for round in 0..rounds + warm_up {
        let container = shelf.add().await?;
        let user = shelf.users.names().name(&container);
        let inbox = shelf.keys.container(&container).inbox;
        let (server, (ready, waits)) = (server.clone(), oneshot::channel());
        let mut tasks = JoinSet::new();
        let wrapper = async move {
            let mut wrapper = server.connect_as(&user, PASSWORD).await?;
            // It is let in and answers, so what follows is sent at once.
            redis::cmd("PING").exec_async(&mut wrapper).await?;
            ready.send(()).ok();
            let mut wait = redis::cmd("BLMOVE");
            wait.arg(&inbox).arg(&inbox).arg("LEFT").arg("LEFT").arg(0);
            let told: Value = wait.query_async(&mut wrapper).await?;
            anyhow::Ok((told, Instant::now()))
        };
        tasks.spawn_on(wrapper, wrappers);
        waits.await.context("the wrapper is not let in")?;
        let floor = bare.pop().await?;
        let session = SessionId::new(format!("bench-{round}"))?;
        let request = ClaimRequest {
            session: Some(session),
            ..ClaimRequest::default()
        };
        let began = Instant::now();
        let claimed = pool.claim(request).await?;
        let answered = Instant::now();
        let told = tasks.join_next().await.context("no wrapper waits")?;
        let (told, at) = told??;
        ensure!(told != Value::Nil, "the wrapper was told nothing");
        ensure!(claimed.container == container, "another one was claimed");
        shelf.remove(&container).await?;
        if round >= warm_up {
            let ms = |until: Instant| until.duration_since(began).as_secs_f64() * 1e3;
            whole.bare.add(floor);
            whole.answered.add(ms(answered));
            whole.handed_over.add(ms(answered.max(at)));
        }
    }
    pool.shutdown(std::time::Duration::ZERO).await;
    Ok(whole)
}
