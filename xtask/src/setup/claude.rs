use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::packages::Packages;
use crate::cleanup::Cleanup;
use crate::invocation;
use crate::progress::Step;

/// The version of Claude Code that everything here is tested with.
pub(crate) const CLAUDE_VERSION: &str = "2.1.329";

/// Its npm package for this platform.
const PACKAGE: &str = "@anthropic-ai/claude-code-linux-x64";

/// A Claude Code binary of [`CLAUDE_VERSION`], checked by asking it.
#[derive(Debug, Clone)]
pub(crate) struct Claude {
    path: PathBuf,
}

impl Claude {
    /// The binary that CCPOOL_TEST_CLAUDE names, or the one kept in `state`, which is
    /// fetched through npm when it is missing.
    ///
    /// # Errors
    /// It cannot be fetched, or answers with another version.
    pub(crate) fn obtain(packages: &mut Packages, state: &Path) -> Result<Self> {
        if let Some(path) = std::env::var_os("CCPOOL_TEST_CLAUDE") {
            let path = PathBuf::from(path);
            verify(&path, state)?;
            return Ok(Self { path });
        }
        let directory = state.join("claude").join(CLAUDE_VERSION);
        let path = directory.join("claude");
        if !path.exists() {
            fetch(packages, state, &directory)?;
        }
        verify(&path, state)
            .with_context(|| format!("remove {} and try again", directory.display()))?;
        Ok(Self { path })
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn fetch(packages: &mut Packages, state: &Path, to: &Path) -> Result<()> {
    let package = format!("{PACKAGE}@{CLAUDE_VERSION}");
    let npm = packages
        .ensure("npm", "npm")
        .with_context(|| format!("cannot fetch {package}"))?;
    let tar = packages.ensure("tar", "tar")?;
    let step = Step::begin(format!(
        "fetching {package} (a download of about 170 MB, kept for later)"
    ));
    let scratch = Scratch::create(&state.join(format!("claude-{}", std::process::id())))?;
    invocation::require(
        Command::new(npm)
            .args(["pack", "--silent", &package, "--pack-destination"])
            .arg(scratch.path())
            .current_dir(scratch.path()),
        "is the npm registry reachable? (`npm ping`)",
    )?;
    let archive = fs::read_dir(scratch.path())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "tgz"))
        .context("npm pack left no archive")?;
    invocation::require(
        Command::new(tar)
            .arg("-xzf")
            .arg(&archive)
            .arg("-C")
            .arg(scratch.path()),
        "the downloaded archive is damaged, or the disk is full",
    )?;
    let unpacked = scratch.path().join("package");
    ensure!(
        unpacked.join("claude").is_file(),
        "{package} holds no file `claude`"
    );
    let parent = to.parent().context("the cache has no parent directory")?;
    fs::create_dir_all(parent)?;
    // Another run may have been faster; its copy is as good.
    if let Err(error) = fs::rename(&unpacked, to)
        && !to.join("claude").exists()
    {
        return Err(error).with_context(|| format!("cannot create {}", to.display()));
    }
    step.done();
    Ok(())
}

/// Asks the binary with a clean environment and a fresh HOME, so that no user's settings
/// are read or written.
fn verify(path: &Path, state: &Path) -> Result<()> {
    let home = Scratch::create(&state.join(format!("home-{}", std::process::id())))?;
    let output = Command::new(path)
        .arg("--version")
        .env_clear()
        .env("HOME", home.path())
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .current_dir(home.path())
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", path.display()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    if said.trim() == format!("{CLAUDE_VERSION} (Claude Code)") {
        Ok(())
    } else {
        bail!(
            "{} is not Claude Code {CLAUDE_VERSION}: it says {:?}",
            path.display(),
            said.trim()
        )
    }
}

/// A directory that goes with this value, or with the process.
#[derive(Debug)]
struct Scratch {
    path: PathBuf,
    _remove: Cleanup,
}

impl Scratch {
    fn create(path: &Path) -> Result<Self> {
        fs::create_dir_all(path).with_context(|| format!("cannot create {}", path.display()))?;
        let gone = path.to_owned();
        let remove = Cleanup::new(move || {
            if let Err(error) = fs::remove_dir_all(&gone) {
                eprintln!("warning: cannot remove {}: {error}", gone.display());
            }
        });
        Ok(Self {
            path: path.to_owned(),
            _remove: remove,
        })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}
