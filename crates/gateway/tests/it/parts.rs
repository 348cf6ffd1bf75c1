//! The real parts that a test needs. A part that is missing is a failure, never a skipped test.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Long enough for a loaded machine; a test waits for conditions, and this only bounds it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `probe` gives something.
pub(crate) async fn eventually<T>(what: &str, probe: impl AsyncFn() -> Option<T>) -> T {
    let mut look = tokio::time::interval(Duration::from_millis(10));
    let found = async {
        loop {
            look.tick().await;
            if let Some(found) = probe().await {
                return found;
            }
        }
    };
    tokio::time::timeout(PATIENCE, found)
        .await
        .unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"))
}

/// The gateway under test.
pub(crate) fn ccpool() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_ccpool"))
}

/// The real `claude`.
pub(crate) fn claude() -> PathBuf {
    named("CCPOOL_TEST_CLAUDE").unwrap_or_else(|| missing("CCPOOL_TEST_CLAUDE is not set"))
}

/// The wrapper: the one named, or the one built beside the gateway.
pub(crate) fn wrapper() -> PathBuf {
    let beside = || ccpool().parent().map(|dir| dir.join("ccpool-wrapper"));
    named("CCPOOL_TEST_WRAPPER")
        .or_else(|| beside().filter(|path| path.is_file()))
        .unwrap_or_else(|| missing("there is no ccpool-wrapper"))
}

/// A Redis server.
pub(crate) fn redis_server() -> PathBuf {
    named("CCPOOL_TEST_REDIS_SERVER")
        .or_else(|| {
            let path = std::env::var_os("PATH")?;
            std::env::split_paths(&path)
                .flat_map(|dir| ["redis-server", "valkey-server"].map(|name| dir.join(name)))
                .find(|path| path.is_file())
        })
        .unwrap_or_else(|| missing("there is no redis-server on PATH"))
}

/// The image of the containers.
pub(crate) fn image() -> String {
    std::env::var("CCPOOL_TEST_IMAGE").unwrap_or_else(|_| missing("CCPOOL_TEST_IMAGE is not set"))
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
