//! Where the wrapper is that the process runtime starts, and that goes into images.

use std::path::{Path, PathBuf};

use super::error::GatewayError;

/// The program's file name.
pub(crate) const NAME: &str = "ccpool-wrapper";

/// The one named, else the one next to this program, else the one on PATH.
///
/// # Errors
/// When there is none; one that was named is taken as it is.
pub(crate) fn find(named: Option<&Path>) -> Result<PathBuf, GatewayError> {
    if let Some(path) = named {
        return Ok(ccpool::on_path(path));
    }
    let beside = std::env::current_exe()
        .ok()
        .and_then(|exe| Some(exe.parent()?.join(NAME)));
    beside
        .into_iter()
        .chain([ccpool::on_path(Path::new(NAME))])
        .find(|candidate| candidate.is_absolute() && candidate.is_file())
        .ok_or(GatewayError::NoWrapper(NAME))
}
