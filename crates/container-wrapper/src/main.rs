//! `ccpool-wrapper`: runs inside a container, keeps one `claude` warm, and carries prompts to it
//! and its lines back.
//!
//! It takes no arguments: everything it must know stands in the environment variable
//! [`ccpool_protocol::boot::ENV`]. Exit codes: 0 stopped on request, 1 `claude` or the wrapper
//! could not go on (the container's report says why), 2 the boot parameters cannot be used.

mod board;
mod chronicle;
mod claude;
mod clock;
mod effects;
mod expiries;
mod feed;
mod functions;
mod heard;
mod home;
mod inflight;
mod intake;
mod kept;
mod launch;
mod launcher;
mod link;
mod log;
mod naming;
mod news;
mod outbox;
mod parent;
mod prompt;
mod publisher;
mod questions;
mod respawns;
mod service;
mod session;
mod setup;
mod supervisor;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use ccpool_protocol::boot::{self, Boot};
use ccpool_protocol::record::report;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::board::Board;
use crate::feed::Feed;
use crate::inflight::Inflight;
use crate::intake::{Intake, TAKEN_AHEAD};
use crate::launch::Conversation;
use crate::launcher::Launcher;
use crate::link::Link;
use crate::naming::{Bits, Kernel};
use crate::publisher::Publisher;
use crate::supervisor::{End, Supervisor};

/// What may wait for the supervisor. It never blocks, so this is only a burst of lines.
const NEWS: usize = 256;
/// Control channels that may wait to be joined; there is one session.
const JOINS: usize = 1;

fn main() -> ExitCode {
    let (boot, link) = match parameters() {
        Ok(parameters) => parameters,
        Err(error) => {
            log::error(format_args!("{error:#}"));
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let ended = runtime
        .context("cannot start the async runtime")
        .and_then(|runtime| runtime.block_on(run(boot, link)));
    match ended {
        Ok(End::Stopped) => ExitCode::SUCCESS,
        Ok(End::Failed) => ExitCode::FAILURE,
        Err(error) => {
            log::error(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn parameters() -> anyhow::Result<(Boot, Link)> {
    let missing = || {
        format!(
            "{} is not set; the pool starts this program and sets it",
            boot::ENV
        )
    };
    let text = std::env::var(boot::ENV).with_context(missing)?;
    let boot = Boot::parse(&text)?;
    let link = Link::new(&boot.redis_url)?;
    Ok((boot, link))
}

async fn run(boot: Boot, link: Link) -> anyhow::Result<End> {
    launcher::hide().context("cannot hide the environment")?;
    let signals = [
        signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?,
        signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?,
    ];
    let mut bits = Kernel::open().context("cannot read /dev/urandom")?;
    let conversation = Conversation::New(naming::uuid(bits.draw()));

    let mut tasks = JoinSet::new();
    let (news_sender, news) = mpsc::channel(NEWS);
    let board = Board::new(&boot, conversation.id());
    let launcher = Launcher::new(&boot, news_sender.downgrade(), board.clone());
    let claude = launcher.launch(&conversation, &mut tasks);

    let inflight = Inflight::default();
    let publisher = Publisher {
        link: link.clone(),
        board: board.clone(),
        inflight: inflight.clone(),
        heartbeat: Duration::from_millis(boot.heartbeat_ms),
    };
    tasks.spawn(publisher.run());
    let claude = match claude {
        Ok(claude) => claude,
        Err(error) => {
            let error = anyhow::Error::new(error);
            board.report(report::FAILURE, format!("{error:#}"));
            // Redis away as well: the exit code and the log have to do.
            let _ = timeout(Duration::from_millis(boot.stop_ms), board.flushed()).await;
            return Err(error);
        }
    };

    if boot.follow_stdin {
        tasks.spawn(parent::watch(news_sender.clone()));
    }
    let room = Arc::new(Semaphore::new(TAKEN_AHEAD));
    let (joins_sender, joins) = mpsc::channel(JOINS);
    let feed = Feed {
        link: link.clone(),
        channels: vec![board.container().control.clone()],
        joins,
        news: news_sender.clone(),
    };
    tasks.spawn(feed.run());
    let intake = Intake {
        link,
        board: board.clone(),
        inflight,
        room: Arc::clone(&room),
        joins: joins_sender,
        news: news_sender,
    };
    tasks.spawn(intake.run());
    let supervisor = Supervisor {
        boot,
        board,
        launcher,
        claude,
        conversation,
        room,
        news,
        tasks,
        signals,
    };
    Ok(supervisor.run().await)
}
