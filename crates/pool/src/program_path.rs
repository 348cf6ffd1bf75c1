//! Finding a program as `exec` would.

use std::path::{Path, PathBuf};

/// A bare name is looked for on PATH; anything else, and what is not found, stays as it is.
pub fn on_path(program: &Path) -> PathBuf {
    if program.components().count() > 1 {
        return program.to_owned();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| program.to_owned())
}
