//! `cargo xtask fuzz`: the kept corpus, then fuzzing for a while. See `docs/testing.md`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::SystemTime;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use crate::invocation;
use crate::progress::{Step, say, warn};
use crate::setup::program;
use crate::workspace::{Workspace, cargo};

/// The kept corpus is for git: that of each target stays small.
const MOST_FILES: usize = 200;
const MOST_BYTES: u64 = 512 << 10;

#[derive(Debug, Args)]
pub(crate) struct FuzzArguments {
    /// How long to fuzz in all, shared out over the targets.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Afterwards add to the kept corpus, which is in git, what reaches code that it did not.
    #[arg(long)]
    keep: bool,
    /// Run this one input and nothing else.
    #[arg(long, value_name = "FILE", requires = "target")]
    input: Option<PathBuf>,
    /// Only this target.
    target: Option<Target>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Target {
    Framing,
    Fold,
    InputItems,
    Envelopes,
}

impl Target {
    fn name(self) -> &'static str {
        match self {
            Self::Framing => "framing",
            Self::Fold => "fold",
            Self::InputItems => "input_items",
            Self::Envelopes => "envelopes",
        }
    }

    /// Longest input. A conversation takes more room than one message.
    fn max_len(self) -> u32 {
        match self {
            Self::Fold => 6 << 10,
            Self::Framing | Self::InputItems | Self::Envelopes => 4 << 10,
        }
    }
}

/// Fuzzes; the exit code is not 0 when an input breaks its invariants.
pub(crate) fn run(workspace: &Workspace, arguments: &FuzzArguments) -> Result<ExitCode> {
    let fuzzer = Fuzzer::obtain(workspace)?;
    let step = Step::begin("building the fuzz targets");
    invocation::require(
        &mut fuzzer.cargo_fuzz("build"),
        "see the compiler's messages above",
    )?;
    step.done();
    let targets = match arguments.target {
        Some(target) => vec![target],
        None => Target::value_variants().to_vec(),
    };
    if let (Some(input), [target]) = (&arguments.input, targets.as_slice()) {
        let input = std::path::absolute(input).context("where are we?")?;
        return fuzzer.run(*target, &[input], &[]);
    }
    for target in &targets {
        let step = Step::begin(format!("{}: the kept corpus", target.name()));
        let kept = fuzzer.kept(*target);
        let code = fuzzer.run(*target, &[kept], &["-runs=0".to_owned()])?;
        if code != ExitCode::SUCCESS {
            return Ok(code);
        }
        step.done();
    }
    let seconds = (arguments.seconds / targets.len() as u64).max(1);
    for target in targets {
        let step = Step::begin(format!("{}: fuzzing for {seconds} s", target.name()));
        let code = fuzzer.fuzz(target, seconds)?;
        if code != ExitCode::SUCCESS {
            return Ok(code);
        }
        step.done();
        if arguments.keep {
            fuzzer.keep(target)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

struct Fuzzer {
    /// `fuzz/`, a workspace of its own.
    folder: PathBuf,
    /// Where it is built.
    target: PathBuf,
    /// What fuzzing finds, beside the kept corpus.
    found: PathBuf,
    toolchain: Toolchain,
    /// PATH with `cargo-fuzz` in it.
    path: OsString,
}

/// The fuzzer's instrumentation is not stable yet.
enum Toolchain {
    /// The rustup proxy, which knows a nightly.
    Nightly(PathBuf),
    /// A stable compiler that is told to be unstable.
    Bootstrap,
}

impl Fuzzer {
    fn obtain(workspace: &Workspace) -> Result<Self> {
        let tools = workspace.state().join("tools");
        if program::find("cargo-fuzz").is_none() && !tools.join("bin/cargo-fuzz").is_file() {
            let step = Step::begin("installing cargo-fuzz (compiles for a minute)");
            invocation::require(
                Command::new(cargo())
                    .args(["install", "cargo-fuzz", "--locked", "--root"])
                    .arg(&tools)
                    .current_dir(workspace.root()),
                "see the compiler's messages above",
            )?;
            step.done();
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain([tools.join("bin")]);
        Ok(Self {
            folder: workspace.root().join("fuzz"),
            target: workspace.target().join("fuzz"),
            found: workspace.state().join("fuzz").join("corpus"),
            toolchain: Toolchain::find(),
            path: std::env::join_paths(folders).context("PATH cannot be extended")?,
        })
    }

    fn cargo_fuzz(&self, subcommand: &str) -> Command {
        let mut command = match &self.toolchain {
            Toolchain::Nightly(proxy) => {
                let mut command = Command::new(proxy);
                command.arg("+nightly");
                command
            }
            Toolchain::Bootstrap => {
                let mut command = Command::new(cargo());
                command.env("RUSTC_BOOTSTRAP", "1");
                command
            }
        };
        // No sanitizer: the code is safe Rust, and without one it runs several times as often.
        command
            .args(["fuzz", subcommand, "--sanitizer", "none", "--target-dir"])
            .arg(&self.target)
            .env("PATH", &self.path)
            .current_dir(&self.folder);
        command
    }

    fn kept(&self, target: Target) -> PathBuf {
        self.folder.join("corpus").join(target.name())
    }

    fn found(&self, target: Target) -> Result<PathBuf> {
        let folder = self.found.join(target.name());
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(folder)
    }

    fn fuzz(&self, target: Target, seconds: u64) -> Result<ExitCode> {
        let flags = [
            format!("-max_total_time={seconds}"),
            format!("-max_len={}", target.max_len()),
            "-timeout=20".to_owned(),
            "-print_final_stats=1".to_owned(),
        ];
        // What is new goes into the first folder.
        self.run(target, &[self.found(target)?, self.kept(target)], &flags)
    }

    /// Runs a target over files or folders; says what to do with an input that breaks it.
    fn run(&self, target: Target, inputs: &[PathBuf], flags: &[String]) -> Result<ExitCode> {
        let artifacts = self.folder.join("artifacts").join(target.name());
        let began = SystemTime::now();
        let mut command = self.cargo_fuzz("run");
        command
            .arg(target.name())
            .args(inputs)
            .arg("--")
            .args(flags);
        if invocation::run_quietly(&mut command)?.success() {
            return Ok(ExitCode::SUCCESS);
        }
        warn(format!("{} failed", target.name()));
        // Without a crash there is no such folder.
        for artifact in files(&artifacts).unwrap_or_default() {
            if modified(&artifact).is_none_or(|modified| modified < began) {
                continue;
            }
            say(format!("the input is {}", artifact.display()));
            say(format!(
                "run it again with: cargo xtask fuzz {} --input {}",
                target.name(),
                artifact.display()
            ));
        }
        Ok(ExitCode::FAILURE)
    }

    /// Takes over what reaches code that the kept corpus does not.
    fn keep(&self, target: Target) -> Result<()> {
        let kept = self.kept(target);
        let before = files(&kept)?;
        let mut merge = self.cargo_fuzz("run");
        merge
            .arg(target.name())
            .args([&kept, &self.found(target)?])
            // Code that is reached counts, not how often: a smaller corpus says as much.
            .args(["--", "-set_cover_merge=1", "-use_counters=0"])
            .arg(format!("-max_len={}", target.max_len()));
        invocation::require(&mut merge, "the corpora cannot be merged")?;
        let mut added: Vec<PathBuf> = files(&kept)?.difference(&before).cloned().collect();
        // They are written in the order of how much each adds.
        added.sort_by_cached_key(|file| modified(file));
        let (mut count, mut bytes) = (before.len(), size_of_all(&before)?);
        let mut room = true;
        let mut taken = 0;
        for file in &added {
            count += 1;
            bytes += std::fs::metadata(file)?.len();
            room &= count <= MOST_FILES && bytes <= MOST_BYTES;
            if room {
                // libFuzzer names them by their SHA-1, which git is told to ignore.
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                let short = kept.join(format!("found-{}", name.get(..12).unwrap_or(&name)));
                std::fs::rename(file, &short)
                    .with_context(|| format!("cannot rename {}", file.display()))?;
                taken += 1;
            } else {
                std::fs::remove_file(file)
                    .with_context(|| format!("cannot remove {}", file.display()))?;
            }
        }
        let folder = kept.display();
        say(format!("{taken} new files in {folder}"));
        if !room {
            let left = added.len() - taken;
            warn(format!("{folder} is full: {left} files stay outside"));
        }
        Ok(())
    }
}

impl Toolchain {
    fn find() -> Self {
        let nightly = program::find("cargo").filter(|proxy| {
            Command::new(proxy)
                .args(["+nightly", "--version"])
                .stdin(Stdio::null())
                .output()
                .is_ok_and(|output| output.status.success())
        });
        match nightly {
            Some(proxy) => Self::Nightly(proxy),
            None => Self::Bootstrap,
        }
    }
}

fn modified(file: &Path) -> Option<SystemTime> {
    std::fs::metadata(file).ok()?.modified().ok()
}

fn size_of_all(files: &BTreeSet<PathBuf>) -> Result<u64> {
    let mut bytes = 0;
    for file in files {
        bytes += std::fs::metadata(file)?.len();
    }
    Ok(bytes)
}

fn files(folder: &Path) -> Result<BTreeSet<PathBuf>> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let files: std::io::Result<BTreeSet<PathBuf>> =
        entries.map(|entry| Ok(entry?.path())).collect();
    files.with_context(|| format!("cannot read {}", folder.display()))
}
