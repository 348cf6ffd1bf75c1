//! `cargo xtask test`: every check, in order, until one fails.

use std::path::PathBuf;
use std::process::{Command, ExitCode, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;

use crate::chaos;
use crate::invocation;
use crate::progress::{Step, say, warn};
use crate::setup::{Needs, Parts, program};
use crate::summary::Counts;
use crate::workspace::{Workspace, cargo};

#[derive(Debug, Args)]
pub(crate) struct TestArguments {
    /// Install cargo-deny when it is missing (compiles for some minutes, kept for later).
    #[arg(long)]
    with_deny: bool,
}

/// Prepares the real parts and runs the checks; the exit code is that of the first that
/// fails. The last line printed counts the tests.
pub(crate) fn run(workspace: &Workspace, arguments: &TestArguments) -> Result<ExitCode> {
    let began = Instant::now();
    let parts = Parts::obtain(workspace, Needs::Everything)?;
    if let Err(reason) = parts.docker() {
        // A CI that silently tests less would be green for nothing.
        if std::env::var_os("CI").is_some() {
            bail!("CI must test containers, but there is no Docker Engine: {reason}");
        }
        warn("tests that need containers are told that there are none");
    }
    let mut checks = Checks {
        workspace,
        parts: &parts,
        times: vec![("set-up", began.elapsed())],
    };
    let outcome = checks.run_all(arguments);
    drop(parts);
    outcome
}

struct Checks<'a> {
    workspace: &'a Workspace,
    parts: &'a Parts,
    times: Vec<(&'static str, Duration)>,
}

/// What a check came to, when it did not pass.
type Failed = ExitStatus;

impl Checks<'_> {
    fn run_all(&mut self, arguments: &TestArguments) -> Result<ExitCode> {
        let counts = Arc::new(Mutex::new(Counts::default()));
        let failed = self.until_first_failure(arguments, &counts)?;
        self.say_times();
        let counts = *counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(status) = failed {
            if !counts.is_empty() {
                println!("{counts}");
            }
            return Ok(exit_code(status));
        }
        if counts.is_empty() {
            bail!("every check passed but no test runner said that a test ran");
        }
        println!("{counts}");
        Ok(ExitCode::SUCCESS)
    }

    fn until_first_failure(
        &mut self,
        arguments: &TestArguments,
        counts: &Arc<Mutex<Counts>>,
    ) -> Result<Option<Failed>> {
        let formatting = self.cargo(&["fmt", "--all", "--", "--check"]);
        if let Some(failed) = self.check("formatting", formatting, None)? {
            return Ok(Some(failed));
        }
        let lints = self.cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]);
        if let Some(failed) = self.check("lints", lints, None)? {
            return Ok(Some(failed));
        }
        if let Some(failed) = self.dependencies(arguments)? {
            return Ok(Some(failed));
        }
        let tests = if program::find("cargo-nextest").is_some() {
            self.cargo(&["nextest", "run", "--workspace"])
        } else {
            self.cargo(&["test", "--workspace", "--lib", "--bins", "--tests"])
        };
        if let Some(failed) = self.check("tests", tests, Some(counts))? {
            return Ok(Some(failed));
        }
        let mut links = self.cargo(&["doc", "--workspace", "--no-deps"]);
        links.env("RUSTDOCFLAGS", "-D warnings");
        if let Some(failed) = self.check("documentation", links, None)? {
            return Ok(Some(failed));
        }
        let examples = self.cargo(&["test", "--workspace", "--doc"]);
        let name = "documentation's examples";
        if let Some(failed) = self.check(name, examples, Some(counts))? {
            return Ok(Some(failed));
        }
        let chaos = chaos::short(self.workspace, self.parts);
        self.check("chaos", chaos, None)
    }

    /// Licences, bans and sources need no network; advisories need their database.
    fn dependencies(&mut self, arguments: &TestArguments) -> Result<Option<Failed>> {
        let Some(deny) = self.cargo_deny(arguments)? else {
            warn("cargo-deny is not installed: dependencies were NOT checked (see --with-deny)");
            return Ok(None);
        };
        let deny = |arguments: &[&str]| {
            let mut command = Command::new(&deny);
            command.args(arguments).current_dir(self.workspace.root());
            command
        };
        let offline = deny(&[
            "check",
            "--hide-inclusion-graph",
            "licenses",
            "bans",
            "sources",
        ]);
        let fetch = deny(&["--log-level", "off", "fetch", "db"]);
        let advisories = deny(&["check", "--disable-fetch", "advisories"]);
        if let Some(failed) = self.check("licences and sources", offline, None)? {
            return Ok(Some(failed));
        }
        let mut fetch = fetch;
        if !invocation::run_quietly(&mut fetch)?.success() {
            warn("the advisory database cannot be reached: advisories were NOT checked");
            return Ok(None);
        }
        self.check("advisories", advisories, None)
    }

    fn cargo_deny(&self, arguments: &TestArguments) -> Result<Option<PathBuf>> {
        let tools = self.workspace.state().join("tools");
        let own = tools.join("bin").join("cargo-deny");
        let found = program::find("cargo-deny").or_else(|| own.is_file().then(|| own.clone()));
        if found.is_some() || !arguments.with_deny {
            return Ok(found);
        }
        let step = Step::begin("installing cargo-deny (compiles for some minutes)");
        invocation::require(
            Command::new(cargo())
                .args(["install", "cargo-deny", "--locked", "--root"])
                .arg(&tools)
                .current_dir(self.workspace.root()),
            "see the compiler's messages above",
        )?;
        step.done();
        Ok(Some(own))
    }

    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(cargo());
        command.args(arguments).current_dir(self.workspace.root());
        self.parts.describe_to(&mut command);
        command
    }

    /// Runs one check; its exit status if it failed.
    fn check(
        &mut self,
        name: &'static str,
        mut command: Command,
        counts: Option<&Arc<Mutex<Counts>>>,
    ) -> Result<Option<Failed>> {
        let step = Step::begin(name);
        let status = match counts {
            None => invocation::run(&mut command)?,
            Some(counts) => {
                let counts = Arc::clone(counts);
                let seen = move |line: &str| {
                    counts
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .see(line);
                };
                invocation::run_watched(&mut command, Box::new(seen))?
            }
        };
        if status.success() {
            self.times.push((name, step.done()));
            Ok(None)
        } else {
            warn(format!("{name} failed ({status})"));
            Ok(Some(status))
        }
    }

    fn say_times(&self) {
        for (name, took) in &self.times {
            say(format!("{:7.1} s  {name}", took.as_secs_f64()));
        }
    }
}

/// That of the failing check; one that was killed has none, so the shell's convention.
fn exit_code(status: ExitStatus) -> ExitCode {
    use std::os::unix::process::ExitStatusExt;
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from)
}
