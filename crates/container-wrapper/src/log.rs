//! Log lines: one JSON object per line on stderr. Never prompts, never secrets.

use std::fmt::Display;
use std::io::Write;

use serde_json::json;

/// Something worth knowing.
pub(crate) fn info(message: impl Display) {
    write("info", &message);
}

/// Something that somebody should look at.
pub(crate) fn warn(message: impl Display) {
    write("warn", &message);
}

/// Something that ends the wrapper or loses data.
pub(crate) fn error(message: impl Display) {
    write("error", &message);
}

fn write(level: &str, message: &dyn Display) {
    let line = json!({"at": crate::clock::now(), "level": level, "message": message.to_string()});
    // Nobody is left to tell when stderr is gone.
    let _ = writeln!(std::io::stderr(), "{line}");
}
