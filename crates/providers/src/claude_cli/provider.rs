//! The provider itself.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ccpool::config::Config;
use ccpool::provider::{
    Conversation, Provider, ProviderHealth, Refused, Reply, Spoken, ToolChoice, handover,
};
use ccpool::{HealthStatus, SessionId};
use ccpool_protocol::permission::Behavior;
use ccpool_protocol::vigil::Limits;
use ccpool_protocol::{ContainerId, FailureKind, TurnId};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::answer::answer;
use super::binary::{Binary, cannot_start};
use super::desk::{Desk, Taken};
use super::folder::{Folder, Folders};
use super::launch::{Launch, initialize};
use super::memory::Memory;
use super::process::Process;
use super::talk::{Belongings, Rules, Talk};
use super::turn::Order;

/// What its models' names begin with.
const NAME: &str = "claude-cli";

/// Aliases that the CLI resolves itself.
const MODELS: [&str; 3] = ["opus", "sonnet", "haiku"];

/// When all processes are at work: a turn takes some seconds.
const TRY_AGAIN: Duration = Duration::from_secs(2);

/// Answers by the CLI of this host: one process for each conversation, started as a child of this
/// program with its user's login. It needs neither Redis nor Docker.
///
/// Processes end when it is dropped; [`ClaudeCli::shutdown`] waits for that.
pub struct ClaudeCli {
    launch: Launch,
    binary: Binary,
    /// The model of conversations that name none.
    model: Option<String>,
    rules: Arc<Rules>,
    places: Arc<Semaphore>,
    max_processes: usize,
    parent: std::path::PathBuf,
    folders: Mutex<Option<Arc<Folders>>>,
    numbers: AtomicU64,
    tasks: TaskTracker,
    _stop: DropGuard,
}

impl ClaudeCli {
    /// As the sections `claudeCli` and `timeouts` say, with folders below `dataDir`. Starts nothing yet.
    /// Conversations that name no model get the first of `model.primary` and `model.fallbacks` that is
    /// this provider's, or else the CLI's default.
    pub fn new(config: &Config) -> Self {
        let options = &config.claude_cli;
        let stop = CancellationToken::new();
        let max_processes = options.max_processes as usize;
        let mut configured = std::iter::once(&config.model.primary).chain(&config.model.fallbacks);
        let configured = configured.find(|model| model.provider() == NAME);
        let launch = Launch::new(options.clone());
        let rules = Rules {
            desk: Desk::default(),
            stop: stop.clone(),
            limits: Limits::new(config.timeouts.stall, config.timeouts.turn),
            startup: config.timeouts.startup,
            idle: config.timeouts.idle,
            grace: config.timeouts.stop,
            on_question: match options.skip_permissions {
                true => Behavior::Allow,
                false => Behavior::Deny,
            },
            has_tools: launch.has_tools(),
        };
        Self {
            binary: Binary::new(launch.clone()),
            launch,
            model: configured.map(|model| model.model().to_owned()),
            rules: Arc::new(rules),
            places: Arc::new(Semaphore::new(max_processes)),
            max_processes,
            parent: config.data_dir.join(NAME),
            folders: Mutex::default(),
            numbers: AtomicU64::new(1),
            tasks: TaskTracker::new(),
            _stop: stop.drop_guard(),
        }
    }

    /// Ends all processes: turns that run fail as `interrupted`, and new ones are refused. Waits for
    /// at most `deadline`.
    pub async fn shutdown(&self, deadline: Duration) {
        self.rules.stop.cancel();
        self.tasks.close();
        if timeout(deadline, self.tasks.wait()).await.is_err() {
            tracing::warn!("some processes of claude-cli have not ended yet");
        }
    }

    /// Has a process that knows the beginning of the conversation go on with it, if there is one.
    async fn go_on(&self, conversation: &Conversation) -> Option<Reply> {
        while let Some(taken) = self.rules.desk.take(conversation) {
            let Taken {
                session,
                known,
                orders,
            } = taken;
            let new = &conversation.messages[known..];
            let blocks = handover::prompt(new, &conversation.tool_choice);
            let (order, reply, has_it) = self.order(conversation, blocks, session);
            // One that had just ended drops what it was told, and nothing of it was done.
            if orders.send(order).await.is_ok() && has_it.await.is_ok() {
                return Some(reply);
            }
        }
        None
    }

    /// Starts a process, which is told the conversation so far.
    async fn begin(&self, conversation: &Conversation) -> Result<Reply, Refused> {
        if conversation.messages.is_empty() {
            let message = "the conversation has no message to answer; add one of the user's";
            return Err(Refused::new(FailureKind::InvalidRequest, message));
        }
        let blocks = handover::whole(conversation);
        let place = self.place().await?;
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let folder = self.folder(number)?;
        let name = Uuid::new_v4();
        let session = SessionId::new(format!("{NAME}:{name}"));
        let session = session.expect("letters, digits, a colon and dashes are a session id");
        let processes = ContainerId::from_random(name.as_u64_pair().1);
        let model = conversation.model.as_deref();
        let command = self
            .launch
            .command(&name.to_string(), model, &processes, &folder);
        let process = Process::spawn(command).map_err(|error| {
            let program = self.launch.program().display().to_string();
            Refused::new(FailureKind::Unavailable, cannot_start(&program, &error))
        })?;
        tracing::debug!(%session, pid = %process.pid(), "claude was started");
        let (order, reply, _) = self.order(conversation, blocks, session.clone());
        let belongings = Belongings {
            session,
            processes,
            folder,
            place,
        };
        let rules = Arc::clone(&self.rules);
        let talk = Talk::new(rules, number, process, initialize(conversation), belongings);
        self.tasks.spawn(talk.run(order));
        Ok(reply)
    }

    /// A turn, the answer to it, and who tells that a process has taken it.
    fn order(
        &self,
        conversation: &Conversation,
        blocks: Vec<Value>,
        session: SessionId,
    ) -> (Order, Reply, oneshot::Receiver<()>) {
        let name = Uuid::new_v4().simple().to_string();
        let turn = TurnId::new(format!("t-{}", &name[..12]));
        let turn = turn.expect("letters, digits and a dash are a turn id");
        let (mouth, events) = answer(&turn);
        let (taken, has_it) = oneshot::channel();
        let order = Order {
            turn: turn.clone(),
            blocks,
            spoken: Spoken::of(conversation),
            memory: Memory::of(conversation),
            mouth,
            taken,
        };
        let reply = Reply {
            provider: NAME.to_owned(),
            model: conversation.model.clone().unwrap_or_default(),
            session: Some(session),
            turn,
            passed: Vec::new(),
            events,
        };
        (order, reply, has_it)
    }

    /// Room for one more process; the one that has waited for longest makes it.
    async fn place(&self) -> Result<OwnedSemaphorePermit, Refused> {
        let exhausted = || Refused {
            retry_after: Some(TRY_AGAIN),
            ..Refused::new(
                FailureKind::Exhausted,
                format!(
                    "all {} processes of claude-cli are at work; try again later, or raise \
                     claudeCli.maxProcesses",
                    self.max_processes
                ),
            )
        };
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(place);
        }
        if !self.rules.desk.dismiss_oldest() {
            return Err(exhausted());
        }
        // Its end takes some milliseconds, and no longer than its grace and a kill.
        let patience = self.rules.grace + Duration::from_secs(1);
        let place = timeout(patience, Arc::clone(&self.places).acquire_owned()).await;
        match place {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => Err(exhausted()),
        }
    }

    fn folder(&self, number: u64) -> Result<Folder, Refused> {
        let refused = |message: String| Refused::new(FailureKind::Unavailable, message);
        if let Some(cwd) = self.launch.cwd().filter(|cwd| !cwd.is_dir()) {
            let cwd = cwd.display();
            return Err(refused(format!(
                "{cwd} is no folder; make it, or set claudeCli.cwd to another"
            )));
        }
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = match &mut *folders {
            Some(folders) => folders.folder(number),
            none @ None => {
                Folders::open(&self.parent).and_then(|new| none.insert(new).folder(number))
            }
        };
        folder.map_err(|error| {
            let parent = self.parent.display();
            refused(format!(
                "cannot make a folder below {parent}: {error}; check dataDir"
            ))
        })
    }
}

#[async_trait]
impl Provider for ClaudeCli {
    fn name(&self) -> &str {
        NAME
    }

    fn models(&self) -> Vec<String> {
        MODELS.map(str::to_owned).to_vec()
    }

    async fn reply(&self, conversation: Conversation) -> Result<Reply, Refused> {
        if self.rules.stop.is_cancelled() {
            let message = "the provider claude-cli is shutting down";
            return Err(Refused::new(FailureKind::Unavailable, message));
        }
        match &conversation.tool_choice {
            ToolChoice::Auto | ToolChoice::None => {}
            // Another provider can.
            ToolChoice::Required | ToolChoice::Function(_) => {
                let message = "claude-cli cannot call the client's functions, and the request \
                               demands a call; ask another provider, or leave tool_choice out";
                return Err(Refused::new(FailureKind::Unavailable, message));
            }
        }
        let prefix = format!("{NAME}/");
        let model = conversation.model.as_deref();
        let model = model.map(|model| model.strip_prefix(&prefix).unwrap_or(model).to_owned());
        let conversation = Conversation {
            model: model.or_else(|| self.model.clone()),
            ..conversation
        };
        match self.go_on(&conversation).await {
            Some(reply) => Ok(reply),
            None => self.begin(&conversation).await,
        }
    }

    async fn health(&self) -> ProviderHealth {
        let found = self.binary.version(&self.tasks).await;
        let (status, reason) = match found {
            Err(why) => (HealthStatus::Unavailable, Some(why)),
            Ok(_) if self.rules.stop.is_cancelled() => {
                let why = "the provider is shutting down";
                (HealthStatus::Unavailable, Some(why.to_owned()))
            }
            Ok(_) if self.places.available_permits() == 0 && self.rules.desk.is_empty() => {
                let why = format!("all {} processes are at work", self.max_processes);
                (HealthStatus::Degraded, Some(why))
            }
            Ok(_) => (HealthStatus::Ok, None),
        };
        ProviderHealth {
            status,
            reasons: reason.into_iter().collect(),
        }
    }
}

impl fmt::Debug for ClaudeCli {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClaudeCli")
            .field("launch", &self.launch)
            .field("max_processes", &self.max_processes)
            .finish_non_exhaustive()
    }
}
