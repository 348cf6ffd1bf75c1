//! The real parts that a test needs. A part that is missing is a failure, never a skipped test.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Long enough for a loaded machine; it only bounds what hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The real `claude`.
pub(crate) fn claude() -> PathBuf {
    named("CCPOOL_TEST_CLAUDE").unwrap_or_else(|| missing("CCPOOL_TEST_CLAUDE is not set"))
}

/// The wrapper: the one named, or the one built beside this test.
pub(crate) fn wrapper() -> PathBuf {
    let beside = || {
        let test = std::env::current_exe().ok()?;
        let path = test.parent().and_then(Path::parent)?.join("ccpool-wrapper");
        path.is_file().then_some(path)
    };
    named("CCPOOL_TEST_WRAPPER")
        .or_else(beside)
        .unwrap_or_else(|| missing("there is no ccpool-wrapper"))
}

/// A Redis server.
pub(crate) fn redis_server() -> PathBuf {
    named("CCPOOL_TEST_REDIS_SERVER").unwrap_or_else(|| PathBuf::from("redis-server"))
}

fn named(variable: &str) -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os(variable)?);
    assert!(
        path.is_file(),
        "{variable} names {}, which is not there",
        path.display()
    );
    Some(path)
}

fn missing(what: &str) -> ! {
    panic!("{what}; run cargo xtask test, which gets all parts")
}
