//! Results on stdout.

use std::fmt::Display;
use std::io::{self, Write};

use super::error::CliError;

/// Prints a line.
pub(super) fn print(line: impl Display) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .map_err(|error| CliError::stdout(&error))
}
