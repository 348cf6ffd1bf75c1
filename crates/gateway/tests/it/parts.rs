//! The real parts that a test needs beside those of the other crates' tests.

use std::path::Path;

pub(crate) use ccpool_testing::{PATIENCE, claude, eventually, image, wrapper};

/// The gateway under test.
pub(crate) fn ccpool() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_ccpool"))
}
