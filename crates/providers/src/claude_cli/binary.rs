//! Whether the program is there and starts, without asking it each time.

use std::io;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use super::launch::Launch;

/// How long an answer counts.
const FRESH: Duration = Duration::from_secs(60);
/// How long a failure does.
const FAILED_FRESH: Duration = Duration::from_secs(5);
/// How long the program may take to answer; it takes 100 ms.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a caller waits for the first answer.
const FIRST: Duration = Duration::from_millis(500);

/// What is known of the program.
#[derive(Debug)]
pub(super) struct Binary {
    launch: Launch,
    known: watch::Sender<Known>,
}

#[derive(Debug, Clone, Default)]
struct Known {
    /// It is being asked.
    asking: bool,
    /// Its version or what is wrong, and when that was found.
    found: Option<(Result<String, String>, Instant)>,
}

impl Binary {
    pub(super) fn new(launch: Launch) -> Self {
        Self {
            launch,
            known: watch::Sender::default(),
        }
    }

    /// Its version. Waits for half a second at most, and only for the very first answer; the program is
    /// asked again by a task of `tasks` when what is known is old.
    ///
    /// # Errors
    /// What is wrong, and what mends it.
    pub(super) async fn version(&self, tasks: &TaskTracker) -> Result<String, String> {
        let program = self.launch.program();
        if let Err(error) = std::fs::metadata(&program) {
            return Err(cannot_start(&program.display().to_string(), &error));
        }
        let mut known = self.known.subscribe();
        if self.begins_to_ask() {
            let (launch, tell) = (self.launch.clone(), self.known.clone());
            tasks.spawn(async move {
                let found = ask(&launch).await;
                tell.send_replace(Known {
                    asking: false,
                    found: Some((found, Instant::now())),
                });
            });
        }
        let found = timeout(FIRST, known.wait_for(|known| known.found.is_some())).await;
        let found = found.ok().and_then(Result::ok);
        let found = found.and_then(|known| known.found.clone());
        match found {
            Some((found, _)) => found,
            None => Err(format!("{} has not answered yet", program.display())),
        }
    }

    /// Whether whoever called this has to ask the program.
    fn begins_to_ask(&self) -> bool {
        self.known.send_if_modified(|known| {
            let fresh = known.found.as_ref().is_some_and(|(found, at)| {
                let limit = if found.is_ok() { FRESH } else { FAILED_FRESH };
                at.elapsed() < limit
            });
            !known.asking && !fresh && {
                known.asking = true;
                true
            }
        })
    }
}

/// Why the program could not be started, and what mends it.
pub(super) fn cannot_start(program: &str, error: &io::Error) -> String {
    let mend = match error.kind() {
        io::ErrorKind::NotFound => "install Claude Code on this host, or set claudeCli.path",
        _ => "check claudeCli.path, and that the file can be executed",
    };
    format!("cannot start {program}: {error}; {mend}")
}

async fn ask(launch: &Launch) -> Result<String, String> {
    let program = launch.program().display().to_string();
    let mut command = launch.question("--version");
    command
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true);
    let output = match timeout(PATIENCE, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(cannot_start(&program, &error)),
        Err(_) => {
            let limit = PATIENCE.as_secs();
            return Err(format!(
                "{program} --version did not answer within {limit} s"
            ));
        }
    };
    if !output.status.success() {
        return Err(format!(
            "{program} --version failed: {}; check claudeCli.path",
            output.status
        ));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    Ok(said.lines().next().unwrap_or_default().to_owned())
}
