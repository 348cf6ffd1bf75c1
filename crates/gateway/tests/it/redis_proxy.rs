//! A stand-in for Redis' address that kills whoever sends a certain command, or hangs up.
//!
//! It stands between the wrappers and Redis, on Unix sockets, and sees whole commands and whole
//! answers. A step is a command that names a key of a session. What only keeps keys alive is none:
//! when that is sent depends on the clock.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::resp;

/// Which step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Counted from 1.
    Nth(usize),
    /// The one that tells how a turn has ended.
    Ending,
}

/// When a step is fatal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Redis never gets it.
    Before,
    /// Redis has done it, and the answer is lost.
    After,
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Harm {
    /// The wrapper dies.
    Kills,
    /// Its connection ends.
    Cuts,
}

/// Listens, and carries everything to Redis and back.
#[derive(Debug)]
pub(crate) struct RedisProxy {
    socket: PathBuf,
    listener: Option<UnixListener>,
    traps: Traps,
    tasks: JoinSet<()>,
}

/// A trap that was laid for the wrapper of one session.
#[derive(Debug)]
pub(crate) struct Laid {
    session: String,
    traps: Traps,
    release: watch::Sender<bool>,
    status: watch::Receiver<Status>,
}

/// What has become of the step that a trap was laid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It did its harm.
    Killed,
    /// It waits for a prompt, so it was not answered.
    Waits,
    /// It never came.
    Absent,
}

/// By session.
#[derive(Debug, Clone, Default)]
struct Traps(Arc<Mutex<HashMap<String, Trap>>>);

#[derive(Debug)]
struct Trap {
    step: Step,
    moment: Moment,
    harm: Harm,
    seen: usize,
    /// Nobody is killed before.
    released: watch::Receiver<bool>,
    status: watch::Sender<Status>,
}

#[derive(Debug, Default)]
struct Status {
    /// Steps that Redis has not answered, but for the one that waits for a prompt.
    open: usize,
    /// The step has come.
    reached: bool,
    /// It was fatal.
    sprung: bool,
}

/// A command on its way, for whoever carries its answer.
#[derive(Debug)]
struct Sent {
    session: Option<String>,
    waits: bool,
    fatal: Option<Fatal>,
}

#[derive(Debug)]
struct Fatal {
    moment: Moment,
    harm: Harm,
    released: watch::Receiver<bool>,
}

impl RedisProxy {
    /// Listens in this folder. Whoever connects waits for [`serve`](Self::serve).
    pub(crate) fn bind(dir: &Path) -> Self {
        let socket = dir.join("proxy.sock");
        let listener = UnixListener::bind(&socket).expect("a socket can be made");
        Self {
            socket,
            listener: Some(listener),
            traps: Traps::default(),
            tasks: JoinSet::new(),
        }
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Carries everything to the server behind this socket.
    pub(crate) fn serve(&mut self, redis: String) {
        let listener = self.listener.take().expect("it serves once");
        let traps = self.traps.clone();
        self.tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&redis).await.expect("Redis is there");
                connections.spawn(carry(client, server, traps.clone()));
                while connections.try_join_next().is_some() {}
            }
        });
    }

    /// The wrapper of this session is harmed at this step, once, and once the trap is released.
    pub(crate) fn lay(&self, session: &str, step: Step, moment: Moment, harm: Harm) -> Laid {
        let (release, released) = watch::channel(false);
        let (status, seen) = watch::channel(Status::default());
        let trap = Trap {
            step,
            moment,
            harm,
            seen: 0,
            released,
            status,
        };
        self.traps.lock().insert(session.to_owned(), trap);
        Laid {
            session: session.to_owned(),
            traps: self.traps.clone(),
            release,
            status: seen,
        }
    }
}

impl Laid {
    /// From now on it may kill.
    pub(crate) fn release(&self) {
        self.release.send_replace(true);
    }

    /// Takes it away once all that was sent is answered, or it has killed.
    pub(crate) async fn lift(mut self) -> Fate {
        let over = |status: &Status| status.open == 0 || status.sprung;
        // The sender goes with the trap, which only this takes away.
        let status = self.status.wait_for(over).await;
        let fate = match *status.expect("the trap is there") {
            Status { sprung: true, .. } => Fate::Killed,
            Status { reached: true, .. } => Fate::Waits,
            Status { reached: false, .. } => Fate::Absent,
        };
        self.traps.lock().remove(&self.session);
        fate
    }
}

impl Traps {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Trap>> {
        self.0.lock().expect("nothing panics while it is held")
    }

    /// A command is about to be sent.
    fn meet(&self, words: &[String]) -> Sent {
        let mut traps = self.lock();
        let name = words[0].to_ascii_uppercase();
        let named = |session: &str| {
            let part = format!(":{session}:");
            words.iter().any(|word| word.contains(&part))
        };
        let trap = traps.iter_mut().find(|(session, _)| named(session));
        let Some((session, trap)) = trap.filter(|_| name != "HSET" && name != "PEXPIRE") else {
            return Sent {
                session: None,
                waits: false,
                fatal: None,
            };
        };
        trap.seen += 1;
        let waits = name == "BLMOVE";
        let tells = |word: &String| word.contains(r#""subtype":"terminal""#);
        let reached = match trap.step {
            Step::Nth(step) => trap.seen == step,
            Step::Ending => words.iter().any(tells),
        };
        let reached = reached && !trap.status.borrow().reached;
        trap.status.send_modify(|status| {
            status.open += usize::from(!waits);
            status.reached |= reached;
        });
        let fatal = reached.then(|| Fatal {
            moment: trap.moment,
            harm: trap.harm,
            released: trap.released.clone(),
        });
        Sent {
            session: Some(session.clone()),
            waits,
            fatal,
        }
    }

    /// A command was answered.
    fn answered(&self, sent: &Sent) {
        let session = sent.session.as_ref().filter(|_| !sent.waits);
        let mut traps = self.lock();
        if let Some(trap) = session.and_then(|session| traps.get_mut(session)) {
            trap.status.send_modify(|status| status.open -= 1);
        }
    }

    /// Harms the wrapper, as soon as it may be. Its connection ends after this in any case.
    async fn spring(&self, session: &str, mut fatal: Fatal, wrapper: Pid) {
        // A trap that was taken away kills nobody.
        if fatal.released.wait_for(|released| *released).await.is_err() {
            return;
        }
        if fatal.harm == Harm::Kills {
            kill(wrapper, Signal::SIGKILL).expect("a wrapper can be killed");
        }
        if let Some(trap) = self.lock().get(session) {
            trap.status.send_modify(|status| status.sprung = true);
        }
    }
}

/// Both directions of one connection, until either side ends or the wrapper is killed.
async fn carry(client: UnixStream, server: UnixStream, traps: Traps) {
    let peer = client.peer_cred().ok().and_then(|peer| peer.pid());
    let wrapper = Pid::from_raw(peer.expect("a Unix socket knows its peer"));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // Unbounded: a client has few commands on the way.
    let (sent, answered) = mpsc::unbounded_channel();
    // The one that ends first closes both sockets.
    tokio::select! {
        () = commands(from_client, to_server, sent, &traps, wrapper) => {}
        () = answers(from_server, to_client, answered, &traps, wrapper) => {}
    }
}

async fn commands(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    on_the_way: mpsc::UnboundedSender<Sent>,
    traps: &Traps,
    wrapper: Pid,
) {
    let mut bytes = Vec::new();
    loop {
        while let Some(length) = resp::length(&bytes) {
            let command: Vec<u8> = bytes.drain(..length).collect();
            let sent = traps.meet(&resp::words(&command));
            match sent {
                Sent {
                    session: Some(session),
                    fatal: Some(fatal),
                    ..
                } if fatal.moment == Moment::Before => {
                    return traps.spring(&session, fatal, wrapper).await;
                }
                sent => {
                    if on_the_way.send(sent).is_err() || server.write_all(&command).await.is_err() {
                        return;
                    }
                }
            }
        }
        if !matches!(client.read_buf(&mut bytes).await, Ok(read) if read > 0) {
            return;
        }
    }
}

async fn answers(
    mut server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    mut on_the_way: mpsc::UnboundedReceiver<Sent>,
    traps: &Traps,
    wrapper: Pid,
) {
    let mut bytes = Vec::new();
    loop {
        while let Some(length) = resp::length(&bytes) {
            let answer: Vec<u8> = bytes.drain(..length).collect();
            match on_the_way.try_recv() {
                Ok(Sent {
                    session: Some(session),
                    fatal: Some(fatal),
                    ..
                }) => return traps.spring(&session, fatal, wrapper).await,
                Ok(sent) => traps.answered(&sent),
                // Nothing was asked: it is a message of a channel.
                Err(_) => {}
            }
            if client.write_all(&answer).await.is_err() {
                return;
            }
        }
        if !matches!(server.read_buf(&mut bytes).await, Ok(read) if read > 0) {
            return;
        }
    }
}
