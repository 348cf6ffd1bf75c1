use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Where things lie: the sources, what cargo builds, and what is kept between runs.
#[derive(Debug, Clone)]
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
    state: PathBuf,
}

impl Workspace {
    /// Asks cargo, so that a moved target directory is respected.
    pub(crate) fn find() -> Result<Self> {
        let output = Command::new(cargo())
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .context("cannot run cargo")?;
        ensure!(
            output.status.success(),
            "cargo metadata failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        let metadata: serde_json::Value =
            serde_json::from_slice(&output.stdout).context("cargo metadata is no JSON")?;
        let path = |key: &str| {
            let path = metadata[key]
                .as_str()
                .with_context(|| format!("no {key} in metadata"))?;
            anyhow::Ok(PathBuf::from(path))
        };
        let target = path("target_directory")?;
        let state = target.join("ccpool-state");
        std::fs::create_dir_all(&state)
            .with_context(|| format!("cannot create {}", state.display()))?;
        Ok(Self {
            root: path("workspace_root")?,
            target,
            state,
        })
    }

    /// The root of the sources.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where cargo builds.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Downloads, logs and tools that are kept between runs; ignored by git.
    pub(crate) fn state(&self) -> &Path {
        &self.state
    }

    /// A binary of the workspace as `cargo build` leaves it.
    pub(crate) fn debug_binary(&self, name: &str) -> PathBuf {
        self.target.join("debug").join(name)
    }

    /// A binary of the workspace as `cargo build --release` leaves it.
    pub(crate) fn release_binary(&self, name: &str) -> PathBuf {
        self.target.join("release").join(name)
    }
}

/// The cargo that started this program, or the one on PATH.
pub(crate) fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
