//! How a command ends: exit codes, and errors in one line.

use std::io;
use std::process::ExitCode;

use ccpool::PoolError;
use ccpool::config::{ConfigErrors, Problem};
use ccpool_protocol::FailureKind;
use ccpool_protocol::event::Failed;
use serde_json::{Value, json};

/// The documented exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    Unavailable = 3,
    Exhausted = 4,
    Auth = 5,
    Interrupted = 6,
    TurnFailed = 7,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Exit {
    /// The code for a turn that failed.
    pub(crate) fn of_turn(kind: FailureKind) -> Self {
        match kind {
            FailureKind::Unavailable => Self::Unavailable,
            FailureKind::Exhausted => Self::Exhausted,
            FailureKind::Auth => Self::Auth,
            FailureKind::Interrupted => Self::Interrupted,
            FailureKind::RateLimited
            | FailureKind::Overloaded
            | FailureKind::InvalidRequest
            | FailureKind::MaxTurns
            | FailureKind::Stalled
            | FailureKind::ContainerLost
            | FailureKind::Timeout
            | FailureKind::Internal => Self::TurnFailed,
        }
    }
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct CliError {
    exit: Exit,
    kind: String,
    message: String,
    mend: Option<String>,
    /// For a configuration: each problem, the first of which is also in `message`.
    problems: Vec<Problem>,
    /// Whoever reads our output has gone; there is nobody to tell.
    silent: bool,
}

impl CliError {
    /// An error with the word that a program acts on.
    pub(crate) fn new(exit: Exit, kind: &str, message: impl Into<String>) -> Self {
        Self {
            exit,
            kind: kind.to_owned(),
            message: message.into(),
            mend: None,
            problems: Vec::new(),
            silent: false,
        }
    }

    /// Results could not be written. A reader that has seen enough is no failure.
    pub(crate) fn stdout(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self {
                silent: true,
                ..Self::new(Exit::Done, "closed", "stdout is closed")
            };
        }
        Self::internal(format!("cannot write to stdout: {error}"))
    }

    /// Wrong usage.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", message)
    }

    /// Something on this machine failed.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, FailureKind::Internal.as_str(), message)
    }

    /// With what mends it.
    pub(crate) fn mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = Some(mend.into());
        self
    }

    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// Writes the error to stderr: a line for a person, or one JSON object.
    pub(crate) fn print(&self, as_json: bool) {
        if self.silent {
            return;
        }
        if as_json {
            eprintln!("{}", self.to_json());
            return;
        }
        if self.problems.is_empty() {
            eprintln!("{}", line(&self.message, self.mend.as_deref()));
        }
        for problem in &self.problems {
            let what = format!("{}: {}", problem.source, problem.what);
            eprintln!("{}", line(&what, Some(&problem.mend)));
        }
    }

    fn to_json(&self) -> Value {
        let mut error = json!({"kind": self.kind, "message": self.message, "mend": self.mend});
        if !self.problems.is_empty() {
            error["problems"] = json!(self.problems);
        }
        json!({ "error": error })
    }
}

/// `error: what is wrong; mend: what mends it`, on one line whatever the texts hold.
fn line(message: &str, mend: Option<&str>) -> String {
    let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    match mend {
        Some(mend) => format!("error: {}; mend: {}", flat(message), flat(mend)),
        None => format!("error: {}", flat(message)),
    }
}

impl From<ConfigErrors> for CliError {
    fn from(errors: ConfigErrors) -> Self {
        let problems = errors.problems().to_vec();
        let first = problems.first();
        Self {
            exit: Exit::Usage,
            kind: "config".to_owned(),
            message: first.map_or_else(
                || errors.to_string(),
                |problem| format!("{}: {}", problem.source, problem.what),
            ),
            mend: first.map(|problem| problem.mend.clone()),
            problems,
            silent: false,
        }
    }
}

impl From<PoolError> for CliError {
    fn from(error: PoolError) -> Self {
        let exit = match &error {
            PoolError::Exhausted { .. } => Exit::Exhausted,
            PoolError::Unavailable { .. } => Exit::Unavailable,
            PoolError::InvalidRequest(_) => Exit::Usage,
            PoolError::UnknownSession(_)
            | PoolError::UnknownPermission { .. }
            | PoolError::Settled(_)
            | PoolError::Internal(_) => Exit::Failed,
        };
        Self {
            mend: error.mend().map(str::to_owned),
            ..Self::new(exit, error.kind().as_str(), error.to_string())
        }
    }
}

impl From<&Failed> for CliError {
    fn from(failed: &Failed) -> Self {
        let mend = match failed.kind {
            FailureKind::Auth => Some(
                "set ANTHROPIC_API_KEY or CLAUDE_CODE_OAUTH_TOKEN where the gateway runs"
                    .to_owned(),
            ),
            FailureKind::Exhausted
            | FailureKind::Unavailable
            | FailureKind::RateLimited
            | FailureKind::Overloaded
            | FailureKind::InvalidRequest
            | FailureKind::MaxTurns
            | FailureKind::Interrupted
            | FailureKind::Stalled
            | FailureKind::ContainerLost
            | FailureKind::Timeout
            | FailureKind::Internal => failed
                .retry_after_ms
                .map(|ms| format!("try again in {} s", ms.div_ceil(1000))),
        };
        Self {
            mend,
            ..Self::new(
                Exit::of_turn(failed.kind),
                failed.kind.as_str(),
                format!("the turn failed ({}): {}", failed.kind, failed.message),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_stay_on_one_line() {
        assert_eq!(
            line("the port\nis taken", Some("use  another")),
            "error: the port is taken; mend: use another"
        );
        assert_eq!(line("no mend", None), "error: no mend");
    }

    #[test]
    fn json_names_kind_message_and_mend() {
        let error = CliError::new(Exit::Unavailable, "unavailable", "no Redis").mend("start it");
        let json = json!({
            "error": {"kind": "unavailable", "message": "no Redis", "mend": "start it"},
        });
        assert_eq!(error.to_json(), json);
    }

    #[test]
    fn a_failed_turn_keeps_its_kind_as_exit_code() {
        let codes: Vec<u8> = FailureKind::ALL
            .iter()
            .map(|kind| Exit::of_turn(*kind) as u8)
            .collect();
        assert_eq!(codes, [4, 3, 5, 7, 7, 7, 7, 6, 7, 7, 7, 7]);
    }
}
