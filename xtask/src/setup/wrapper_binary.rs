use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use crate::invocation;
use crate::progress::Step;
use crate::workspace::{Workspace, cargo};

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The wrapper, statically linked, so that it runs in any base image.
#[derive(Debug, Clone)]
pub(crate) struct WrapperBinary {
    path: PathBuf,
}

impl WrapperBinary {
    /// Builds it; cargo knows when there is nothing to do.
    pub(crate) fn build(workspace: &Workspace) -> Result<Self> {
        let step = Step::begin("building the static wrapper (about a minute the first time)");
        // Of its own: other flags in the same directory would make cargo build all anew.
        let directory = workspace.target().join("static");
        invocation::require(
            Command::new(cargo())
                .args(["build", "--profile", "wrapper", "-p", "ccpool-wrapper"])
                .args(["--target", TARGET, "--target-dir"])
                .arg(&directory)
                .env("RUSTFLAGS", "-C target-feature=+crt-static")
                .env_remove("CARGO_ENCODED_RUSTFLAGS")
                .current_dir(workspace.root()),
            "see the compiler's messages above",
        )?;
        let path = directory
            .join(TARGET)
            .join("wrapper")
            .join("ccpool-wrapper");
        ensure!(path.is_file(), "cargo built no {}", path.display());
        step.done();
        Ok(Self { path })
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}
